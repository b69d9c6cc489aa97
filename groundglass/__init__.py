"""Chest CT in; lungs, classification, saliency and boxes out. The method is Hu et al., IEEE Access 2020.

    from groundglass import CTVolume, Pipeline, read_study

    pipeline = Pipeline.load()
    findings = pipeline.analyse(CTVolume.from_array(hu, spacing_mm))   # or read_study("folder"), read_nifti("ct.nii")
    findings.save("out")

Neither Holoscan nor the MONAI Deploy App SDK is needed, or loaded. Research use only; not for clinical decisions.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from groundglass.domain.software import VERSION as __version__

if TYPE_CHECKING:
    from groundglass.analysis import Analysis
    from groundglass.domain.errors import OutputFailed, Refusal, UsageError
    from groundglass.domain.findings import Findings
    from groundglass.domain.volume import CTVolume
    from groundglass.nifti import read_nifti
    from groundglass.pipeline import Pipeline
    from groundglass.progress import ProgressReporter
    from groundglass.study import read_study

__all__ = [
    "Analysis",
    "CTVolume",
    "Findings",
    "OutputFailed",
    "Pipeline",
    "ProgressReporter",
    "Refusal",
    "UsageError",
    "__version__",
    "read_nifti",
    "read_study",
]

_HOMES = {
    "Analysis": "analysis",
    "CTVolume": "domain.volume",
    "Findings": "domain.findings",
    "OutputFailed": "domain.errors",
    "Pipeline": "pipeline",
    "ProgressReporter": "progress",
    "Refusal": "domain.errors",
    "UsageError": "domain.errors",
    "read_nifti": "nifti",
    "read_study": "study",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for: `import groundglass` takes no time, and a help text doesn't wait for PyTorch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'groundglass' has no attribute '{name}'")
    return getattr(import_module(f"groundglass.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
