"""Checks of the form: what the validators of others say of a file. Each returns its errors, one a line."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pydicom
from pydicom import Dataset

from conformance.tools import run
from groundglass.selftest.outputs import Output

UNKNOWN_KIND = "It does not know the kind of the object."


def dciodvfy(output: Output) -> list[str]:
    """David Clunie's check of the modules and attributes of a file's SOP class (PS3.3)."""
    _, text = run("dciodvfy", "-new", output.path)
    if "Error - Information Object Not found" in text:
        return [UNKNOWN_KIND]
    if not re.search(r"^[A-Z]\w+$", text, re.MULTILINE):  # the name of the IOD
        return ["It did not get to the end: " + text.strip()[:200]]
    return [line for line in text.splitlines() if line.startswith(("Error", "Abort"))]


def dcentvfy(paths: Sequence[Path]) -> list[str]:
    """David Clunie's check that the files of a study agree on patient, study, series and equipment."""
    _, text = run("dcentvfy", *paths)
    return [line for line in text.splitlines() if line.startswith(("Error", "Abort"))]


def dcmdump(output: Output) -> list[str]:
    """DCMTK reads the whole file and warns of nothing."""
    return _complaints(*run("dcmdump", output.path))


_DCMPSCHK_PROGRESS = re.compile(r"Testing: .*|Test passed\.|Test failed - .*")


def dcmpschk(output: Output) -> list[str]:
    """DCMTK's check of presentation states."""
    _, text = run("dcmpschk", output.path)
    if "Test passed" not in text and "Test failed" not in text:
        return ["It did not get to the end: " + text.strip()[-300:]]
    complaints = re.findall(r"^[WEF]: (\S.*(?:\n[WEF]:  .*)*)", text, re.MULTILINE)
    lines = [" ".join(complaint.split()) for complaint in complaints]
    state = pydicom.dcmread(output.path)
    return [line for line in lines if not _DCMPSCHK_PROGRESS.fullmatch(line) and not _is_false("dcmpschk", line, state)]


def _complaints(code: int, text: str) -> list[str]:
    lines = [line for line in text.splitlines() if line.startswith(("W:", "E:", "F:"))]
    return lines or ([f"It ended with the exit code {code}."] if code else [])


# False reports

_TITLE = ("126000", "DCM")


class FalseReport(NamedTuple):
    """What a validator says of sound files: `holds` of the content item that it names, or else of the whole file."""

    program: str
    pattern: re.Pattern[str]
    holds: Callable[[Dataset], bool]
    why: str


FALSE_REPORTS = {
    "no patient's name": FalseReport(
        "dcmpschk",
        re.compile(r"patientName absent or empty in presentation state$"),
        lambda state: "PatientName" in state and not state.PatientName,
        "Patient's Name is of type 2, which may be empty.",
    ),
    "letters beyond ASCII": FalseReport(
        "dcmpschk",
        re.compile(r"[^\x00-\x7f]"),
        lambda state: "SpecificCharacterSet" in state,
        "It takes them for control characters, whatever the Specific Character Set says. pydicom checks them.",
    ),
}
"""False reports of validators, by a short name."""

seen_false_reports: set[str] = set()
"""Those that came up in this process."""


def unused_false_reports() -> list[str]:
    """A line for each entry of FALSE_REPORTS that did not come up: it might hide an error one day."""
    unused = sorted(FALSE_REPORTS.keys() - seen_false_reports)
    return [f"The false report '{name}' no longer comes up: remove it from FALSE_REPORTS." for name in unused]


def sr_validator(output: Output) -> list[str]:
    """PixelMed's check of a report against its template (PS3.16).

    It finds the template by the title and takes CID 7021, which is extensible, for the only titles of TID 1500. A
    report that has another one is validated under that of the measurement reports, else nothing in it would be.
    """
    report = pydicom.dcmread(output.path)
    report.ConceptNameCodeSequence[0].CodeValue, report.ConceptNameCodeSequence[0].CodingSchemeDesignator = _TITLE
    with TemporaryDirectory() as folder:
        file = Path(folder, "report.dcm")
        report.save_as(file)
        _, text = run("DicomSRValidator", file)
    lines = text.splitlines()
    if "IOD validation complete" not in lines or "Root Template Validation Complete" not in lines:
        return ["It did not get to the end: " + " ".join(lines)[-300:]]
    found = [line for line in lines if line.startswith("Error")]
    return [line for line in found if not _is_false("DicomSRValidator", line, report)]


def _is_false(program: str, line: str, dataset: Dataset) -> bool:
    position = re.search(r"within ([\d.]+):", line)
    item = _item(dataset, position.group(1)) if position else dataset
    for name, false in FALSE_REPORTS.items():
        if false.program == program and false.pattern.search(line) and false.holds(item):
            seen_false_reports.add(name)
            return True
    return False


def _item(report: Dataset, position: str) -> Dataset:
    """The content item at a position such as 1.9.1, the root being 1."""
    item = report
    for number in position.split(".")[1:]:
        item = item.ContentSequence[int(number) - 1]
    return item
