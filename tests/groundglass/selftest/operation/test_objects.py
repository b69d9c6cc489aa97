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
        ("Reports", lambda result: case_of(result)["regions"].pop()),
        ("Reports", lambda result: case_of(result)["prediction"].update(kind="covid19")),
        ("Reports", lambda result: case_of(result)["prediction"]["statement"].pop(0)),
        ("Reports", lambda result: case_of(result)["zones"][0].update(salient_fraction=0.9)),
        ("Presentation states", lambda result: case_of(result)["boxes"][0].update(row_min=0)),
    ],
)
def test_a_result_that_says_something_else_is_found(
    judged: Judged, title: str, change: Callable[[dict[str, Any]], object]
) -> None:
    judged.edit_result(change)
    assert judged.outcome(title).verdict == "failed"


def say_absent(report: Dataset) -> None:
    """The coded state is another than the words'."""
    for item in items_of(report):
        if item.ValueType == "CODE" and item.ConceptNameCodeSequence[0].CodeValue == "233604007":
            item.ConceptCodeSequence[0].CodeValue = "272519000"


def swap_sides(report: Dataset) -> None:
    for item in items_of(report):
        if item.ValueType == "CODE" and item.ConceptNameCodeSequence[0].CodeMeaning == "Laterality":
            side = item.ConceptCodeSequence[0]
            side.CodeValue = "7771000" if side.CodeValue == "24028007" else "24028007"


def share_tracking(report: Dataset) -> None:
    """All regions have one Tracking UID."""
    for item in items_of(report):
        if item.ValueType == "UIDREF" and item.ConceptNameCodeSequence[0].CodeValue == "112040":
            item.UID = "2.25.1"


def measure_without_region(report: Dataset) -> None:
    """A group loses its coordinates."""
    group = next(item for item in items_of(report) if item.ConceptNameCodeSequence[0].CodeValue == "125007")
    group.ContentSequence = [item for item in group.ContentSequence if item.ValueType != "SCOORD"]


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
        ("Reports", "sr", say_absent),
        ("Reports", "sr", swap_sides),
        ("Reports", "sr", share_tracking),
        ("Reports", "sr", measure_without_region),
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
