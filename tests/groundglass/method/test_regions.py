"""Boxes over the volume: what overlaps on neighbouring explained slices is one region, ranked by its contribution."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from groundglass.domain.findings import UNLISTED_REGION, Box
from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG, CTVolume
from groundglass.method.regions import FoundRegions, RegionRules, find_regions, thirds_of_lungs

DIRECTIONS = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
SHAPE = (10, 40, 60)
PIXEL_MM2 = 1.5
ALL = range(SHAPE[0])


def volume(slice_mm: float = 2.0, height: int = SHAPE[0]) -> CTVolume:
    return CTVolume(np.zeros((height, *SHAPE[1:]), np.int16), (slice_mm, 1.0, 1.5), np.zeros(3), DIRECTIONS)


def lungs(height: int = SHAPE[0]) -> np.ndarray:
    """Two slabs: the right lung in slices 0 to 8, three in each third; the left one in 3 to 8, two in each third."""
    labels = np.zeros((max(height, SHAPE[0]), *SHAPE[1:]), np.uint8)
    labels[:9, 5:35, 2:28] = RIGHT_LUNG
    labels[3:9, 5:35, 32:58] = LEFT_LUNG
    return labels


def box(index: int, row: int, column: int, size: int = 6, share: float = 0.5) -> Box:
    return Box(
        index, "covid19", column, row, column + size - 1, row + size - 1, size * size * PIXEL_MM2, 0.9, share=share
    )


def find(
    boxes: Sequence[Box],
    explained: Mapping[int, float] | Sequence[int],
    slice_mm: float = 2.0,
    minimum_ml: float = 0.0,
    minimum_mm: float = 0.0,
    diseased: Sequence[int] = ALL,
    maximum: int = 5,
    masks: Sequence[np.ndarray] | None = None,
    computed: Sequence[int] | None = None,
    height: int = SHAPE[0],
) -> FoundRegions:
    """Regions of boxes that are salient all over, unless masks say otherwise; every slice is sick for certain."""
    full = [np.ones((item.row_max - item.row_min + 1,) * 2, dtype=bool) for item in boxes]
    found = list(zip(boxes, masks or full, strict=True))
    probabilities = explained if isinstance(explained, Mapping) else dict.fromkeys(explained, 1.0)
    rules = RegionRules(minimum_ml, minimum_mm, maximum)
    own = set(probabilities) if computed is None else set(computed)
    labels = lungs(height)
    return find_regions(
        found, probabilities, own, list(diseased), labels, thirds_of_lungs(labels), volume(slice_mm, len(labels)), rules
    )


def test_what_overlaps_on_neighbouring_slices_is_one_region() -> None:
    found = find([box(3, 10, 5), box(4, 12, 7), box(5, 14, 9), box(4, 10, 40, share=0.2)], [3, 4, 5])
    first, second = found.listed
    assert (first.number, first.slices, first.side) == (1, (3, 4, 5), "right")
    assert (second.number, second.slices, second.side) == (2, (4,), "left")
    assert first.volume_ml == pytest.approx(3 * 36 * PIXEL_MM2 * 2.0 / 1000)
    assert [(item.slice_index, item.region) for item in found.boxes] == [(3, 1), (4, 2), (4, 1), (5, 1)]


def test_boxes_that_overlap_with_no_salient_pixel_in_common_are_two_regions() -> None:
    upper, lower = np.zeros((6, 6), dtype=bool), np.zeros((6, 6), dtype=bool)
    upper[:3], lower[3:] = True, True
    boxes = [box(3, 10, 5), box(4, 10, 5)]
    assert len(find(boxes, [3, 4], masks=[upper, lower]).listed) == 2
    assert len(find(boxes, [3, 4], masks=[upper, upper]).listed) == 1
    shifted = [box(3, 10, 5), box(4, 13, 5)]  # the same pixels of the slice, by other places in their boxes
    assert len(find(shifted, [3, 4], masks=[lower, upper]).listed) == 1


def test_what_the_next_slices_do_not_confirm_is_left_out_with_its_boxes() -> None:
    tall, flat = [box(index, 10, 5) for index in (3, 4, 5)], [box(index, 10, 40, share=0.2) for index in (4, 5)]
    found = find(tall + flat, [3, 4, 5], slice_mm=2.0, minimum_mm=5.0, diseased=(3, 4, 5))
    assert [region.slices for region in found.listed] == [(3, 4, 5)]
    assert (found.unlisted, {item.region for item in found.boxes}) == (0, {1})
    assert set(np.unique(found.salient)) == {0, 1}
    assert len(find(flat, [3, 4, 5], slice_mm=2.5004, minimum_mm=5.0, diseased=(3, 4, 5)).listed) == 0
    assert len(find(flat, [3, 4, 5], slice_mm=3.0, minimum_mm=5.0, diseased=(3, 4, 5)).listed) == 1
    assert len(find(flat[:1], [3, 4, 5], slice_mm=8.0, minimum_mm=5.0, diseased=(3, 4, 5)).listed) == 1
    assert len(find(flat[:1], [3, 4, 5], slice_mm=1.0, minimum_mm=0.0, diseased=(3, 4, 5)).listed) == 1


@pytest.mark.parametrize("slice_mm", [0.5, 0.6, 0.625, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.4, 1.5, 1.8, 2.0, 2.5])
def test_two_slices_5_mm_apart_and_those_between_confirm_each_other_and_one_confirms_nothing(slice_mm: float) -> None:
    step = int(5.0 / slice_mm + 0.01)  # as slices are computed
    indices = list(range(0, step + 1))
    boxes = [box(index, 10, 5) for index in indices]
    two = find(boxes, indices, slice_mm, minimum_mm=5.0, diseased=indices, computed=[0, step], height=step + 1)
    one = find(boxes, indices, slice_mm, minimum_mm=5.0, diseased=indices, computed=[step // 2], height=step + 1)
    assert ([region.slices for region in two.listed], one.listed) == ([tuple(indices)], ())


def test_a_region_next_to_slices_that_the_budget_left_out_may_go_on_there() -> None:
    found = find([box(4, 10, 5)], [4], slice_mm=2.0, minimum_mm=5.0, diseased=(3, 4, 5))
    assert [region.slices for region in found.listed] == [(4,)]
    assert not find([box(4, 10, 5)], [3, 4, 5], slice_mm=2.0, minimum_mm=5.0, diseased=(3, 4, 5)).listed


def test_two_branches_that_meet_on_the_next_slice_are_one_region() -> None:
    found = find([box(3, 10, 4), box(3, 10, 14), box(4, 10, 8, size=8)], [3, 4])
    assert [region.slices for region in found.listed] == [(3, 4)]
    assert {item.region for item in found.boxes} == {1}


def test_boxes_in_the_same_place_with_a_free_slice_between_are_two_regions() -> None:
    assert len(find([box(3, 10, 5), box(5, 10, 5)], [3, 4, 5]).listed) == 2


@pytest.mark.parametrize(("slice_mm", "regions"), [(2.0, 1), (5.0, 1), (6.0, 2)])
def test_a_slice_that_was_not_explained_is_bridged_up_to_ten_millimetres(slice_mm: float, regions: int) -> None:
    found = find([box(3, 10, 5), box(5, 10, 5)], [3, 5], slice_mm)
    assert len(found.listed) == regions
    if regions == 1:
        assert found.listed[0].volume_ml == pytest.approx(36 * PIXEL_MM2 * 3 * slice_mm / 1000)


@pytest.mark.parametrize("slice_mm", [10.000000000000002, 12.0])
def test_slices_with_none_between_are_neighbours_however_far_apart(slice_mm: float) -> None:
    found = find([box(index, 10, 10) for index in (4, 5, 6)], [4, 5, 6], slice_mm)
    assert [region.slices for region in found.listed] == [(4, 5, 6)]


def test_a_region_reaches_past_a_slice_without_disease_and_has_no_volume_there() -> None:
    (region,) = find([box(3, 10, 5), box(5, 10, 5), box(7, 10, 5)], [3, 5, 7], diseased=[3, 5, 6, 7]).listed
    assert region.slices == (3, 5, 7)
    assert region.volume_ml == pytest.approx(36 * PIXEL_MM2 * 4 * 2.0 / 1000)  # slices 3, 5, 6 and 7


@pytest.mark.parametrize(("column", "side"), [(10, "right"), (40, "left"), (23, "both"), (16, "right"), (27, "left")])
def test_a_region_lies_in_both_lungs_only_with_a_tenth_of_it_in_either(column: int, side: str) -> None:
    """Of its 16 columns from 23 on five lie in the right lung and seven in the left; from 27 on one of twelve."""
    (region,) = find([box(3, 10, column, size=16)], [3]).listed
    assert region.side == side


@pytest.mark.parametrize(
    ("index", "column", "third"),
    [(1, 5, "upper"), (3, 5, "middle"), (3, 40, "upper"), (6, 5, "lower"), (6, 40, "middle"), (8, 40, "lower")],
)
def test_the_third_is_one_of_the_height_of_the_lung_it_lies_in(index: int, column: int, third: str) -> None:
    (region,) = find([box(index, 10, column)], [index]).listed
    assert region.third == third


def test_a_region_over_two_thirds_has_that_which_holds_more_of_it() -> None:
    (region,) = find([box(index, 10, 5) for index in (2, 3, 4)], [2, 3, 4]).listed
    assert region.third == "middle"


def test_thirds_are_told_of_slices_beyond_a_lung_too() -> None:
    thirds = thirds_of_lungs(lungs())
    assert thirds[RIGHT_LUNG].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert thirds[LEFT_LUNG].tolist() == [0, 0, 0, 0, 0, 1, 1, 2, 2, 2]


def test_regions_are_ranked_by_their_contribution_and_not_by_their_size() -> None:
    large, telling = box(3, 10, 5, size=12, share=0.2), box(4, 10, 40, share=0.9)
    found = find([large, telling], {3: 0.8, 4: 0.6})
    first, second = found.listed
    assert (first.side, second.side) == ("left", "right")
    # The mean over the explained slices of the part of each, weighted with its probability of pneumonia.
    assert first.contribution == pytest.approx(0.6 * 0.9 / 1.4)
    assert second.contribution == pytest.approx(0.8 * 0.2 / 1.4)


def test_the_box_is_around_the_region_on_the_slice_that_contributes_most() -> None:
    boxes = [box(3, 10, 5, share=0.4), box(4, 10, 5, share=0.3), box(4, 18, 9, share=0.2), box(5, 14, 7, size=8)]
    (region,) = find(boxes, {3: 1.0, 4: 1.0, 5: 0.5}).listed  # .4, .5 and .25
    assert region.best_slice == 4
    edges = (region.box.column_min, region.box.row_min, region.box.column_max, region.box.row_max)
    assert edges == (5, 10, 14, 23)
    assert (region.box.share, region.box.region) == (pytest.approx(0.5), 1)


def test_those_that_contribute_least_are_not_listed_and_keep_their_boxes_and_voxels() -> None:
    boxes = [box(3, 10, 5, share=0.5), box(3, 20, 5, share=0.1), box(3, 10, 40, share=0.3)]
    found = find(boxes, [3], maximum=2)
    assert [(region.number, region.box.share) for region in found.listed] == [(1, 0.5), (2, 0.3)]
    assert found.unlisted == 1
    assert sorted((item.share, item.region) for item in found.boxes) == [(0.1, 0), (0.3, 2), (0.5, 1)]
    voxels = dict(zip(*np.unique(found.salient, return_counts=True), strict=True))
    assert {value: voxels[value] for value in (1, 2, UNLISTED_REGION)} == {1: 36, 2: 36, UNLISTED_REGION: 36}
    assert (found.salient[3, 10:16, 5:11] == 1).all()
    assert (found.salient[3, 20:26, 5:11] == UNLISTED_REGION).all()
    assert (found.salient[3, 10:16, 40:46] == 2).all()


def test_only_salient_pixels_of_a_box_are_marked() -> None:
    mask = np.eye(6, dtype=bool)
    found = find([box(3, 10, 5)], [3], masks=[mask])
    np.testing.assert_array_equal(found.salient[3, 10:16, 5:11], mask)


def test_what_is_smaller_than_the_least_region_is_left_out_with_its_boxes() -> None:
    boxes = [box(3, 10, 5), box(4, 10, 5), box(4, 10, 40, share=0.9)]
    found = find(boxes, [3, 4], minimum_ml=0.15)
    assert [region.side for region in found.listed] == ["right"]
    assert [(item.slice_index, item.region) for item in found.boxes] == [(3, 1), (4, 1)]
    assert found.unlisted == 0
    assert not found.salient[4, :, 40:].any()


def test_no_box_is_no_region() -> None:
    found = find([], [1, 2])
    assert (found.listed, found.unlisted, found.boxes) == ((), 0, ())
    assert not found.salient.any()
