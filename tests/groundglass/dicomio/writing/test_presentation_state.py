"""The presentation state outlines each region on its source slice, in the lung window, and says which it is."""

import dataclasses
import shutil
import subprocess
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest

from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.dicomio.writing.files import write_dicom
from groundglass.dicomio.writing.presentation_state import make_presentation_state
from groundglass.dicomio.writing.report import make_report
from groundglass.dicomio.writing.segmentation import make_segmentation
from groundglass.domain.findings import UNLISTED_REGION, Box
from tests.groundglass.dicomio.outputs_fixture import (
    COLUMNS,
    ORIENTATIONS,
    ROWS,
    SPACING_MM,
    dciodvfy_errors,
)
from tests.groundglass.dicomio.outputs_fixture import make_case as make_plain_case


def make_case(orientation: str = "head first supine") -> AnalysedSeries:
    case = make_plain_case(orientation)
    for source in case.sources:
        source.RescaleSlope, source.RescaleIntercept = "1", "-1024"
    return case


def written(case: AnalysedSeries, folder: Path) -> pydicom.Dataset:
    write_dicom(make_presentation_state(case), folder / "boxes.dcm")
    assert dciodvfy_errors(folder / "boxes.dcm") == []
    return pydicom.dcmread(folder / "boxes.dcm")


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_each_region_is_a_closed_line_around_its_pixels_on_the_source_image(orientation: str, tmp_path: Path) -> None:
    case = make_case(orientation)
    annotations = written(case, tmp_path).GraphicAnnotationSequence
    assert len(annotations) == len(case.findings.boxes)
    for annotation, box in zip(annotations, case.findings.boxes, strict=True):
        (image,) = annotation.ReferencedImageSequence
        assert image.ReferencedSOPInstanceUID == case.sources[box.slice_index].SOPInstanceUID
        (graphic,) = annotation.GraphicObjectSequence
        assert (graphic.GraphicType, graphic.GraphicAnnotationUnits) == ("POLYLINE", "PIXEL")
        points = np.reshape(graphic.GraphicData, (-1, 2))
        assert points[0].tolist() == points[-1].tolist()
        assert points.min(axis=0).tolist() == [box.column_min, box.row_min]
        assert points.max(axis=0).tolist() == [box.column_max + 1, box.row_max + 1]
        assert graphic.GraphicFilled == "N"


def with_regions_at_the_corner(case: AnalysedSeries) -> AnalysedSeries:
    """A listed region at the upper right corner of a slice, and one that is not listed."""
    salient = case.findings.salient.copy()
    salient[2, :3, COLUMNS - 3 :] = 2
    salient[2, ROWS - 6 :, :6] = UNLISTED_REGION
    corner = Box(2, "cap", COLUMNS - 3, 0, COLUMNS - 1, 2, 9.0, 0.625, region=2)
    unlisted = Box(2, "cap", 0, ROWS - 6, 5, ROWS - 1, 9.0, 0.625)
    boxes = (*case.findings.boxes, corner, unlisted)
    return dataclasses.replace(case, findings=dataclasses.replace(case.findings, salient=salient, boxes=boxes))


def test_listed_regions_are_labelled_by_their_number_within_the_image_and_others_are_not(tmp_path: Path) -> None:
    state = written(with_regions_at_the_corner(make_case()), tmp_path)
    first, second = state.GraphicAnnotationSequence
    assert len(first.GraphicObjectSequence) == 3
    labels = [*first.TextObjectSequence, *second.TextObjectSequence]
    assert [label.UnformattedTextValue for label in labels] == ["Region 1", "Region 2", "Region 2"]
    for label in labels:
        left, top = label.BoundingBoxTopLeftHandCorner
        right, bottom = label.BoundingBoxBottomRightHandCorner
        assert 0 <= left < right <= COLUMNS
        assert 0 <= top < bottom <= ROWS
    assert [graphic.get("TrackingID") for graphic in first.GraphicObjectSequence] == ["Region 1", "Region 2", None]


@pytest.mark.parametrize("name", [None, "", "Doe^Jane"])
def test_dcmtk_accepts_it_whether_or_not_the_patient_has_a_name(name: str | None, tmp_path: Path) -> None:
    tool = shutil.which("dcmpschk")
    if tool is None:
        pytest.skip("dcmpschk (Debian package dcmtk) is not installed")
    case = make_case()
    for source in case.sources:
        if name is not None:
            source.PatientName = name
    state = written(case, tmp_path)
    assert "".join(str(state.PatientName).split("^")) == (name or "").replace("^", "")
    done = subprocess.run([tool, str(tmp_path / "boxes.dcm")], capture_output=True, text=True, check=False)
    assert "Test passed" in done.stdout + done.stderr


def test_only_images_with_regions_are_referred_to(tmp_path: Path) -> None:
    case = make_case()
    (series,) = written(case, tmp_path).ReferencedSeriesSequence
    assert series.SeriesInstanceUID == case.sources[0].SeriesInstanceUID
    uids = [image.ReferencedSOPInstanceUID for image in series.ReferencedImageSequence]
    assert uids == [case.sources[index].SOPInstanceUID for index in (2, 5)]


def test_the_lung_window_is_in_hounsfield_units_and_pixels_keep_their_shape(tmp_path: Path) -> None:
    state = written(make_case(), tmp_path)
    assert (state.RescaleSlope, state.RescaleIntercept, state.RescaleType) == (1, -1024, "HU")
    (window,) = state.SoftcopyVOILUTSequence
    assert (window.WindowCenter, window.WindowWidth, window.WindowCenterWidthExplanation) == (-600, 1500, "Lung window")
    (area,) = state.DisplayedAreaSelectionSequence
    assert tuple(area.PresentationPixelSpacing) == SPACING_MM[1:]
    assert list(area.DisplayedAreaBottomRightHandCorner) == [COLUMNS, ROWS]
    assert "PresentationPixelAspectRatio" not in area


def test_images_with_different_rescales_get_the_same_window_in_hounsfield_units(tmp_path: Path) -> None:
    case = make_case()
    case.sources[5].RescaleSlope, case.sources[5].RescaleIntercept = "2", "-1000"
    state = written(case, tmp_path)
    assert "RescaleSlope" not in state  # without one, windows count stored values
    for index in (2, 5):
        uid, source = case.sources[index].SOPInstanceUID, case.sources[index]
        (window,) = (
            item
            for item in state.SoftcopyVOILUTSequence
            if uid in [image.ReferencedSOPInstanceUID for image in item.ReferencedImageSequence]
        )
        assert window.WindowCenter * source.RescaleSlope + source.RescaleIntercept == -600
        assert window.WindowWidth * source.RescaleSlope == 1500


def test_outlines_bear_the_tracking_identifiers_of_the_report(tmp_path: Path) -> None:
    case = make_case()
    write_dicom(make_report(case, [make_segmentation(case)]), tmp_path / "sr.dcm")
    graphics = [item.GraphicObjectSequence[0] for item in written(case, tmp_path).GraphicAnnotationSequence]
    groups = hd.sr.srread(tmp_path / "sr.dcm").content.get_planar_roi_measurement_groups()
    assert [(graphic.TrackingID, graphic.TrackingUID) for graphic in graphics] == [
        (group.tracking_identifier, group.tracking_uid) for group in groups
    ]


def test_equal_input_gives_equal_uids_and_the_sources_identity(tmp_path: Path) -> None:
    case = make_case()
    first = written(case, tmp_path)
    second = make_presentation_state(case)
    assert (first.SOPInstanceUID, first.SeriesInstanceUID) == (second.SOPInstanceUID, second.SeriesInstanceUID)
    assert (first.PatientID, first.StudyInstanceUID, first.SeriesNumber) == ("P-1", "1.2.3", 9105)


def test_a_study_without_regions_has_no_presentation_state() -> None:
    case = make_plain_case(positive=False)
    with pytest.raises(ValueError, match="no region to outline"):
        make_presentation_state(case)
