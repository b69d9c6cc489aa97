import numpy as np
import pytest
from scipy import ndimage
from skimage import filters, measure

from groundglass.method.boxes import blur, boxes_of_regions, salient_regions, shares_of_regions

INSIDE = np.ones((64, 64), dtype=bool)


def map_with(*places: tuple[slice, slice]) -> np.ndarray:
    saliency = np.random.default_rng(0).uniform(0, 0.02, (64, 64)).astype(np.float32)
    for place in places:
        saliency[place] = 1.0
    return saliency


def test_two_bright_places_give_two_boxes_around_them() -> None:
    regions = salient_regions(map_with(np.s_[10:20, 8:24], np.s_[40:46, 40:52]), INSIDE, minimum_pixels=10)
    (large, _), (small, _) = boxes_of_regions(regions, 7, "covid19", 0.9, pixel_area_mm2=2.0, shares=(0.6, 0.3))
    for box, (rows, columns) in ((large, ((10, 19), (8, 23))), (small, ((40, 45), (40, 51)))):
        assert (box.row_min, box.row_max) == pytest.approx(rows, abs=1)
        assert (box.column_min, box.column_max) == pytest.approx(columns, abs=1)
    assert (large.slice_index, large.label, large.score) == (7, "covid19", 0.9)
    assert (large.share, small.share) == (0.6, 0.3)
    assert large.area_mm2 == 2.0 * (regions == 1).sum()


def test_a_share_is_the_part_of_the_saliency_of_the_slice_inside_a_region() -> None:
    saliency, regions = np.zeros((4, 4)), np.zeros((4, 4), np.int32)
    saliency[0], saliency[2], saliency[3] = 1.0, 2.0, 1.0
    regions[2], regions[0] = 1, 2
    assert shares_of_regions(saliency, regions).tolist() == [0.5, 0.25]
    assert shares_of_regions(np.zeros((4, 4)), regions).tolist() == [0.0, 0.0]


def test_boxes_agree_with_region_properties() -> None:
    regions = salient_regions(map_with(np.s_[10:20, 8:24], np.s_[30:46, 40:52]), INSIDE, minimum_pixels=10)
    expected = {item.label: item.bbox for item in measure.regionprops(regions)}
    for number, (box, region) in enumerate(boxes_of_regions(regions, 0, "cap", 1.0, 1.0, (0.5, 0.5)), start=1):
        assert (box.row_min, box.column_min, box.row_max + 1, box.column_max + 1) == expected[number]
        assert np.array_equal(region, regions[box.place] == number)


def test_regions_below_the_area_get_no_box() -> None:
    saliency = map_with(np.s_[10:30, 10:30], np.s_[50:54, 50:54])
    assert salient_regions(saliency, INSIDE, minimum_pixels=5).max() == 2
    assert salient_regions(saliency, INSIDE, minimum_pixels=60).max() == 1


def test_regions_stay_inside_the_lungs() -> None:
    inside = np.zeros((64, 64), dtype=bool)
    inside[:, :16] = True
    regions = salient_regions(map_with(np.s_[10:20, 8:40]), inside, minimum_pixels=1)
    assert regions.any()
    assert not regions[~inside].any()


def test_the_sign_of_the_saliency_does_not_matter() -> None:
    saliency = map_with(np.s_[10:20, 8:24])
    assert np.array_equal(salient_regions(saliency, INSIDE, 5), salient_regions(-saliency, INSIDE, 5))


@pytest.mark.parametrize("saliency", [np.zeros((64, 64)), np.full((64, 64), 0.5), np.full((64, 64), np.nan)])
def test_a_map_with_nothing_in_it_gives_no_region(saliency: np.ndarray) -> None:
    inside = np.zeros((64, 64), dtype=bool)
    inside[8:50, 8:50] = True
    assert not salient_regions(saliency.astype(np.float32), inside, 1).any()


@pytest.mark.parametrize("closing_pixels", [1, 2, 3, 4, 5, 8])
def test_gaps_are_closed_by_a_square_and_regions_end_where_the_lungs_do(closing_pixels: int) -> None:
    saliency = np.random.default_rng(closing_pixels).random((60, 70)).astype(np.float32)
    lung = np.zeros((60, 70), dtype=bool)
    lung[:40, 5:] = True  # it reaches two borders of the image
    smooth = blur(saliency * lung)
    bright = np.pad(lung & (smooth > filters.threshold_isodata(smooth[lung])), 8)
    closed = ndimage.binary_closing(bright, np.ones((closing_pixels, closing_pixels)))[8:-8, 8:-8] & lung
    assert np.array_equal(salient_regions(saliency * lung, lung, 1, closing_pixels) > 0, closed)


def test_no_lung_gives_no_region() -> None:
    assert not salient_regions(map_with(np.s_[10:20, 8:24]), np.zeros((64, 64), dtype=bool), 1).any()


def test_the_blur_is_a_5x5_gaussian_that_keeps_the_sum() -> None:
    impulse = np.zeros((9, 9))
    impulse[4, 4] = -2.0
    blurred = blur(impulse)
    assert blurred.sum() == pytest.approx(2.0)
    assert (blurred[2:7, 2:7] > 0).all()
    assert blurred[1].sum() == 0
    assert blurred[4, 4] > blurred[4, 5] > blurred[4, 6]
