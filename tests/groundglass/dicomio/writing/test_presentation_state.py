"""The presentation state draws each box on its source slice, in the lung window, and says what it is."""

import dataclasses
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
from groundglass.domain.findings import Box
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
def test_each_box_is_a_closed_line_along_the_pixel_edges_of_its_source_image(orientation: str, tmp_path: Path) -> None:
    case = make_case(orientation)
    annotations = written(case, tmp_path).GraphicAnnotationSequence
    assert len(annotations) == len(case.findings.boxes)
    for annotation, box in zip(annotations, case.findings.boxes, strict=True):
        (image,) = annotation.ReferencedImageSequence
        assert image.ReferencedSOPInstanceUID == case.sources[box.slice_index].SOPInstanceUID
        (graphic,) = annotation.GraphicObjectSequence
        assert (graphic.GraphicType, graphic.GraphicAnnotationUnits) == ("POLYLINE", "PIXEL")
        corners = np.reshape(graphic.GraphicData, (-1, 2))
        assert corners.tolist()[0] == corners.tolist()[-1] == [box.column_min, box.row_min]
        assert corners.max(axis=0).tolist() == [box.column_max + 1, box.row_max + 1]


def test_labels_name_class_probability_and_research_use_within_the_image(tmp_path: Path) -> None:
    case = make_case()
    corner = Box(2, "cap", COLUMNS - 3, 0, COLUMNS - 1, ROWS - 1, 9.0, 0.625, 1)
    findings = dataclasses.replace(case.findings, boxes=(*case.findings.boxes, corner))
    state = written(dataclasses.replace(case, findings=findings), tmp_path)
    labels = [label for item in state.GraphicAnnotationSequence for label in item.TextObjectSequence]
    texts = [label.UnformattedTextValue for label in labels]
    assert texts == ["COVID-19 0.80, research use", "CAP 0.62, research use", "COVID-19 0.75, research use"]
    for label in labels:
        left, top = label.BoundingBoxTopLeftHandCorner
        right, bottom = label.BoundingBoxBottomRightHandCorner
        assert 0 <= left < right <= COLUMNS
        assert 0 <= top < bottom <= ROWS


def test_only_images_with_boxes_are_referred_to(tmp_path: Path) -> None:
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


def test_boxes_bear_the_tracking_identifiers_of_the_report(tmp_path: Path) -> None:
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


def test_a_study_without_boxes_has_no_presentation_state() -> None:
    case = make_plain_case(positive=False)
    with pytest.raises(ValueError, match="no box to draw"):
        make_presentation_state(case)
