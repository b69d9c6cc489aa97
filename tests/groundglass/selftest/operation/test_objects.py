"""Each check of the DICOM objects finds what is wrong with others."""

from collections.abc import Callable
from typing import Any

import pydicom
import pytest
from pydicom import DataElement, Dataset

from tests.groundglass.selftest.operation.spoiling import Judged, case_of, items_of, shave, to_the_front

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("title", "change"),
    [
        ("Segmentations", lambda result: case_of(result)["lungs"].update(left_ml=2800.0)),
        ("Reports", lambda result: case_of(result)["prediction"]["probabilities"].update(covid19=0.5)),
        ("Reports", lambda result: case_of(result)["boxes"].pop()),
        ("Presentation states", lambda result: case_of(result)["boxes"][0].update(row_min=0)),
    ],
)
def test_a_result_that_says_something_else_is_found(
    judged: Judged, title: str, change: Callable[[dict[str, Any]], object]
) -> None:
    judged.edit_result(change)
    assert judged.outcome(title).verdict == "failed"


def explain_another_class(report: Dataset) -> None:
    """The boxes are explained as another class than the study's."""
    for item in items_of(report):
        if item.ValueType == "CODE" and item.ConceptNameCodeSequence[0].CodeValue == "EXPLAINED-CLASS":
            item.ConceptCodeSequence[0].CodeValue = "385093006"


def grow_lesions(report: Dataset) -> None:
    """Lengths, which the lesions alone have, are others."""
    for item in items_of(report):
        if item.ValueType == "NUM" and item.ConceptNameCodeSequence[0].CodeValue == "410668003":
            item.MeasuredValueSequence[0].NumericValue = "999"


def point_nowhere(state: Dataset) -> None:
    state.GraphicAnnotationSequence[0].ReferencedImageSequence[0].ReferencedSOPInstanceUID = "2.25.1"


def refer_into_another(keyword: str) -> Callable[[Dataset], None]:
    """The evidence of the report names another study, or another series, for the images."""

    def change(report: Dataset) -> None:
        study = report.CurrentRequestedProcedureEvidenceSequence[0]
        setattr(study if keyword == "StudyInstanceUID" else study.ReferencedSeriesSequence[0], keyword, "2.25.1")

    return change


def break_a_value(dataset: Dataset) -> None:
    dataset.add(DataElement("PatientBirthDate", "DA", "some day", validation_mode=pydicom.config.IGNORE))


@pytest.mark.parametrize(
    ("title", "kind", "change"),
    [
        ("Segmentations", "seg", shave),
        ("Reports", "sr", explain_another_class),
        ("Reports", "sr", grow_lesions),
        ("Reports", "sr", to_the_front),
        ("Presentation states", "boxes", point_nowhere),
        ("References and identity", "boxes", point_nowhere),
        ("References and identity", "sr", lambda report: setattr(report, "PatientID", "another")),
        ("References and identity", "sr", lambda report: setattr(report, "AccessionNumber", "")),
        ("References and identity", "sr", lambda report: setattr(report, "PatientBirthDate", "")),
        ("References and identity", "sr", lambda report: setattr(report, "ReferringPhysicianName", "")),
        ("References and identity", "sr", refer_into_another("StudyInstanceUID")),
        ("References and identity", "sr", refer_into_another("SeriesInstanceUID")),
        ("References and identity", "key-image-02", lambda images: setattr(images, "StudyInstanceUID", "2.25.1")),
        ("References and identity", "seg", lambda dataset: setattr(dataset, "FrameOfReferenceUID", "2.25.1")),
        ("Key images", "key-image-02", lambda image: setattr(image, "SourceImageSequence", [])),
        ("Strict reading", "key-image-02", break_a_value),
        ("Provenance", "key-image-02", lambda images: setattr(images, "SeriesDescription", "For diagnosis")),
        ("Provenance", "sr", lambda report: setattr(report, "SoftwareVersions", "9.9")),
        ("Provenance", "seg", lambda dataset: [segment.clear() for segment in dataset.SegmentSequence]),
    ],
)
def test_a_file_that_is_not_right_is_found(
    judged: Judged, title: str, kind: str, change: Callable[[Dataset], object]
) -> None:
    judged.edit(kind, change)
    assert judged.outcome(title).verdict == "failed"
