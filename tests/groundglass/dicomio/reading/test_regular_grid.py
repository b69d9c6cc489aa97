"""Slices are placed without a change of a pixel; findings come back to the slices that they were made on."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from groundglass.dicomio.reading.regular_grid import are_even
from groundglass.dicomio.reading.volume import read_images
from groundglass.domain.errors import Refusal
from groundglass.domain.findings import Box, Findings, Prediction, Region, SliceFinding
from tests.groundglass.dicomio.ct_samples import PRONE, Sample, chest_hu, make_series

PRESENT = Prediction((0.1, 0.1, 0.8), "present", "undetermined")
SQUARE = Sample(rows=40, columns=40, spacing_mm=(5.0, 1.0, 2.0))


def tilt(degrees: float, sample: Sample = SQUARE):
    """Moves each slice along its rows' normal as a gantry tilted by `degrees` does."""

    def edit(image: Dataset, index: int) -> None:
        drift_mm = index * sample.spacing_mm[0] * np.tan(np.radians(degrees))
        image.ImagePositionPatient = [0, round(float(drift_mm), 4), -sample.spacing_mm[0] * index]

    return edit


def at_depths(depths_mm: np.ndarray):
    def edit(image: Dataset, index: int) -> None:
        image.ImagePositionPatient = [0, 0, round(-float(depths_mm[index]), 4)]

    return edit


def refusal_code(images: list[Dataset]) -> str:
    with pytest.raises(Refusal) as caught:
        read_images(images)
    return caught.value.code


@pytest.mark.parametrize("degrees", [3.0, -12.0, 29.0])
def test_the_slices_of_a_tilted_gantry_are_set_upright_without_a_change_of_a_pixel(degrees: float) -> None:
    read = read_images(make_series(SQUARE, tilt(degrees)))
    placement, hu = read.placement, chest_hu(SQUARE)
    assert placement is not None
    assert f"{abs(degrees):.1f} degrees" in read.notes[0].problem
    np.testing.assert_allclose(read.volume.directions, [(0, 0, -1), (0, 1, 0), (1, 0, 0)], atol=1e-12)
    for index, source in enumerate(read.sources):
        rows, columns = placement.window(index)
        np.testing.assert_array_equal(read.volume.hu[index, rows, columns], hu[index])
        # A pixel of the source and the voxel that holds it lie at the same place of the patient, to half a pixel.
        there = (read.volume.affine @ [index, rows.start, columns.start, 1])[:3]
        np.testing.assert_allclose(there, np.array(source.ImagePositionPatient, float), atol=0.51)
    outside = np.ones(read.volume.hu.shape, bool)
    for index in range(len(read.sources)):
        outside[(index, *placement.window(index))] = False
    assert (read.volume.hu[outside] == -1024).all()


def test_a_gap_of_one_length_is_told_with_that_length_alone() -> None:
    missing_one = np.delete(np.arange(0.0, 5.0 * 31, 5.0), 12)
    with pytest.raises(Refusal, match=r"5\.00 mm apart, but 10\.00 mm at 1 of 29 places"):
        are_even(missing_one)


def test_a_steeper_tilt_and_a_crooked_drift_are_refused() -> None:
    assert refusal_code(make_series(SQUARE, tilt(32.0))) == "TILT"

    def wobble(image: Dataset, index: int) -> None:
        image.ImagePositionPatient = [0, 10 * (index % 2), -5 * index]

    assert refusal_code(make_series(SQUARE, wobble)) == "TILT"


def uneven_depths() -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum([2.0] * 15 + [2.5] * 8 + [1.6] * 6)])


def test_uneven_distances_are_placed_on_a_regular_grid_with_every_slice_on_it() -> None:
    depths_mm = uneven_depths()
    read = read_images(make_series(edit=at_depths(depths_mm)))
    placement, hu = read.placement, chest_hu(Sample())
    assert placement is not None
    assert "1.60 to 2.50 mm apart" in read.notes[0].problem
    assert read.volume.spacing_mm[0] == pytest.approx(1.6)
    assert set(placement.slices) == set(range(30))
    for index, source in enumerate(placement.slices):
        np.testing.assert_array_equal(read.volume.hu[index], hu[source])
        assert abs(index * 1.6 - depths_mm[source]) <= np.abs(index * 1.6 - depths_mm).min() + 0.8
    np.testing.assert_array_equal(placement.slices[placement.homes], np.arange(30))


def test_distances_that_drift_are_not_taken_for_equal_ones() -> None:
    """No step is off the usual one by a tenth, and slices in the middle are off a regular grid by 7 mm."""
    steps_mm = np.where(np.arange(299) < 150, 1.0, 1.09)
    depths_mm = np.concatenate([[0], np.cumsum(steps_mm)])
    images = make_series(Sample(slices=300, spacing_mm=(1.0, 9, 7)), at_depths(depths_mm))
    read = read_images(images)
    assert read.placement is not None
    placed_mm = read.placement.homes * read.volume.spacing_mm[0]
    assert np.abs(placed_mm - depths_mm).max() <= 0.5 + 1e-9
    np.testing.assert_array_equal(read.volume.hu[read.placement.homes], chest_hu(Sample(slices=300)))


def test_a_missing_slice_is_never_evened_out() -> None:
    assert refusal_code(make_series(skip=[12])) == "GAP"
    depths_mm = uneven_depths()
    for missing in (3, 18, 26):
        images = [image for image in make_series(edit=at_depths(depths_mm)) if image.InstanceNumber != missing]
        assert refusal_code(images) == "GAP"


@pytest.mark.parametrize("orientation", [Sample().orientation, PRONE])
def test_what_is_found_on_the_grid_comes_back_to_the_pixels_of_the_sources(orientation: tuple[float, ...]) -> None:
    depths_mm = uneven_depths()

    def edit(image: Dataset, index: int) -> None:
        image.ImagePositionPatient = [0, round(0.2 * depths_mm[index], 4), round(-depths_mm[index], 4)]

    sample = Sample(rows=40, columns=40, spacing_mm=(2.0, 1.0, 2.0), orientation=orientation)
    read = read_images(make_series(sample, edit))
    placement, hu = read.placement, chest_hu(sample)
    assert placement is not None
    lungs = (read.volume.hu == -850).astype(np.uint8)
    home, (row, column) = int(placement.homes[20]), placement.offsets[20]
    box = Box(home, "covid19", int(column) + 4, int(row) + 5, int(column) + 9, int(row) + 11, 42.0, 0.9, 0.6, 1)
    last_row = read.volume.hu.shape[1] - 1
    beyond = Box(int(placement.homes[2]), "covid19", 0, last_row, 1, last_row, 1.0, 0.9, 0.1, 2)
    findings = Findings(
        lungs, 1000.0, 900.0, PRESENT, 0.1,
        tuple(SliceFinding(index, 100.0, (0.1, 0.1, 0.8)) for index in range(len(lungs))),
        {home: read.volume.hu[home].astype(np.float32)}, lungs, (box, beyond),
        (Region(1, 0.6, (home,), "right", "lower", 1.0, box), Region(2, 0.1, (0,), "right", "upper", 1.0, beyond)),
    )  # fmt: skip
    volume, back = placement.to_sources(read.volume, findings)
    np.testing.assert_array_equal(volume.hu, hu)
    np.testing.assert_array_equal(back.lungs, hu == -850)
    np.testing.assert_array_equal(back.salient, hu == -850)
    np.testing.assert_array_equal(back.saliency[20], hu[20])
    assert [item.index for item in back.slices] == list(range(30))
    moved = back.boxes[0]
    assert (moved.slice_index, moved.column_min, moved.row_min, moved.column_max, moved.row_max) == (20, 4, 5, 9, 11)
    (region,) = back.regions  # the other one lies beyond every source
    assert (region.number, region.slices, region.best_slice, region.box) == (1, (20,), 20, moved)
    assert (back.right_ml, back.left_ml) == (1000.0, 900.0)
    expected = np.array(read.sources[0].ImagePositionPatient, float)
    np.testing.assert_allclose(volume.origin_mm, expected)


def test_a_source_that_two_slices_of_the_grid_show_is_told_of_by_the_one_that_is_explained() -> None:
    depths_mm = np.concatenate([[0.0], np.cumsum([6.0] * 15 + [4.0] + [6.0] * 13)])
    read = read_images(make_series(edit=at_depths(depths_mm)))
    placement = read.placement
    assert placement is not None
    source = next(one for one in range(30) if (placement.slices == one).sum() == 2)
    (other,) = (int(i) for i in np.flatnonzero(placement.slices == source) if i != placement.homes[source])
    salient = np.zeros(read.volume.hu.shape, np.uint8)
    salient[other, 2:4, 2:4] = 1
    box = Box(other, "covid19", 2, 2, 3, 3, 4.0, 0.9, 0.5, 1)
    slices = tuple(SliceFinding(i, 100.0, (0.1, 0.1, 0.8), i == other) for i in range(len(salient)))
    findings = Findings(
        np.ones(salient.shape, np.uint8), 1.0, 1.0, PRESENT, 0.1, slices,
        {other: salient[other].astype(np.float32)}, salient, (box,),
        (Region(1, 0.5, (other,), "right", "middle", 1.0, box),),
    )  # fmt: skip
    _, back = placement.to_sources(read.volume, findings)
    assert [item.index for item in back.slices if item.explained] == [source]
    assert list(back.saliency) == [each.slice_index for each in back.boxes] == [source]
    assert back.regions[0].best_slice == source
    assert np.flatnonzero(back.salient.any(axis=(1, 2))).tolist() == [source]
