"""The DICOM files of a run, each with what it has to say."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydicom import dcmread
from pydicom.uid import UID

from groundglass.domain.arrays import Coordinates, Mask
from groundglass.domain.findings import Findings
from groundglass.domain.volume import CTVolume
from groundglass.selftest.expected import Case, cases_of


class KnownSeries(Protocol):
    """A series whose truth is known voxel by voxel."""

    @property
    def volume(self) -> CTVolume:
        """As the application reads it."""

    @property
    def findings(self) -> Findings:
        """On the grid of `volume`."""

    @property
    def segments(self) -> dict[str, Mask]:
        """`(slice, row, col)` masks by segment label."""

    @property
    def segments_affine(self) -> Coordinates:
        """Where the segments lie in the patient, 4x4."""


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
    series: KnownSeries | None = None
    case: Case | None = None


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
