"""The objects that are checked, and how the application's own writers make them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.uid import UID

from dicomio.files import write_dicom
from dicomio.key_images import make_key_images
from dicomio.parametric_map import make_saliency_map
from dicomio.presentation_state import make_presentation_state
from dicomio.report import make_refusal_report, make_report
from dicomio.segmentation import make_salient_label_map, make_segmentation
from method.types import SoftwareIdentity
from validation.conformance.expected import Case, case_of, cases_of
from validation.conformance.series import Series

WEIGHTS = {"lungs": "ab" * 32, "classifier": "cd" * 32}
SOFTWARE = SoftwareIdentity("groundglass", "0.1.0", WEIGHTS, "cpu", "ef" * 32)

Made = dict[str, Dataset]
"""The objects of a series that were made before, by name."""

REFUSAL = "refusal SR"

OBJECTS: dict[str, Callable[[Series, Made], Dataset | None]] = {
    "SEG": lambda of, made: make_segmentation(of.sources, of.volume, of.findings, SOFTWARE),
    "SR": lambda of, made: make_report(of.sources, of.volume, of.findings, SOFTWARE, made["SEG"]),
    REFUSAL: lambda of, made: make_refusal_report(of.sources, SOFTWARE, "GAP", "A slice is missing."),
    "key images": lambda of, made: make_key_images(of.sources, of.volume, of.findings, SOFTWARE, count=3),
    "saliency map": lambda of, made: (
        make_saliency_map(of.sources, of.volume, of.findings, SOFTWARE) if of.findings.saliency else None
    ),
    "boxes": lambda of, made: (
        make_presentation_state(of.sources, of.volume, of.findings, SOFTWARE) if of.findings.boxes else None
    ),
    "label map": lambda of, made: make_segmentation(of.sources, of.volume, of.findings, SOFTWARE, "labelmap"),
    "salient label map": lambda of, made: (
        make_salient_label_map(of.sources, of.volume, of.findings, SOFTWARE) if of.findings.boxes else None
    ),
}
"""Name in the table, and what makes the object: one line for each. None where a series has no such object."""


@dataclass(frozen=True)
class Output:
    """One file to check.

    Attributes:
        row: what it was made of, for the table.
        name: of the object.
        path: of the file.
        sop_class: of the file.
        series: what it was made of, with the truth; None where only the results of a run are known.
        case: what a report has to say; None where that isn't known, or the series was refused.
    """

    row: str
    name: str
    path: Path
    sop_class: UID
    series: Series | None = None
    case: Case | None = None


def write_outputs(series: Series, folder: Path, wanted: Callable[[str], bool]) -> Iterator[Output]:
    """Makes and writes the objects of a series whose names are `wanted`."""
    folder.mkdir(parents=True, exist_ok=True)
    made: Made = {}
    for name, make in OBJECTS.items():
        dataset = make(series, made)
        if dataset is None:
            continue
        made[name] = dataset
        if wanted(name):
            path = folder / f"{name.replace(' ', '-')}.dcm"
            write_dicom(dataset, path)
            case = None if name == REFUSAL else case_of(series)
            yield Output(series.name, name, path, dataset.SOPClassUID, series, case)


def read_outputs(results: Path) -> Iterator[Output]:
    """The objects that the result.json of a run lists; other files may lie beside them.

    Raises:
        FileNotFoundError: one that is listed is not there.
    """
    for of, case in cases_of(results).items():
        for file in sorted(name for name in case["outputs"] if name.endswith(".dcm")):
            name, path = file.removeprefix(f"{of}.").removesuffix(".dcm"), results / file
            sop_class = dcmread(path, stop_before_pixels=True).SOPClassUID
            yield Output(of, name, path, sop_class, case=case if case["status"] == "analysed" else None)
