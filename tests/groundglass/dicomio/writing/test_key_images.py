"""Key images and preview show the telling slices, the patient's right on the viewer's left, and no patient data."""

import dataclasses
from pathlib import Path

import numpy as np
import pydicom
import pytest

from groundglass.dicomio.writing.files import write_dicom
from groundglass.dicomio.writing.key_images import make_key_images
from groundglass.domain.findings import Box, SliceFinding
from groundglass.rendering import picture
from tests.groundglass.dicomio.outputs_fixture import ORIENTATIONS, SOFTWARE, dciodvfy_errors, make_case


def is_color(image: np.ndarray, color: picture.Color, tolerance: int = 60) -> np.ndarray:
    return np.abs(image.astype(int) - np.array(color)).sum(axis=-1) < tolerance


def test_key_images_are_readable_and_refer_to_their_sources(tmp_path: Path) -> None:
    case = make_case()
    path = tmp_path / "key.dcm"
    write_dicom(make_key_images(case.sources, case.volume, case.findings, SOFTWARE, count=3), path)
    images = pydicom.dcmread(path)
    assert images.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7.4"
    assert images.pixel_array.shape == (3, images.Rows, images.Columns, 3)
    assert (images.BurnedInAnnotation, images.ConversionType) == ("YES", "WSD")
    assert list(images.ImageType) == ["DERIVED", "SECONDARY"]
    references = [item.ReferencedSOPInstanceUID for item in images.SourceImageSequence]
    shown = picture.telling_slices(case.findings, 3)
    assert references == [case.sources[index].SOPInstanceUID for index in shown]
    assert images.PatientID == "P-1"
    assert dciodvfy_errors(path) == []


def test_frames_show_the_slices_they_refer_to() -> None:
    case = make_case()
    images = make_key_images(case.sources, case.volume, case.findings, SOFTWARE, count=2)
    for frame, index in zip(images.pixel_array, picture.telling_slices(case.findings, 2), strict=True):
        np.testing.assert_array_equal(frame, picture.draw_finding(case.volume, case.findings, index))


def test_lossy_sources_stay_marked_lossy() -> None:
    case = make_case()
    for source in case.sources:
        source.LossyImageCompression = "01"
        source.LossyImageCompressionRatio = 8
    images = make_key_images(case.sources, case.volume, case.findings, SOFTWARE)
    assert (images.LossyImageCompression, images.LossyImageCompressionRatio) == ("01", 8)


def test_equal_input_gives_equal_uids_and_pixels() -> None:
    case = make_case()
    first, second = (make_key_images(case.sources, case.volume, case.findings, SOFTWARE) for _ in range(2))
    assert (first.SOPInstanceUID, first.PixelData) == (second.SOPInstanceUID, second.PixelData)


@pytest.mark.parametrize("orientation", [name for name in ORIENTATIONS if name != "tilted"])
def test_the_patients_right_is_on_the_viewers_left_and_the_front_on_top(orientation: str) -> None:
    case = make_case(orientation)
    x, y = (case.volume.affine[axis] for axis in (0, 1))
    grid = np.stack([*np.indices(case.volume.hu.shape), np.ones(case.volume.hu.shape)], axis=-1)
    from_middle_mm = grid @ x - (grid @ x).mean()
    lungs = np.select([from_middle_mm < -8, from_middle_mm > 8], [1, 2], 0).astype(np.uint8)
    front = grid @ y < (grid @ y).mean()
    findings = dataclasses.replace(case.findings, lungs=lungs, saliency={3: front[3].astype(np.float32)}, boxes=())
    image = picture.draw_finding(case.volume, findings, 3, width=400)
    right = np.argwhere(is_color(image, picture.RIGHT_COLOR))
    left = np.argwhere(is_color(image, picture.LEFT_COLOR))
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
    images = make_key_images(case.sources, volume, case.findings, SOFTWARE, count=1)
    assert list(images.PatientOrientation) == orientation
    assert picture.patient_sides(volume) == sides
    # What is drawn grows toward those sides: a slice whose values are patient coordinates says so.
    grid = np.stack([*np.indices(volume.hu.shape), np.ones(volume.hu.shape)], axis=-1)
    for letters, axis in zip(orientation, (1, 0), strict=True):
        coordinate = {"L": 0, "P": 1, "F": 2}[letters[0]]
        drawn = picture._orient(volume, (grid @ volume.affine[coordinate])[3])
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
    shown = picture._oriented(case.volume, findings, 2)
    (moved,) = shown.boxes
    oriented = picture._orient(case.volume, marked[2])
    assert oriented[moved.row_min : moved.row_max + 1, moved.column_min : moved.column_max + 1].all()
    assert oriented.sum() == (moved.row_max - moved.row_min + 1) * (moved.column_max - moved.column_min + 1)


def test_saliency_shows_inside_the_lungs_only() -> None:
    lungs = np.zeros((64, 64), np.uint8)
    lungs[10:50, 5:25] = 1
    hu = np.full((64, 64), -900, np.int16)
    without = picture.draw_slice(hu, lungs, None, [], "", width=64).astype(int)
    with_it = picture.draw_slice(hu, lungs, np.ones((64, 64), np.float32), [], "", width=64).astype(int)
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
    chosen = picture.telling_slices(findings, 6)
    assert chosen == sorted(chosen)
    assert len(chosen) == 6
    assert all(20 <= index < 40 for index in chosen)
    assert min(np.diff(chosen)) >= 2


@pytest.mark.parametrize("count", [1, 6, 20])
def test_telling_slices_of_a_negative_study_hold_the_most_lung(count: int) -> None:
    findings = make_case(positive=False).findings
    chosen = picture.telling_slices(findings, count)
    assert len(chosen) == len(set(chosen)) == min(count, len(findings.lungs))
    if count == 1:
        areas = np.count_nonzero(findings.lungs, axis=(1, 2))
        assert areas[chosen[0]] == areas.max()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("positive", [True, False])
def test_preview_is_drawn_for_every_orientation(orientation: str, positive: bool) -> None:
    case = make_case(orientation, positive)
    preview = picture.make_preview(case.volume, case.findings)
    assert preview.width == 1500
    colored = np.asarray(preview)
    assert is_color(colored, picture.CLASS_COLORS[case.findings.label]).any()
    assert is_color(colored, picture.RIGHT_COLOR).sum() > 500


def test_preview_is_drawn_of_more_slices_than_it_has_rows() -> None:
    case = make_case()
    times = 1200 // len(case.volume.hu)
    thin_mm = (case.volume.spacing_mm[0] / times, *case.volume.spacing_mm[1:])
    volume = dataclasses.replace(case.volume, hu=np.repeat(case.volume.hu, times, axis=0), spacing_mm=thin_mm)
    findings = dataclasses.replace(
        case.findings,
        lungs=np.repeat(case.findings.lungs, times, axis=0),
        salient=np.repeat(case.findings.salient, times, axis=0),
        slices=tuple(SliceFinding(index, 2e4, (0.2, 0.3, 0.5)) for index in range(len(volume.hu))),
    )
    assert is_color(np.asarray(picture.make_preview(volume, findings)), picture.CLASS_COLORS["covid19"]).sum() > 5000


def test_a_box_of_one_source_pixel_is_drawn_where_that_is_less_than_one_of_the_picture() -> None:
    image = np.zeros((1024, 1024), np.int16)
    thin = Box(0, "cap", 512, 300, 512, 300, 1.0, 0.9)
    drawn = picture.draw_slice(image, np.zeros((1024, 1024), np.uint8), None, [thin], "", 380, 1.0, "RL")
    assert is_color(drawn, picture.BOX_COLOR).any()


def test_preview_needs_no_lungs_and_no_estimate() -> None:
    case = make_case(positive=False)
    findings = dataclasses.replace(
        case.findings, lungs=np.zeros_like(case.findings.lungs), salient_fraction=None, slices=()
    )
    assert picture.make_preview(case.volume, findings).width == 1500
