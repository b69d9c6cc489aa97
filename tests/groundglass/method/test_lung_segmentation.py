from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from groundglass.domain.errors import Refusal
from groundglass.domain.volume import BACKGROUND, LEFT_LUNG, RIGHT_LUNG, CTVolume, Face
from groundglass.locations import MODEL_FOLDER
from groundglass.method.lung_network import LungUNet
from groundglass.method.lung_regions import _give_to_nearest, find_walled_gas, label_lungs
from groundglass.method.lung_segmentation import (
    MultiWindow,
    _midline,
    faces_that_cut,
    fuse_views,
    predict_planes,
    segment_lungs,
)
from groundglass.method.normalisation import SlidingWindow
from groundglass.method.weights import load_lung_network
from groundglass.phantom.thorax import Truth, make_thorax
from groundglass.presets import SHIPPED

WEIGHTS = MODEL_FOLDER / "lungs" / "lungs.safetensors"
GRID_MM = 4.0
ONE_WINDOW = MultiWindow((SlidingWindow(1400.0, 20.0),))


def two_lungs(gap: int = 6) -> np.ndarray:
    """Probability of two ellipsoids, `gap` voxels apart: columns from the patient's right to the left."""
    slices, rows, columns = np.ogrid[:60, :50, :80]
    mask = np.zeros((60, 50, 80), dtype=bool)
    for centre in (40 - 16 - gap / 2, 40 + 16 + gap / 2):
        mask |= ((slices - 30) / 25) ** 2 + ((rows - 25) / 18) ** 2 + ((columns - centre) / 16) ** 2 < 1
    return mask.astype(np.float32)


@pytest.mark.parametrize("gap", [6, 0, -4])
def test_right_and_left_are_told_apart_even_where_they_touch(gap: int) -> None:
    probability = two_lungs(gap)
    labels = label_lungs(probability, GRID_MM)
    assert (labels > 0)[probability > 0.5].all()
    middle = 40
    wrong = (labels[..., : middle - 3] == LEFT_LUNG).sum() + (labels[..., middle + 3 :] == RIGHT_LUNG).sum()
    assert wrong <= 0.01 * (labels > 0).sum()


@pytest.mark.parametrize("gap", [30, 4, 0, -4])
def test_what_an_erosion_took_goes_to_the_side_of_the_nearest_core(gap: int) -> None:
    lungs = two_lungs(gap) > 0.5
    reach = 4
    cores = ndimage.distance_transform_edt(lungs) > reach / 2
    sides = cores * np.where(np.arange(lungs.shape[2]) < 40, RIGHT_LUNG, LEFT_LUNG).astype(np.uint8)
    nearest = ndimage.distance_transform_edt(sides == 0, return_distances=False, return_indices=True)
    expected = np.where(lungs, sides[tuple(nearest)], BACKGROUND)
    _give_to_nearest(sides, lungs, reach)
    assert (sides == expected).all()


def test_a_hole_inside_a_lung_belongs_to_it() -> None:
    probability = two_lungs()
    probability[25:35, 20:30, 16:26] = 0.0
    assert (label_lungs(probability, GRID_MM)[25:35, 20:30, 16:26] == RIGHT_LUNG).all()


def test_the_dome_of_the_diaphragm_is_no_hole() -> None:
    probability = two_lungs()
    slices, rows, columns = np.ogrid[:60, :50, :80]
    dome = (slices > 38) & ((slices - 62) ** 2 / 24**2 + ((rows - 25) / 10) ** 2 + ((columns - 21) / 8) ** 2 < 1)
    probability[dome] = 0.0
    core = ndimage.binary_erosion(dome, iterations=3)
    assert core.any()
    assert not label_lungs(probability, GRID_MM)[core].any()


def test_small_separate_regions_are_left_out() -> None:
    probability = two_lungs()
    probability[55:59, 2:8, 36:44] = 1.0
    assert not label_lungs(probability, GRID_MM)[55:59, 2:8, 36:44].any()


@pytest.mark.parametrize("unit", ["HU", "8 bit"])
@pytest.mark.parametrize(
    ("inside_hu", "wall_hu", "kept"),
    [(-995.0, 30.0, False), (-995.0, -850.0, True), (-860.0, 30.0, True)],
    ids=["colon", "bulla", "piece of lung"],
)
def test_gas_that_a_wall_encloses_is_no_lung_and_a_bulla_is(
    inside_hu: float, wall_hu: float, kept: bool, unit: str
) -> None:
    probability = np.zeros((40, 60, 60), dtype=np.float32)
    probability[:22, 5:55, 5:55] = 1.0  # lung
    probability[20:36, 20:38, 20:38] = 1.0  # hangs on it
    volume = np.full(probability.shape, -850.0, dtype=np.float32)
    volume[:, :4] = 30.0  # the body
    volume[22:, 14:44, 14:44] = wall_hu
    volume[23:36, 20:38, 20:38] = inside_hu
    if unit == "8 bit":
        volume = (volume + 1100) / 6
    walled = find_walled_gas(probability, volume, 2.0)
    assert walled[25:34, 22:36, 22:36].all() != kept
    assert not walled[:20].any()


def test_what_is_barred_is_not_filled_again() -> None:
    probability = two_lungs()
    barred = np.zeros(probability.shape, dtype=bool)
    barred[25:35, 20:30, 16:26] = True
    labels = label_lungs(probability, GRID_MM, barred=barred)
    assert not labels[barred].any()
    assert (labels > 0)[(probability > 0.5) & ~barred].all()


@pytest.mark.parametrize(("slices", "views"), [(40, 3), (20, 1)])
def test_the_planes_of_a_volume_that_cuts_the_lungs_are_axial_alone(network: LungUNet, slices: int, views: int) -> None:
    upright, _ = make_thorax("normal", slices=60, size=128)  # 5 mm apart
    cut = replace(upright, hu=upright.hu[10 : 10 + slices])
    planes: list[int] = []
    segment_lungs(network, cut, ONE_WINDOW, 3.0, on_planes=lambda done, total: planes.append(total))
    cubes = [round(length * mm / 3.0) for length, mm in zip(cut.hu.shape, cut.spacing_mm, strict=True)]
    assert planes[-1] == sum(cubes[:views])


@pytest.mark.parametrize("probability", [np.zeros((20, 20, 20)), np.pad(np.ones((3, 3, 3)), 8)])
def test_a_volume_without_lungs_is_refused_with_a_figure(probability: np.ndarray) -> None:
    with pytest.raises(Refusal, match="ml"):
        label_lungs(probability.astype(np.float32), GRID_MM)


def test_one_lung_alone_keeps_its_side() -> None:
    probability = two_lungs()
    probability[..., 40:] = 0
    labels = label_lungs(probability, GRID_MM)
    assert set(np.unique(labels)) == {0, RIGHT_LUNG}


def test_windows_vote_with_equal_weight() -> None:
    torch.manual_seed(0)
    network = LungUNet(channels=(4, 8, 16)).eval()
    planes = np.random.default_rng(0).integers(-1000, 400, (3, 24, 40)).astype(np.float32)
    windows = SlidingWindow(1400.0, 20.0), SlidingWindow(600.0, 20.0)
    apart = [predict_planes(network, planes, MultiWindow((window,))) for window in windows]
    together = predict_planes(network, planes, MultiWindow(windows))
    assert together.shape == planes.shape
    assert np.allclose(together, np.mean(apart, axis=0), atol=1e-6)


@pytest.fixture(scope="module")
def network() -> LungUNet:
    return load_lung_network(WEIGHTS)


@pytest.fixture(scope="module")
def healthy() -> tuple[CTVolume, Truth]:
    return make_thorax("normal", slices=40, size=128)


@pytest.mark.parametrize("unit", ["HU", "8 bit"])
def test_domes_are_left_to_planes_along_the_body_and_aerated_bases_to_axial_ones(unit: str) -> None:
    lungs = two_lungs()
    image = np.where(lungs > 0.5, -850.0, 40.0).astype(np.float32)
    dome, base, consolidation = np.s_[20:30, 20:30, 16:26], np.s_[40:50, 20:30, 50:60], np.s_[20:30, 20:30, 52:60]
    image[dome] = image[consolidation] = 30.0
    axial, along = lungs.copy(), lungs.copy()
    along[dome] = along[base] = axial[consolidation] = 0.0
    image += np.random.default_rng(0).normal(0, 20, image.shape).astype(np.float32)
    if unit == "8 bit":
        image = np.clip((image + 1200) / 8, 0, 255)
    fused = fuse_views({"axial": axial, "coronal": along, "sagittal": along}, image) > 0.5
    assert not fused[dome].any()
    assert fused[base].all()
    assert fused[consolidation].all()
    elsewhere = axial == along
    assert (fused == (lungs > 0.5))[elsewhere].all()


@pytest.mark.parametrize("views", [("axial",), ("coronal", "sagittal")])
def test_without_planes_of_both_kinds_views_vote_by_their_mean(views: tuple[str, ...]) -> None:
    rng = np.random.default_rng(0)
    votes = {view: rng.random((12, 12, 12)).astype(np.float32) for view in views}
    image = rng.normal(-500, 400, (12, 12, 12)).astype(np.float32)
    assert np.allclose(fuse_views(votes, image), np.mean(list(votes.values()), axis=0), atol=1e-6)


def test_planes_in_batches_equal_all_at_once(network: LungUNet) -> None:
    planes = np.random.default_rng(0).integers(-1000, 400, (5, 32, 32)).astype(np.float32)
    few, many = (predict_planes(network, planes, SHIPPED.lungs.windows, batch=batch) for batch in (2, 8))
    assert np.allclose(few, many, atol=0.02)  # bfloat16


@pytest.mark.slow
@pytest.mark.parametrize("flips", [(1, 1, 1), (1, -1, -1), (-1, -1, 1), (-1, 1, -1)])
def test_lungs_are_found_and_named_whatever_way_the_source_lies(
    network: LungUNet, healthy: tuple[CTVolume, Truth], flips: tuple[int, ...]
) -> None:
    """The phantom's array turned over, its directions with it: the same patient, stored another way."""
    upright, truth = healthy
    axes = tuple(axis for axis, sign in enumerate(flips) if sign < 0)
    turned = CTVolume(
        np.flip(upright.hu, axes), upright.spacing_mm, upright.origin_mm, upright.directions * np.array(flips)[:, None]
    )
    # What is turned is turned back before planes are cut: those of one view are enough.
    found = segment_lungs(network, turned, ONE_WINDOW, 3.0, ["axial"])
    true = np.flip(truth.lungs, axes)
    for side in (RIGHT_LUNG, LEFT_LUNG):
        overlap = 2 * ((found == side) & (true == side)).sum() / ((found == side).sum() + (true == side).sum())
        assert overlap > 0.94


@pytest.mark.slow
def test_a_volume_of_air_is_refused(network: LungUNet) -> None:
    directions = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
    air = CTVolume(np.full((30, 64, 64), -1000, dtype=np.int16), (5.0, 5.0, 5.0), np.zeros(3), directions)
    with pytest.raises(Refusal):
        segment_lungs(network, air, SHIPPED.lungs.windows, grid_mm=5.0)


@pytest.mark.parametrize(("centre_mm", "side"), [(-70.0, RIGHT_LUNG), (70.0, LEFT_LUNG)])
@pytest.mark.parametrize("flipped", [False, True])
def test_a_lone_lung_in_a_narrow_field_of_view_is_named_by_where_it_lies_in_the_patient(
    centre_mm: float, side: int, flipped: bool
) -> None:
    """180 mm around one lung, whose middle is that of the image."""
    directions = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [-1.0 if flipped else 1.0, 0.0, 0.0]])
    origin_mm = np.array([centre_mm + (88.0 if flipped else -88.0), 0.0, 0.0])
    volume = CTVolume(np.zeros((60, 50, 45), np.int16), (4.0, 4.0, 4.0), origin_mm, directions)
    slices, rows, columns = np.ogrid[:60, :50, :45]
    lung = ((slices - 30) / 25) ** 2 + ((rows - 25) / 18) ** 2 + ((columns - 22) / 16) ** 2 < 1
    labels = label_lungs(lung.astype(np.float32), 4.0, _midline(volume, 45))
    assert set(np.unique(labels)) == {BACKGROUND, side}


def test_the_middle_of_a_field_of_view_that_shows_the_chest_is_taken_wherever_its_origin_was_put() -> None:
    volume = CTVolume(np.zeros((4, 50, 80), np.int16), (4.0, 4.0, 4.0), np.zeros(3), -np.eye(3)[::-1])
    assert _midline(volume, 160) is None


@pytest.mark.parametrize(
    ("place", "faces"),
    [
        (np.s_[2:8, 10:40, 10:40], ()),
        (np.s_[0:8, 10:40, 10:40], ((0, 0),)),
        (np.s_[2:10, 10:40, 10:40], ((0, -1),)),
        (np.s_[2:8, 10:40, 0:40], ((2, 0),)),
        (np.s_[2:8, 10:50, 10:40], ((1, -1),)),
        (np.s_[0:8, 10:13, 10:14], ()),
    ],
)
def test_lungs_that_reach_an_outer_plane_are_cut(place: tuple[slice, ...], faces: tuple[Face, ...]) -> None:
    lungs = np.zeros((10, 50, 50), np.uint8)
    lungs[place] = RIGHT_LUNG
    volume = CTVolume(lungs.astype(np.int16), (2.0, 4.0, 4.0), np.zeros(3), np.eye(3))
    assert faces_that_cut(lungs, volume) == faces
