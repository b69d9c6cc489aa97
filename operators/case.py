"""The message that flows through the graph from the CT volume on, and the base of the operators that work on it."""

import ctypes
import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from holoscan.core import Fragment
from monai.deploy.core import Operator, OperatorSpec
from pydicom import Dataset

from dicomio.defects import Defect
from dicomio.errors import OutputFailed, SeriesRefused
from dicomio.placement import Placement
from method.slice_input import SliceInputs
from method.types import CTVolume, Findings, SliceFinding, Unsuitable

Progress = Callable[[str, int, int], None]
"""Called with the stage, units done and units in all."""


@dataclass(frozen=True)
class Case:
    """One selected series on its way.

    Attributes:
        number: 1 for the first case.
        study_instance_uid, series_instance_uid: of the source.
        sources: headers of the source images, in slice order once the volume is read.
        status: `analysed`, `refused` (the input can't be analysed) or `failed` (a defect).
        reason: why it was refused or failed.
        source_defects: what is wrong with the headers of the source.
        volume, placement: by the CT volume operator; the placement tells where the sources lie in the volume, unless
            they are its slices.
        lungs, inputs: by the lung segmentation: labels on the source grid, and the slices as the classifier sees them.
        slices, label, probabilities: by the slice classifier: per slice, and the study's.
        findings: by the saliency operator, everything together.
        timings_s: seconds by stage.
    """

    number: int
    study_instance_uid: str
    series_instance_uid: str
    sources: tuple[Dataset, ...]
    status: str = "analysed"
    reason_code: str | None = None
    reason: str | None = None
    source_defects: tuple[Defect, ...] = ()
    volume: CTVolume = field(default=None)  # type: ignore[assignment]  # set before any stage that reads it
    placement: Placement | None = None
    lungs: np.ndarray = field(default=None)  # type: ignore[arg-type]
    inputs: SliceInputs = field(default=None)  # type: ignore[assignment]
    slices: tuple[SliceFinding, ...] = ()
    label: str = ""
    probabilities: tuple[float, float, float] = (0.0, 0.0, 0.0)
    findings: Findings | None = None
    timings_s: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"case-{self.number:03d}"

    def on_sources(self) -> "Case":
        """The case with volume and findings on the grid of the sources, as outputs need them."""
        if self.placement is None or self.findings is None:
            return self
        volume, findings = self.placement.to_sources(self.volume, self.findings)
        return replace(self, volume=volume, findings=findings, placement=None)

    def without_arrays(self) -> "Case":
        """The case with volume, masks and maps let go: what result.json tells of it is small."""
        nothing = np.empty(0)
        findings = self.findings
        if findings is not None:
            findings = replace(findings, lungs=nothing, saliency={}, salient=None)
        return replace(self, volume=None, inputs=None, lungs=nothing, findings=findings)  # type: ignore[arg-type]


class CaseOperator(Operator):
    """Receives a case, works on it unless it was refused before, and emits it.

    A case that fails carries its reason onwards; the others are not touched.

    Attributes:
        stage: name of the stage in timings and progress.
        port_in, port_out: names of the ports; no `port_out` for the last operator.
    """

    stage: str
    port_in: str
    port_out: str | None = None

    def __init__(self, fragment: Fragment, *conditions: object, progress: Progress, name: str) -> None:
        self._progress = progress
        super().__init__(fragment, *conditions, name=name)

    def setup(self, spec: OperatorSpec) -> None:
        spec.input(self.port_in)
        if self.port_out is not None:
            spec.output(self.port_out)

    def compute(self, op_input, op_output, context) -> None:  # type: ignore[no-untyped-def]
        case: Case = op_input.receive(self.port_in)
        if case.status == "analysed":
            case = attempt(self.stage, case, self.work)
            _give_back_memory()
        if self.port_out is not None:
            op_output.emit(case, self.port_out)

    def work(self, case: Case) -> Case:
        """The stage's own work."""
        raise NotImplementedError

    def report(self, done: int, total: int) -> None:
        """Tell how far the stage is."""
        self._progress(self.stage, done, total)


def _give_back_memory() -> None:
    """What the stage has freed goes back to the system, so that the next one's does not come on top of it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # the GNU C library's
    if trim is not None:
        trim(0)


def attempt(stage: str, case: Case, work: Callable[[Case], Case]) -> Case:
    """Do one stage of a case, take its time, and turn an exception into a reason the case carries onwards."""
    start = time.perf_counter()
    try:
        case = work(case)
    except (SeriesRefused, Unsuitable) as refusal:
        case = replace(case, status="refused", reason_code=refusal.code, reason=refusal.reason)
    except OutputFailed as failure:
        case = replace(case, status="failed", reason_code=failure.code, reason=failure.reason)
    except Exception as error:
        if _lacks_memory(error):
            reason = f"The memory was too small for the stage '{stage}' of this series. Give the application more"
            reason += ", or a GPU that nothing else uses." if torch.cuda.is_available() else "."
            case = replace(case, status="failed", reason_code="OUT_OF_MEMORY", reason=reason)
        else:
            case = replace(case, status="failed", reason_code="DEFECT", reason=_tell_defect(stage, case, error))
    return replace(case, timings_s=case.timings_s | {stage: time.perf_counter() - start})


def _tell_defect(stage: str, case: Case, defect: Exception) -> str:
    """Log where an unforeseen exception came from, and return a sentence for the case.

    Its text may quote the source's attributes: only its type and place are told.
    """
    place = _place_of(defect)
    log = logging.getLogger("groundglass")
    log.error("%s: the stage '%s' failed: %s", case.name, stage, place)
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
