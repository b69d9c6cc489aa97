"""A case is read from a folder of results and the study that it was made of, reports and segments as they are."""

import json
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import Comprehensive3DSRStorage, CTImageStorage

from conformance.viewer.case import Case, Report, affine_of
from tests.conformance.viewer.results import write_case


def item(value_type: str, code: str = "", **attributes: object) -> Dataset:
    made = Dataset()
    made.ValueType = value_type
    if code:
        name = Dataset()
        name.CodeValue = code
        made.ConceptNameCodeSequence = [name]
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def group(uid: str, *items: Dataset) -> Dataset:
    tracking = item("UIDREF", "112040", UID=uid)
    text = item("TEXT", "112039", TextValue=f"Region {uid}")
    return item("CONTAINER", "125007", ContentSequence=[text, tracking, *items])


def coordinates(image: str) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = CTImageStorage, image
    selected = item("IMAGE", ReferencedSOPSequence=[reference])
    return item("SCOORD", "111030", GraphicData=[1, 2, 3, 2, 3, 4, 1, 4, 1, 2], ContentSequence=[selected])


def report(title: str, *items: Dataset) -> Dataset:
    made = item("CONTAINER", title, ContentSequence=list(items))
    made.SOPClassUID = Comprehensive3DSRStorage
    return made


def test_the_regions_of_a_report_are_its_groups_with_coordinates_on_an_image() -> None:
    groups = item(
        "CONTAINER",
        "126010",
        ContentSequence=[group("1.2", coordinates("1.5")), group("1.3"), group("1.4", coordinates("1.6"))],
    )
    read = Report.read(report("126000", item("TEXT", "121106", TextValue="first"), groups))
    assert read.measures
    assert [(region.uid, region.sop_instance_uid) for region in read.regions] == [("1.2", "1.5"), ("1.4", "1.6")]
    assert read.regions[0].outline.tolist() == [[1, 2], [3, 2], [3, 4], [1, 4], [1, 2]]
    assert read.texts == ("first", "Region 1.2", "Region 1.3", "Region 1.4")


def test_a_report_with_another_title_is_one_of_words() -> None:
    read = Report.read(report("18748-4", item("TEXT", "121106", TextValue="Pneumonia absent")))
    assert (read.measures, read.regions, read.texts) == (False, (), ("Pneumonia absent",))


@pytest.mark.slow
def test_slices_are_in_order_and_segments_lie_on_them(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    affine = affine_of(case.sources)
    for index, source in enumerate(case.sources):
        np.testing.assert_allclose(
            (affine @ [index, 0, 0, 1])[:3], np.array(source.ImagePositionPatient, float), atol=1e-3
        )
    ((path, masks),) = case.masks.items()
    assert case.kind(path) == "seg"
    assert [label.partition(" of")[0] for label, _ in masks.values()] == ["Right lung", "Left lung"]
    assert all(mask.shape == (24, 96, 96) and mask.any() for _, mask in masks.values())
    result = tmp_path / "results" / "result.json"
    changed = json.loads(result.read_text())
    changed["cases"][0]["series_instance_uid"] = "1.2.3"
    result.write_text(json.dumps(changed))
    with pytest.raises(ValueError, match="no image of the series"):
        list(Case.read_all("x", tmp_path / "study", tmp_path / "results"))
    (tmp_path / "results" / "case-001.seg.dcm").unlink()
    with pytest.raises(FileNotFoundError):
        list(Case.read_all("x", tmp_path / "study", tmp_path / "results"))
