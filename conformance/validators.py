"""Checks of the form: what the validators of others say of a file. Each returns its errors, one a line."""

import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pydicom
from pydicom import Dataset
from pydicom.uid import ParametricMapStorage

from conformance.tools import run
from groundglass.dicomio.writing.codes import PRIVATE_SCHEME
from groundglass.selftest.outputs import Output

UNKNOWN_KIND = "It does not know the kind of the object."


def dciodvfy(output: Output) -> list[str]:
    """David Clunie's check of the modules and attributes of a file's SOP class (PS3.3): its errors and its warnings."""
    _, text = run("dciodvfy", "-new", output.path)
    if "Error - Information Object Not found" in text:
        return [UNKNOWN_KIND]
    if not re.search(r"^[A-Z]\w+$", text, re.MULTILINE):  # the name of the IOD
        return ["It did not get to the end: " + text.strip()[:200]]
    dataset = pydicom.dcmread(output.path, stop_before_pixels=True)
    lines = [line for line in text.splitlines() if line.startswith(("Error", "Abort", "Warning"))]
    return [line for line in lines if not _is_false("dciodvfy", line, dataset)]


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


def _identifies_scheme(dataset: Dataset) -> bool:
    """Whether a file says whose its private coding scheme is, by a designator that only private ones have."""
    known = dataset.get("CodingSchemeIdentificationSequence", ())
    ours = [item for item in known if item.CodingSchemeDesignator == PRIVATE_SCHEME]
    return PRIVATE_SCHEME.startswith("99") and any(item.get("CodingSchemeName") for item in ours)


class FalseReport(NamedTuple):
    """What a validator says of sound files, in error or as a warning that is known and stands.

    `holds` of the content item that it names, or else of the whole file.
    """

    program: str
    pattern: re.Pattern[str]
    holds: Callable[[Dataset], bool]
    why: str


FALSE_REPORTS = {
    "private coding scheme": FalseReport(
        "dciodvfy",
        re.compile(rf"^Warning .*CodingSchemeDesignator.* - Unrecognized defined term = <{PRIVATE_SCHEME}>$"),
        _identifies_scheme,
        "It is the scheme of the few concepts that no public one has. 99 at its beginning makes it a private one "
        "(PS3.16 8.2), and each file that uses it identifies it.",
    ),
    "quantity of a map": FalseReport(
        "dciodvfy",
        re.compile(r"^Warning .*/(Image|Frame)Type\(0008,\d{4}\)\[4\]> - Unrecognized defined term = <QUANTITY>$"),
        lambda dataset: dataset.SOPClassUID == ParametricMapStorage,
        "Value 4 of a Parametric Map's types is its Derived Pixel Contrast (PS3.3 C.8.16.1.4), of which QUANTITY is a "
        "defined term; the program's list is older.",
    ),
    "value of the source": FalseReport(
        "dciodvfy",
        re.compile(
            r"^Warning - </(AccessionNumber|ReferringPhysicianName|Patient(BirthDate|ID|Name|Sex)|Study(Date|ID|Time))"
        ),
        lambda dataset: True,
        "What says whose study it is comes from the source as it stands there, since archives sort by it.",
    ),
    "letters beyond ASCII": FalseReport(
        "dcmpschk",
        re.compile(r"[^\x00-\x7f]"),
        lambda state: "SpecificCharacterSet" in state,
        "It takes them for control characters, whatever the Specific Character Set says. pydicom checks them.",
    ),
}
"""False reports of validators, by a short name."""

seen_false_reports: Counter[str] = Counter()
"""How often each came up in this process."""
_COUNTING = threading.Lock()


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
            with _COUNTING:
                seen_false_reports[name] += 1
            return True
    return False


def _item(report: Dataset, position: str) -> Dataset:
    """The content item at a position such as 1.9.1, the root being 1."""
    item = report
    for number in position.split(".")[1:]:
        item = item.ContentSequence[int(number) - 1]
    return item
