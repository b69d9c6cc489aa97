"""The application on series as small as can be, with settings that make it quick: in a process of its own or here."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

from app.command_line import main
from groundglass.changed_settings import ONE_SLICE_EXPLAINED, write_changed_settings
from groundglass.domain.volume import CTVolume
from groundglass.locations import ROOT
from groundglass.phantom.study import write_study
from groundglass.phantom.thorax import make_thorax
from groundglass.result import result_schema

QUICK: dict[str, dict[str, object]] = ONE_SLICE_EXPLAINED | {
    "selection": {"minimum_slices": 10, "minimum_extent_mm": 100},
    "lungs": ONE_SLICE_EXPLAINED["lungs"] | {"grid_mm": 5.0},
    "classification": {"minimum_lung_cm2": 200},
}
"""On a coarse grid, with one view and one window, few slices that are classified and one that is explained."""


def write_quick_settings(path: Path) -> Path:
    """The settings of the application, so that a study takes it seconds on any machine."""
    return write_changed_settings(path, **QUICK)


@cache
def small_chest() -> CTVolume:
    """The middle of a chest with COVID-19, as small as is analysed with quick settings."""
    volume, _ = make_thorax("covid19", slices=12, size=128, spacing_mm=(10.0, 2.88, 2.88))
    return volume


def write_small_study(folder: Path, seed: int = 0) -> list[Path]:
    """A study of `small_chest`; another seed gives the same images another study and series."""
    return write_study(small_chest(), folder, preset="covid19", seed=seed)


def read_result(out: Path) -> dict[str, Any]:
    """result.json of a run, which has to be as its schema says."""
    result: dict[str, Any] = json.loads((out / "result.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(result_schema()).validate(result)
    return result


@dataclass(frozen=True)
class Run:
    """A run that has ended."""

    out: Path
    code: int
    told: str

    @property
    def result(self) -> dict[str, Any]:
        return read_result(self.out)

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.out.iterdir())


def start(
    study: Path, out: Path, *extra: str, program: tuple[str, ...] = ("-m", "app"), **environment: str
) -> subprocess.Popen[str]:
    """The application on its way; `program` are Python's arguments instead of `-m app`."""
    command = [sys.executable, *program, "-i", str(study), "-o", str(out), "-m", "models", *extra]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(study: Path, out: Path, *extra: str, program: tuple[str, ...] = ("-m", "app"), **environment: str) -> Run:
    """The application, to its end."""
    process = start(study, out, *extra, program=program, **environment)
    told, _ = process.communicate(timeout=600)
    return Run(out, process.returncode, told)


class _Lines(logging.Handler):
    """Keeps what is logged, and calls someone with each line."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._on_line = on_line

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self._on_line(self.lines[-1])


def call(study: Path, out: Path, *extra: str, on_line: Callable[[str], None] = lambda line: None) -> Run:
    """The application, to its end, in this process: a process of its own takes seconds to start.

    For what is not of the process itself, as are signals, the environment, and what libraries print.
    """
    log = _Lines(on_line)
    logger = logging.getLogger("groundglass")
    logger.addHandler(log)
    try:
        code = main(["-i", str(study), "-o", str(out), "-m", str(ROOT / "models"), *extra])
    finally:
        logger.removeHandler(log)
    return Run(out, int(code), "\n".join(log.lines))


__all__ = [
    "QUICK", "ROOT", "Run", "call", "read_result", "run", "small_chest", "start", "write_quick_settings",
    "write_small_study",
]  # fmt: skip
