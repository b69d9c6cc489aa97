"""Boxes over the volume: what overlaps on neighbouring slices is one lesion."""

from collections.abc import Sequence

import numpy as np
import pytest
from groundglass.method.lesions import find_lesions

from groundglass.domain.findings import Box
from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG, CTVolume

DIRECTIONS = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
SHAPE = (10, 40, 60)


def volume(slice_mm: float = 2.0) -> CTVolume:
    return CTVolume(np.zeros(SHAPE, np.int16), (slice_mm, 1.0, 1.5), np.zeros(3), DIRECTIONS)


def lungs() -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, 5:35, 2:28] = RIGHT_LUNG
    labels[:, 5:35, 32:58] = LEFT_LUNG
    return labels


def box(index: int, row: int, column: int, size: int = 6) -> Box:
    return Box(index, "covid19", column, row, column + size - 1, row + size - 1, size * size * 1.5, 0.9)


def find(  # type: ignore[no-untyped-def]
    boxes: list[Box],
    explained: list[int],
    slice_mm: float = 2.0,
    minimum_ml: float = 0.0,
    diseased: Sequence[int] = range(SHAPE[0]),
):
    found = [(item, np.ones((item.row_max - item.row_min + 1,) * 2, dtype=bool)) for item in boxes]
    return find_lesions(found, explained, diseased, lungs(), volume(slice_mm), minimum_ml)


def test_boxes_that_overlap_on_neighbouring_slices_are_one_lesion() -> None:
    boxes = [box(3, 10, 5), box(4, 12, 7), box(5, 14, 9), box(4, 10, 40)]
    lesions, numbers = find(boxes, [3, 4, 5])
    assert numbers == (1, 1, 1, 2)
    first, second = lesions
    assert (first.number, first.slices, first.lung) == (1, (3, 4, 5), "right")
    assert (second.slices, second.lung) == ((4,), "left")
    assert first.extent_mm == (6.0, 10.0, 15.0)
    assert first.largest_extent_mm == 15.0
    assert first.volume_ml == pytest.approx(3 * 36 * 1.5 * 2 / 1000)
    assert first.lung_fraction == pytest.approx(3 * 36 / (lungs() > 0).sum())


def test_two_branches_that_meet_on_the_next_slice_are_one_lesion() -> None:
    lesions, numbers = find([box(3, 10, 4), box(3, 10, 14), box(4, 10, 8, size=8)], [3, 4])
    assert numbers == (1, 1, 1)
    assert len(lesions) == 1


def test_boxes_in_the_same_place_with_a_free_slice_between_are_two_lesions() -> None:
    lesions, _ = find([box(3, 10, 5), box(5, 10, 5)], [3, 4, 5])
    assert len(lesions) == 2


@pytest.mark.parametrize(("slice_mm", "lesions"), [(2.0, 1), (6.0, 2)])
def test_a_slice_that_was_not_explained_is_bridged_up_to_ten_millimetres(slice_mm: float, lesions: int) -> None:
    found, _ = find([box(3, 10, 5), box(5, 10, 5)], [3, 5], slice_mm)
    assert len(found) == lesions
    if lesions == 1:
        assert found[0].volume_ml == pytest.approx(36 * 1.5 * 3 * slice_mm / 1000)


def test_a_lesion_reaches_past_a_slice_without_disease_and_has_no_volume_there() -> None:
    boxes = [box(3, 10, 5), box(5, 10, 5), box(7, 10, 5)]
    found, _ = find(boxes, [3, 5, 7], diseased=[3, 5, 6, 7])
    assert [lesion.slices for lesion in found] == [(3, 5, 7)]
    assert found[0].volume_ml == pytest.approx(36 * 1.5 * 4 * 2.0 / 1000)


@pytest.mark.parametrize("slice_mm", [10.000000000000002, 12.0])
def test_slices_with_none_between_are_neighbours_however_far_apart(slice_mm: float) -> None:
    found, _ = find([box(index, 10, 10) for index in (4, 5, 6)], [4, 5, 6], slice_mm)
    assert [lesion.slices for lesion in found] == [(4, 5, 6)]


def test_a_lesion_across_the_midline_is_in_both_lungs() -> None:
    lesions, _ = find([box(3, 10, 22, size=16)], [3])
    assert lesions[0].lung == "both"


def test_no_box_is_no_lesion() -> None:
    assert find([], [1, 2]) == ((), ())


def test_what_is_smaller_than_the_least_lesion_is_left_out() -> None:
    boxes = [box(3, 10, 5), box(4, 10, 5), box(4, 10, 40)]
    lesions, numbers = find(boxes, [3, 4], minimum_ml=0.15)
    assert numbers == (1, 1, 0)
    assert [lesion.lung for lesion in lesions] == ["right"]
