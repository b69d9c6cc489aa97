"""A slice is drawn with the patient's right on the viewer's left, and with what was found in its place."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from groundglass.dicomio.writing.files import write_dicom
from groundglass.dicomio.writing.key_images import make_key_images
from groundglass.domain.findings import Box
from groundglass.rendering.slice_picture import (
    BOX_COLOR,
    LEFT_COLOR,
    RIGHT_COLOR,
    Color,
    draw_finding,
    draw_slice,
    orient,
    oriented,
    patient_sides,
    telling_slices,
)
from tests.groundglass.dicomio.outputs_fixture import ORIENTATIONS, dciodvfy_errors, make_case


def is_color(image: np.ndarray, color: Color, tolerance: int = 60) -> np.ndarray:
    return np.abs(image.astype(int) - np.array(color)).sum(axis=-1) < tolerance


@pytest.mark.parametrize("orientation", [name for name in ORIENTATIONS if name != "tilted"])
def test_the_patients_right_is_on_the_viewers_left_and_the_front_on_top(orientation: str) -> None:
    case = make_case(orientation)
    x, y = (case.volume.affine[axis] for axis in (0, 1))
    grid = np.stack([*np.indices(case.volume.hu.shape), np.ones(case.volume.hu.shape)], axis=-1)
    from_middle_mm = grid @ x - (grid @ x).mean()
    lungs = np.select([from_middle_mm < -8, from_middle_mm > 8], [1, 2], 0).astype(np.uint8)
    front = grid @ y < (grid @ y).mean()
    findings = dataclasses.replace(case.findings, lungs=lungs, saliency={3: front[3].astype(np.float32)}, boxes=())
    image = draw_finding(case.volume, findings, 3, width=400)
    right = np.argwhere(is_color(image, RIGHT_COLOR))
    left = np.argwhere(is_color(image, LEFT_COLOR))
    assert right[:, 1].mean() < left[:, 1].mean()
    redness = image[..., 0].astype(int) - image[..., 2]
    height = image.shape[0] - 40  # without the caption
    assert redness[: height // 2 - 20].mean() > redness[height // 2 + 20 : height].mean() + 20


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
    images = make_key_images(dataclasses.replace(case, volume=volume), count=1)
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
def test_boxes_surround_the_same_pixels_after_the_orientation(orientation: str) -> None:
    case = make_case(orientation)
    box = Box(2, "covid19", 5, 6, 11, 9, 52.5, 0.8)
    marked = np.zeros(case.volume.hu.shape, bool)
    marked[2, 6:10, 5:12] = True
    findings = dataclasses.replace(case.findings, boxes=(box,))
    shown = oriented(case.volume, findings, 2)
    (moved,) = shown.boxes
    turned = orient(case.volume, marked[2])
    assert turned[moved.row_min : moved.row_max + 1, moved.column_min : moved.column_max + 1].all()
    assert turned.sum() == (moved.row_max - moved.row_min + 1) * (moved.column_max - moved.column_min + 1)


def test_saliency_shows_inside_the_lungs_only() -> None:
    lungs = np.zeros((64, 64), np.uint8)
    lungs[10:50, 5:25] = 1
    hu = np.full((64, 64), -900, np.int16)
    without = draw_slice(hu, lungs, None, [], "", width=64).astype(int)
    with_it = draw_slice(hu, lungs, np.ones((64, 64), np.float32), [], "", width=64).astype(int)
    changed = np.abs(with_it - without).sum(axis=-1) > 0
    assert changed[12:22, 10:20].all()  # below is the letter R
    assert not changed[lungs == 0].any()


def test_telling_slices_prefer_salient_ones_and_are_no_neighbours() -> None:
    case = make_case()
    lungs = np.ones((60, 8, 8), np.uint8)
    salient = np.zeros(lungs.shape, bool)
    salient[20:40, :4] = True
    saliency = {index: np.ones((8, 8), np.float32) for index in range(20, 40)}
    findings = dataclasses.replace(case.findings, lungs=lungs, salient=salient, saliency=saliency, boxes=())
    chosen = telling_slices(findings, 6)
    assert chosen == sorted(chosen)
    assert len(chosen) == 6
    assert all(20 <= index < 40 for index in chosen)
    assert min(np.diff(chosen)) >= 2


@pytest.mark.parametrize("count", [1, 6, 20])
def test_telling_slices_of_a_negative_study_hold_the_most_lung(count: int) -> None:
    findings = make_case(positive=False).findings
    chosen = telling_slices(findings, count)
    assert len(chosen) == len(set(chosen)) == min(count, len(findings.lungs))
    if count == 1:
        areas = np.count_nonzero(findings.lungs, axis=(1, 2))
        assert areas[chosen[0]] == areas.max()


def test_a_box_of_one_source_pixel_is_drawn_where_that_is_less_than_one_of_the_picture() -> None:
    image = np.zeros((1024, 1024), np.int16)
    thin = Box(0, "cap", 512, 300, 512, 300, 1.0, 0.9)
    drawn = draw_slice(image, np.zeros((1024, 1024), np.uint8), None, [thin], "", 380, 1.0, "RL")
    assert is_color(drawn, BOX_COLOR).any()
