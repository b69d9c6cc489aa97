"""What OHIF shows is held against the files, and whatever it shows otherwise is noticed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage

from conformance.viewer import ohif
from conformance.viewer.case import Case, Region, Report, affine_of
from conformance.viewer.server import Measured
from tests.conformance.viewer.results import seen, write_case

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return write_case(tmp_path_factory.mktemp("case"))


def problems(case: Case, objects: dict[str, Any], measured: Measured, said: list[list[str]] | None = None) -> list[str]:
    measured["0"] = json.dumps({"problems": said or [], "objects": objects}).encode()
    return [finding.what for finding in ohif.compare(case, "0", measured) if finding.problem]


def test_a_viewer_that_shows_everything_has_no_problem_and_every_object_is_looked_at(case: Case) -> None:
    objects, measured = seen(case)
    assert problems(case, objects, measured) == []
    looked = {finding.what.partition(":")[0] for finding in ohif.compare(case, "0", measured)}
    assert looked == {"source", "seg", "key-images", "boxes"}


def move_segment(objects: dict[str, Any], measured: Measured) -> None:
    layer = next(name for name in objects["seg"]["voxels"] if name.startswith("0/seg/2-"))
    measured[layer] = measured[layer][1:] + bytes(1)


def move_layer(objects: dict[str, Any], measured: Measured) -> None:
    voxels = objects["seg"]["voxels"]
    layers = [name for name in voxels if name.startswith("0/seg/1-")]
    voxels[layers[0]], voxels[layers[5]] = voxels[layers[5]], voxels[layers[0]]


def mirror_screen(objects: dict[str, Any], measured: Measured) -> None:
    screen = np.frombuffer(measured["0/seg/screen"], np.uint8).reshape(96, 96, 4)
    measured["0/seg/screen"] = screen[:, ::-1].tobytes()


def darken(objects: dict[str, Any], measured: Measured) -> None:
    pixels = bytearray(measured["0/key-images/0"])
    pixels[0] ^= 128
    measured["0/key-images/0"] = bytes(pixels)


CHANGES: dict[str, tuple[Callable[[dict[str, Any], Measured], object], str]] = {
    "a segment is moved": (move_segment, "seg: Left lung"),
    "slices are swapped": (move_layer, "seg: Right lung"),
    "the screen is mirrored": (mirror_screen, "seg: on the screen"),
    "a segment has another name": (lambda o, m: o["seg"]["segments"].update({"1": "Liver"}), "seg: Right lung"),
    "a segmentation is not opened": (lambda o, m: o.pop("seg"), "seg: Right lung"),
    "a pixel is another": (darken, "key-images"),
    "an image is missing": (lambda o, m: o["key-images"]["pixels"].popitem(), "key-images"),
    "what can't be shown is shown": (lambda o, m: o["boxes"].update(unsupported=False), "boxes"),
    "what can be shown is not": (lambda o, m: o["key-images"].update(unsupported=True), "key-images"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_shown_otherwise_is_noticed(case: Case, change: str) -> None:
    objects, measured = seen(case)
    apply, expected = CHANGES[change]
    apply(objects, measured)
    assert any(what.startswith(expected) for what in problems(case, objects, measured))


def test_an_error_in_the_console_is_a_problem_of_the_object_that_was_open(case: Case) -> None:
    objects, measured = seen(case)
    assert problems(case, objects, measured, [["seg", "Console: TypeError"]]) == ["seg: opened"]


# Reports


def region(case: Case, index: int, left: float) -> Region:
    outline = np.array([[left, 10], [left + 20, 10], [left + 20, 30], [left, 30], [left, 10]], float)
    return Region(f"2.25.{index}{left:.0f}", str(case.sources[index].SOPInstanceUID), outline)


def shown(case: Case, regions: tuple[Region, ...]) -> dict[str, Any]:
    """What OHIF tells of a report whose regions it shows right."""
    outlines = []
    for held in regions:
        index = [source.SOPInstanceUID for source in case.sources].index(held.sop_instance_uid)
        affine = affine_of(case.sources)
        places = [np.array([index, row - 0.5, column - 0.5, 1]) for column, row in held.outline]
        points = [(affine @ place)[:3].tolist() for place in places]
        outlines.append({"uid": held.uid, "sop": held.sop_instance_uid, "points": points})
    return {
        "measured": True,
        "measurements": [{"uid": held.uid, "sop": held.sop_instance_uid, "loaded": True} for held in regions],
        "trackable": True,
        "seen": len(regions),
        "outlines": outlines,
        "tracked": [{"uid": "x", "sop": held.sop_instance_uid} for held in regions],
        "jumped": len(regions),
    }


def found(case: Case, regions: tuple[Region, ...], told: dict[str, Any]) -> list[str]:
    report = Report(True, regions, ())
    return [what for what, problem in ohif.compare_measurements(case, report, told) if problem]


def test_regions_that_come_to_their_slices_have_no_problem_and_others_have(case: Case) -> None:
    regions = region(case, 5, 20), region(case, 5, 50), region(case, 9, 30)
    assert found(case, regions, shown(case, regions)) == []
    merged = shown(case, regions[1:]) | {"seen": 2, "jumped": 2}
    assert "3 regions, as many measurements" in found(case, regions, merged)
    assert found(case, regions, shown(case, regions) | {"seen": 1}) == ["3 regions, each comes to its slice"]
    assert found(case, regions, shown(case, regions) | {"jumped": 2}) == ["3 tracked regions, each jumps to its slice"]
    assert found(case, regions, shown(case, regions) | {"tracked": []}) == ["3 regions, each can be tracked"]
    moved = (*regions[:2], region(case, 9, 31))
    elsewhere = shown(case, moved)["outlines"]
    elsewhere[2]["uid"] = regions[2].uid
    assert found(case, regions, shown(case, regions) | {"outlines": elsewhere}) == [
        "3 regions, each drawn in its place"
    ]


def test_regions_that_are_not_offered_for_tracking_need_not_be_tracked(case: Case) -> None:
    regions = (region(case, 5, 20),)
    told = shown(case, regions) | {"trackable": False, "tracked": [], "jumped": 0}
    assert found(case, regions, told) == []


def test_a_report_of_words_has_every_word_on_the_screen_and_is_none_of_measurements() -> None:
    report = Report(False, (), ("Pneumonia absent,\nprobability .03.", "Research use only"))
    words = "1. Report | Comment: Pneumonia absent, probability .03. | Comment: Research use only"
    assert [problem for _, problem in ohif.compare_text(report, {"text": words})] == [""]
    assert next(ohif.compare_text(report, {"text": words[:-20]}))[1] == "1 are missing: 'Research use only'"
    assert next(ohif.compare_text(report, {"text": words, "measured": True}))[1] != ""
    assert next(ohif.compare_text(report, {}))[1].startswith("2 are missing")


def test_the_job_opens_every_object_and_tracks_the_measurements_of_a_report_on_a_page_of_its_own(
    case: Case, tmp_path: Path
) -> None:
    path = tmp_path / "case-001.sr.dcm"
    title = Dataset()
    title.CodeValue, title.CodingSchemeDesignator = "126000", "DCM"
    title.CodeMeaning = "Imaging Measurement Report"
    report = dcmread(case.outputs[0], stop_before_pixels=True)
    report.SOPClassUID, report.SOPInstanceUID = Comprehensive3DSRStorage, "2.25.1"
    report.ConceptNameCodeSequence, report.ContentSequence = [title], []
    report.save_as(path)
    with_report = Case("a, b", case.sources, (*case.outputs, path))
    job = ohif._job(with_report, "7", tmp_path)
    (first, second) = job["pages"]
    assert [item["name"] for item in first] == ["source", "seg", "key-images", "boxes", "sr"]
    assert [(item["name"], item["kind"]) for item in second] == [("sr", "tracking")]
    assert first[-1]["picture"].endswith("a-b-sr.png")
    assert second[0]["picture"].endswith("a-b-sr-tracked.png")
