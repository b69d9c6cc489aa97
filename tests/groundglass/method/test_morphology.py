"""Against scipy's distance transforms and hole filling, which are slower and exact too."""

import numpy as np
import pytest
from scipy import ndimage

from groundglass.method.morphology import box_around, fill_enclosed, grow_labels, within


def blobs(seed: int, shape: tuple[int, ...] = (17, 23, 19), part: float = 0.1) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 1.2)
    return noise > np.quantile(noise, 1 - part)


@pytest.mark.parametrize("radius", [0.0, 1.0, 1.5, 3.0, 4.0, 5.2, 9.4, 20.0])
@pytest.mark.parametrize("seed", range(3))
def test_within_a_radius_is_what_the_distance_says(radius: float, seed: int) -> None:
    mask = blobs(seed)
    assert np.array_equal(within(mask, radius), ndimage.distance_transform_edt(~mask) <= radius)


def test_within_works_on_planes_and_on_nothing() -> None:
    plane = blobs(0, (30, 40))
    assert np.array_equal(within(plane, 3.0), ndimage.distance_transform_edt(~plane) <= 3.0)
    assert not within(np.zeros((4, 5, 6), dtype=bool), 3.0).any()
    assert within(np.ones((4, 5, 6), dtype=bool), 3.0).all()


def test_the_box_around_a_mask_keeps_its_margin_as_far_as_there_are_cubes() -> None:
    mask = np.zeros((9, 12, 20), dtype=bool)
    mask[1:4, 5, 18] = mask[3, 7, 19] = True
    assert np.zeros(mask.shape)[box_around(mask, 0)].shape == (3, 3, 2)
    assert np.nonzero(mask[box_around(mask, 2)])[0].min() == 1
    assert mask[box_around(mask, 2)].shape == (6, 7, 4)
    assert np.zeros((4, 5))[box_around(np.zeros((4, 5), dtype=bool), 1)].shape == (4, 5)


@pytest.mark.parametrize("part", [0.55, 0.7])
def test_what_is_enclosed_on_all_sides_is_filled(part: float) -> None:
    mask = blobs(1, part=part)
    filled = fill_enclosed(mask)
    assert np.array_equal(filled, ndimage.binary_fill_holes(mask))
    assert (filled > mask).any()


def test_labels_grow_by_one_cube_from_the_nearest() -> None:
    labels = np.where(blobs(2, part=0.02), 1, 0).astype(np.uint8)
    labels[np.roll(blobs(5, part=0.02), 3, axis=0) & (labels == 0)] = 2
    grown = grow_labels(labels)
    to_each = [ndimage.distance_transform_edt(labels != number) for number in (1, 2)]
    beside = ndimage.binary_dilation(labels > 0, np.ones((3, 3, 3)))
    assert np.array_equal(grown > 0, beside)
    clear = beside & (to_each[0] != to_each[1])
    assert np.array_equal(grown[clear], np.where(to_each[0] < to_each[1], 1, 2)[clear])
