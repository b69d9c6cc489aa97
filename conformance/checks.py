"""The table of checks: what looks at which kind of object."""

from collections.abc import Callable
from dataclasses import dataclass

from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    ParametricMapStorage,
    SegmentationStorage,
)

from conformance import readers, validators
from groundglass.dicomio.writing.segmentation import LABEL_MAP_STORAGE
from groundglass.selftest import readers as own_readers
from groundglass.selftest.outputs import Output

_SEGMENTATIONS = frozenset({SegmentationStorage, LABEL_MAP_STORAGE})
_REPORTS = frozenset({Comprehensive3DSRStorage})


@dataclass(frozen=True)
class Check:
    """One column of the table: a function that returns the errors of a file, for some SOP classes or for all."""

    name: str
    run: Callable[[Output], list[str]]
    sop_classes: frozenset[UID] | None = None
    unknown: frozenset[UID] = frozenset()
    """Classes younger than the program, whose files it can't judge."""

    def concerns(self, output: Output) -> bool:
        """Whether the file is of a kind that this looks at."""
        return self.sop_classes is None or output.sop_class in self.sop_classes

    def judge(self, output: Output) -> list[str] | None:
        """The errors of a file; None where the program still doesn't know the kind of it."""
        errors = self.run(output)
        if output.sop_class not in self.unknown:
            return errors
        return None if errors == [validators.UNKNOWN_KIND] else [f"{self.name} knows this kind now: no more `unknown`."]


CHECKS = (
    Check("dciodvfy", validators.dciodvfy, unknown=frozenset({LABEL_MAP_STORAGE})),  # Debian's is of 2022, they of 2024
    Check("dcmdump", validators.dcmdump),
    Check("pydicom", own_readers.strict_pydicom),
    Check("SRValidator", validators.sr_validator, _REPORTS),
    Check("dsrdump", readers.dcmtk_report, _REPORTS),
    Check("highdicom", own_readers.highdicom_report, _REPORTS),
    Check("highdicom", own_readers.highdicom_segmentation, _SEGMENTATIONS),
    Check("dcmqi", readers.dcmqi_report, _REPORTS),
    Check("dcmqi", readers.dcmqi_segmentation, _SEGMENTATIONS),
    Check("dcmqi", readers.dcmqi_parametric_map, frozenset({ParametricMapStorage})),
    Check("dcmpschk", validators.dcmpschk, frozenset({GrayscaleSoftcopyPresentationStateStorage})),
)
"""Those of one file alone. dcentvfy and Orthanc look at a whole study: `__main__` runs them."""

STUDY_CHECKS = ("dcentvfy", "Orthanc")
COLUMNS = (*dict.fromkeys(check.name for check in CHECKS), *STUDY_CHECKS)
