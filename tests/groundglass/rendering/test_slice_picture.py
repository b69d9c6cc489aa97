"""A slice is drawn with the patient's right on the viewer's left, and with the outlines of regions in their place."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from groundglass.dicomio.writing.files import write_dicom
from groundglass.dicomio.writing.key_images import make_key_images
from groundglass.domain.findings import Box
from groundglass.rendering.drawing import REGION_COLOR, Color
from groundglass.rendering.outlines import region_outlines
from groundglass.rendering.slice_names import SliceNames
from groundglass.rendering.slice_picture import (
    KEY_IMAGE_WIDTH,
    SlicePictures,
    draw_key_image,
    key_slices,
    orient,
    oriented_points,
    patient_sides,
)
from tests.groundglass.dicomio.outputs_fixture import ORIENTATIONS, dciodvfy_errors, make_case


def is_color(image: np.ndarray, color: Color, tolerance: int = 60) -> np.ndarray:
    return np.abs(image.astype(int) - np.array(color)).sum(axis=-1) < tolerance


@pytest.mark.parametrize("orientation", [name for name in ORIENTATIONS if name != "tilted"])
def test_the_patients_right_is_on_the_viewers_left_and_the_front_on_top(orientation: str) -> None:
    case = make_case(orientation)
    volume = case.volume
    grid = np.stack([*np.indices(volume.hu.shape), np.ones(volume.hu.shape)], axis=-1)
    from_right, from_front = (grid @ volume.affine[axis] for axis in (0, 1))
    dark = np.where(from_right < from_right.mean(), 300, -1100) // 2 + np.where(
        from_front < from_front.mean(), 150, -550
    )
    shown = dataclasses.replace(volume, hu=dark.astype(np.int16))
    findings = dataclasses.replace(case.findings, lungs=np.ones_like(case.findings.lungs))
    image = np.asarray(SlicePictures(shown, findings, SliceNames.counted(shown)).draw(3, 400, marked=False)).astype(
        float
    )
    middle = image.shape[0] // 2
    assert image[:, :200].mean() > image[:, 200:].mean() + 20
    assert image[:middle].mean() > image[middle:].mean() + 20


@pytest.mark.parametrize(
    ("directions", "orientation", "sides"),
    [
        *(([*ORIENTATIONS[name]], ["L", "P"], "RL") for name in ORIENTATIONS if name != "tilted"),
        ([*ORIENTATIONS["tilted"]], ["L", "PF"], "RL"),
        ([(0, 1, 0), (0, 0, -1), (1, 0, 0)], ["L", "F"], "RL"),
        ([(0, 1, 0), (0, 0, 1), (-1, 0, 0)], ["L", "F"], "RL"),
        ([(-1, 0, 0), (0, 0, -1), (0, 1, 0)], ["P", "F"], "AP"),
    ],
    ids=[*(name for name in ORIENTATIONS if name != "tilted"), "tilted", "coronal", "coronal rotated", "sagittal"],
)
def test_the_orientation_told_is_the_one_shown(
    directions: list[tuple[float, ...]], orientation: list[str], sides: str, tmp_path: Path
) -> None:
    case = make_case()
    volume = dataclasses.replace(case.volume, directions=np.array(directions, float))
    (images,) = make_key_images(dataclasses.replace(case, volume=volume), [3])
    assert list(images.PatientOrientation) == orientation
    assert patient_sides(volume) == sides
    # What is drawn grows toward those sides: a slice whose values are patient coordinates says so.
    grid = np.stack([*np.indices(volume.hu.shape), np.ones(volume.hu.shape)], axis=-1)
    for letters, axis in zip(orientation, (1, 0), strict=True):
        coordinate = {"L": 0, "P": 1, "F": 2}[letters[0]]
        drawn = orient(volume, (grid @ volume.affine[coordinate])[3])
        steps = np.diff(drawn, axis=axis)
        assert (steps < 0).all() if letters[0] == "F" else (steps > 0).all()
    write_dicom(images, tmp_path / "key.dcm")
    assert dciodvfy_errors(tmp_path / "key.dcm") == []


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_outlines_surround_the_same_pixels_after_the_orientation(orientation: str) -> None:
    case = make_case(orientation)
    (outline,) = region_outlines(case.findings, 2)
    turned = orient(case.volume, case.findings.salient[2] == 1)
    rows, columns = np.nonzero(turned)
    points = oriented_points(case.volume, outline)
    assert points.min(axis=0).tolist() == [columns.min(), rows.min()]
    assert points.max(axis=0).tolist() == [columns.max() + 1, rows.max() + 1]


def test_a_plain_slice_has_no_outline_and_a_marked_one_only_the_outline() -> None:
    case = make_case()
    pictures = SlicePictures(case.volume, case.findings, SliceNames.counted(case.volume))
    plain, marked = (np.asarray(pictures.draw(2, 600, marked=marked)) for marked in (False, True))
    assert not is_color(plain, REGION_COLOR).any()
    assert is_color(marked, REGION_COLOR).sum() > 200
    # Inside the region nothing is changed: no haze hides what must be seen.
    changed = (plain != marked).any(axis=-1)
    row, column = (int(places.mean()) for places in np.nonzero(is_color(marked, REGION_COLOR)))
    assert not changed[row - 10 : row + 10, column - 10 : column + 10].any()


def test_a_key_image_shows_the_plain_slice_beside_the_marked_one_and_a_slice_without_a_region_once() -> None:
    case = make_case()
    pictures = SlicePictures(case.volume, case.findings, SliceNames.counted(case.volume))
    image = draw_key_image(pictures, 2)
    half = KEY_IMAGE_WIDTH // 2
    assert image.shape[1] == KEY_IMAGE_WIDTH
    assert not is_color(image[:, :half], REGION_COLOR).any()
    assert is_color(image[:, half:], REGION_COLOR).any()
    assert draw_key_image(pictures, 3).shape[1] < half


def test_key_images_show_the_best_slice_of_each_region_in_order_then_others() -> None:
    findings = make_case().findings
    reversed_regions = dataclasses.replace(findings, regions=findings.regions[::-1])
    assert key_slices(findings, 2) == [2, 5]
    assert key_slices(reversed_regions, 2) == [5, 2]
    assert key_slices(findings, 1) == [2]
    assert key_slices(findings, 4)[:2] == [2, 5]
    assert len(set(key_slices(findings, 4))) == 4


def test_regions_with_the_same_best_slice_share_a_key_image() -> None:
    findings = make_case().findings
    second = dataclasses.replace(findings.regions[1], box=dataclasses.replace(findings.regions[1].box, slice_index=2))
    assert key_slices(dataclasses.replace(findings, regions=(findings.regions[0], second)), 3)[:1] == [2]
    assert len(set(key_slices(dataclasses.replace(findings, regions=(findings.regions[0], second)), 3))) == 3


def test_other_key_images_prefer_salient_slices_and_are_no_neighbours() -> None:
    case = make_case()
    lungs = np.ones((60, 8, 8), np.uint8)
    salient = np.zeros(lungs.shape, np.uint8)
    salient[20:40, :4] = 1
    saliency = {index: np.ones((8, 8), np.float32) for index in range(20, 40)}
    findings = dataclasses.replace(case.findings, lungs=lungs, salient=salient, saliency=saliency, boxes=(), regions=())
    chosen = key_slices(findings, 6)
    assert chosen == sorted(chosen)
    assert len(chosen) == 6
    assert all(20 <= index < 40 for index in chosen)
    assert min(np.diff(chosen)) >= 2


@pytest.mark.parametrize("count", [1, 6, 20])
def test_key_images_of_a_negative_study_hold_the_most_lung(count: int) -> None:
    findings = make_case(positive=False).findings
    chosen = key_slices(findings, count)
    assert len(chosen) == len(set(chosen)) == min(count, len(findings.lungs))
    if count == 1:
        areas = np.count_nonzero(findings.lungs, axis=(1, 2))
        assert areas[chosen[0]] == areas.max()


def test_a_region_of_one_source_pixel_is_outlined_where_that_is_less_than_one_of_the_picture() -> None:
    case = make_case()
    hu, nothing = np.zeros((1, 1024, 1024), np.int16), np.zeros((1, 1024, 1024), np.uint8)
    salient = nothing.copy()
    salient[0, 300, 512] = 1
    box = Box(0, "cap", 512, 300, 512, 300, 1.0, 0.9, region=1)
    volume = dataclasses.replace(case.volume, hu=hu)
    findings = dataclasses.replace(case.findings, lungs=nothing, salient=salient, boxes=(box,))
    drawn = SlicePictures(volume, findings, SliceNames.counted(volume)).draw(0, 380)
    assert is_color(np.asarray(drawn), REGION_COLOR, 150).any()
