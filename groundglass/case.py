"""A case: one selected series on its way through the stages, and what became of it."""

import ctypes
import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import torch
from pydicom import Dataset

from groundglass.dicomio.reading.checked_series import CheckedSeries
from groundglass.dicomio.reading.defects import Defect
from groundglass.domain.errors import OutputFailed, Refusal
from groundglass.domain.refusals import RefusalCode

Found = TypeVar("Found")
Next = TypeVar("Next")

ANALYSED, REFUSED, FAILED = "analysed", "refused", "failed"


@dataclass(frozen=True)
class Case(Generic[Found]):
    """One selected series, with what the stages have found so far.

    Attributes:
        number: 1 for the first case.
        study_instance_uid, series_instance_uid: of the source.
        sources: headers of the source images, in slice order once the volume is read.
        found: the result of the last stage that was done; each stage has a type of its own.
        status: `analysed`, `refused` (the input can't be analysed) or `failed` (a defect, or the machine).
        reason_code, reason: why it was refused or failed.
        source_defects: what is wrong with the headers of the source, and what was put right.
        warnings: in sentences, what whoever reads the result must know of this source.
        timings_s: seconds by stage.
        checked: the series.
        others: the other eligible series of the study, best first, in case that this one doesn't show the lungs whole.
    """

    number: int
    study_instance_uid: str
    series_instance_uid: str
    sources: tuple[Dataset, ...]
    found: Found
    status: str = ANALYSED
    reason_code: str | None = None
    reason: str | None = None
    source_defects: tuple[Defect, ...] = ()
    warnings: tuple[str, ...] = ()
    timings_s: dict[str, float] = field(default_factory=dict)
    checked: CheckedSeries | None = None
    others: tuple[CheckedSeries, ...] = ()

    @property
    def name(self) -> str:
        return f"case-{self.number:03d}"

    def with_found(self, found: Next) -> "Case[Next]":
        """The case one stage further."""
        return replace(self, found=found)  # type: ignore[return-value, arg-type]


@dataclass
class RunRecord:
    """What a run leaves behind besides its DICOM objects: the facts result.json is made of.

    Attributes:
        files_ignored: `{file, reason}`.
        series_rejected: `{series_instance_uid, reasons}`.
        cases: each with the names of the files written.
    """

    files_ignored: list[dict[str, str]] = field(default_factory=list)
    series_rejected: list[dict[str, Any]] = field(default_factory=list)
    cases: list[tuple[Case[Any], list[str]]] = field(default_factory=list)


def attempt(stage: str, case: Case[Found], work: Callable[[Case[Found]], Case[Next]]) -> Case[Found] | Case[Next]:
    """Do one stage of a case, add up its time, and turn an exception into a reason the case carries onwards.

    A case that was refused or has failed is passed on as it is.
    """
    if case.status != ANALYSED:
        return case
    start = time.perf_counter()
    done: Case[Found] | Case[Next]
    try:
        done = work(case)
    except Refusal as refusal:
        done = replace(case, status=REFUSED, reason_code=refusal.code, reason=refusal.reason)
    except OutputFailed as failure:
        done = replace(case, status=FAILED, reason_code=failure.code, reason=failure.reason)
    except Exception as error:
        if _lacks_memory(error):
            reason = f"The memory was too small for the stage '{stage}' of this series. Give the application more"
            reason += ", or a GPU that nothing else uses." if torch.cuda.is_available() else "."
            done = replace(case, status=FAILED, reason_code=RefusalCode.OUT_OF_MEMORY, reason=reason)
        else:
            done = replace(
                case, status=FAILED, reason_code=RefusalCode.DEFECT, reason=_tell_defect(stage, case.name, error)
            )
    seconds = done.timings_s.get(stage, 0.0) + time.perf_counter() - start
    return replace(done, timings_s=done.timings_s | {stage: seconds})


def give_back_memory() -> None:
    """What a stage has freed goes back to the system, so that the next one's does not come on top of it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # the GNU C library's
    if trim is not None:
        trim(0)


def _tell_defect(stage: str, name: str, defect: Exception) -> str:
    """Log where an unforeseen exception came from, and return a sentence for the case.

    Its text may quote the source's attributes: only its type and place are told.
    """
    place = _place_of(defect)
    log = logging.getLogger("groundglass")
    log.error("%s: the stage '%s' failed: %s", name, stage, place)
    log.debug("%s", "".join(traceback.format_tb(defect.__traceback__)))
    return f"The stage '{stage}' failed with {place}. This is a defect of the software: please report it."


def _lacks_memory(error: Exception) -> bool:
    """Whether an allocation failed. On a CPU torch says so in a plain RuntimeError."""
    is_torchs = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return is_torchs or isinstance(error, MemoryError | torch.OutOfMemoryError)


def _place_of(defect: Exception) -> str:
    trace = defect.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(defect).__name__
    code = trace.tb_frame.f_code
    return f"{type(defect).__name__} in {code.co_name}, line {trace.tb_lineno}"
