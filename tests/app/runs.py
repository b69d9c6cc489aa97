"""The application in a process of its own, on series as small as can be, with settings that make it quick."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from app.result import result_schema
from validation.changed_settings import ONE_SLICE_EXPLAINED, write_changed_settings

REPOSITORY = Path(__file__).resolve().parents[2]


def write_quick_settings(path: Path) -> Path:
    """The settings of the application, on a coarse grid, with few views, windows and explained slices."""
    return write_changed_settings(path, **ONE_SLICE_EXPLAINED)


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
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(study: Path, out: Path, *extra: str, program: tuple[str, ...] = ("-m", "app"), **environment: str) -> Run:
    """The application, to its end."""
    process = start(study, out, *extra, program=program, **environment)
    told, _ = process.communicate(timeout=300)
    return Run(out, process.returncode, told)


__all__ = ["REPOSITORY", "Run", "read_result", "run", "start", "write_quick_settings"]
