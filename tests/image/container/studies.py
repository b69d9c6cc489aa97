"""Input folders and settings for the containers, made by code."""

import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from groundglass.changed_settings import write_changed_settings
from groundglass.phantom.study import write_study
from groundglass.phantom.thorax import make_thorax
from groundglass.selftest.samples import write_series


@dataclass(frozen=True)
class Studies:
    """Folders to analyse, and settings.

    Attributes:
        covid: a phantom with lesions.
        small: a small one.
        gap: a small one with a slice missing.
        both: a small one, and the one with lesions without one of its slices.
        none: no DICOM.
        quick: settings for the shortest run.
        brief: settings for a short run on real CT.
        insists_on_gpu: those of `quick`, with a GPU required.
    """

    covid: Path
    small: Path
    gap: Path
    both: Path
    none: Path
    quick: Path
    brief: Path
    insists_on_gpu: Path


def make_studies(folder: Path) -> Studies:
    """All of them, readable by any user."""
    studies = Studies(
        *(folder / name for name in ("covid", "small", "gap", "both", "none", "quick.yaml", "brief.yaml", "cuda.yaml"))
    )
    write_study(make_thorax("covid19", slices=30, size=192)[0], studies.covid, preset="covid19")
    write_series(studies.small)
    write_series(studies.gap)[13].unlink()
    write_series(studies.both / "whole")
    shutil.copytree(studies.covid, studies.both / "other")
    sorted((studies.both / "other").iterdir())[13].unlink()
    studies.none.mkdir()
    (studies.none / "notes.txt").write_text("no DICOM", encoding="utf-8")
    write_changed_settings(studies.brief, saliency={"maximum_slices": 10})
    quick = {"saliency": {"maximum_slices": 2}, "research": {"steps": 2}, "lungs": {"views": ["axial"]}}
    write_changed_settings(studies.quick, **quick)
    write_changed_settings(studies.insists_on_gpu, device="cuda", **quick)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(path.stat().st_mode | stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0))
    return studies
