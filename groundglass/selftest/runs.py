"""The runs of the application that the operational qualification judges, each in a process of its own.

Three phantoms, stored in three ways, are one input folder; a second run has one of them beside a series with a gap.
"""

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from pydicom import Dataset, dcmread

from groundglass.domain.volume import CTVolume
from groundglass.phantom.study import write_study
from groundglass.phantom.thorax import Truth, make_thorax
from groundglass.selftest.installed_copy import Copy
from groundglass.selftest.samples import SAMPLES, Call, prepare

TIMEOUT_S = 1800
"""After so long a run is ended, and has failed."""

Made = TypeVar("Made")

OTHER_FILE, EARLIER_RESULT = "notes.txt", "case-007.seg.dcm"


@dataclass(frozen=True)
class Preset:
    """A phantom: what it shows, how many slices of how many pixels, and how its images are stored."""

    name: str
    slices: int
    size: int
    patient_position: str


PRESETS = (
    Preset("covid19", 30, 192, "HFS"),
    Preset("cap", 30, 192, "FFP"),
    # A healthy chest is told from a diseased one at finer slices only.
    Preset("normal", 60, 320, "HFP"),
)
"""The smallest that show what they have to, in three ways to lie in the scanner."""


@dataclass(frozen=True)
class Run:
    """One call of the application.

    Attributes:
        code: exit code; negative where a signal ended it.
        told: all that it wrote to its standard output and error.
        seconds: from start to end.
        peak_mib: largest resident memory.
        out: its output folder.
    """

    code: int
    told: str
    seconds: float
    peak_mib: float
    out: Path

    @property
    def files(self) -> list[str]:
        """Names of what is in the output folder."""
        return sorted(path.name for path in self.out.iterdir()) if self.out.is_dir() else []

    @cached_property
    def result(self) -> dict[str, Any]:
        """result.json; empty where there is none."""
        path = self.out / "result.json"
        if not path.is_file():
            return {}
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return result

    def case_of(self, phantom: "Phantom") -> dict[str, Any]:
        """What result.json says of a phantom.

        Raises:
            LookupError: the phantom was not analysed.
        """
        for case in self.result.get("cases", []):
            if case["study_instance_uid"] == phantom.header.StudyInstanceUID and case["status"] == "analysed":
                found: dict[str, Any] = case
                return found
        raise LookupError(f"The phantom {phantom.preset.name} was not analysed (exit code {self.code}).")


@dataclass(frozen=True, eq=False)
class Phantom:
    """A phantom study on disk, and its truth on the grid of `volume`, which is the canonical one.

    `sources` are the headers of its images by SOP Instance UID, from head to feet.
    """

    preset: Preset
    folder: Path
    sources: dict[str, Dataset]
    volume: CTVolume
    truth: Truth

    @property
    def header(self) -> Dataset:
        """Of the image nearest to the head."""
        return next(iter(self.sources.values()))


def run(
    copy: Copy, call: Call, on_line: Callable[[str], None] = lambda line: None, *, by_environment: bool = False
) -> Run:
    """Start the application as `start_application` does, and wait for its end; `on_line` gets each line it writes."""
    start = time.monotonic()
    process = start_application(copy, call, by_environment=by_environment)
    timer = threading.Timer(TIMEOUT_S, process.kill)
    timer.start()
    lines = []
    try:
        for line in process.stdout or ():
            lines.append(line)
            on_line(line.rstrip())
        # Unlike subprocess, this tells what the process used.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        process.kill()  # where the self-test is interrupted; one that has ended is left alone
        timer.cancel()
    return Run(process.returncode, "".join(lines), time.monotonic() - start, usage.ru_maxrss / 1024, call.out)


def start_application(copy: Copy, call: Call, *, by_environment: bool = False) -> subprocess.Popen[str]:
    """The application's own command line, with options as a person gives them, or variables as an orchestrator does.

    What it writes to its standard output and error can be read together.
    """
    paths = [str(path) for path in (call.study, call.out, call.models, call.settings)]
    names = ("INPUT", "OUTPUT", "MODEL", "CONFIG")
    variables = {f"HOLOSCAN_{name}_PATH": path for name, path in zip(names, paths, strict=True)}
    by_environment = by_environment and copy.has_graph  # the library's own command knows no variables
    # The library's own command takes the first two by their place.
    options = ("-i", "-o", "-m", "--settings") if copy.has_graph else ("", "", "-m", "--settings")
    given = [part for option in zip(options, paths, strict=True) for part in option if part]
    return subprocess.Popen(
        [*copy.program, *([] if by_environment else given)],
        cwd=copy.start_folder,
        env=os.environ | (variables if by_environment else {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


class Runs:
    """Every run that a check asks for, made once. As a context manager it removes their files at its end."""

    def __init__(self, copy: Copy) -> None:
        self.copy = copy
        self.kept: dict[str, Any] = {}
        """What was made, by name; an exception where it failed, so that every check that needs it tells the same."""

    def __enter__(self) -> "Runs":
        return self

    def __exit__(self, *_: object) -> None:
        if "_temporary" in vars(self):
            self._temporary.cleanup()

    @cached_property
    def _temporary(self) -> TemporaryDirectory[str]:
        return TemporaryDirectory(prefix="groundglass-selftest-")

    @property
    def folder(self) -> Path:
        """For studies and results. Made by the first check that needs it, which fails where nothing can be written."""
        return Path(self._temporary.name)

    def _call(self, study: Path, out: str) -> Call:
        return Call(study, self.folder / out, self.copy.models, self.copy.settings_file)

    def _once(self, name: str, make: Callable[[], Made]) -> Made:
        if name not in self.kept:
            try:
                self.kept[name] = make()
            except Exception as error:
                self.kept[name] = error
        kept = self.kept[name]
        if isinstance(kept, Exception):
            raise kept
        made: Made = kept
        return made

    @property
    def phantoms(self) -> tuple[Phantom, ...]:
        """Every preset, in folders of different depth below one."""
        return self._once("phantoms", self._make_phantoms)

    @property
    def first(self) -> Run:
        """All phantoms, with a file among them that is no DICOM, and the leftovers of an earlier run in the output."""
        return self._once("first", self._run_first)

    @property
    def second(self) -> Run:
        """The first phantom again, beside a series with a gap, and called as an orchestrator calls it."""
        return self._once("second", self._run_second)

    @property
    def samples(self) -> dict[str, Run]:
        """The application on every sample of bad input, by its name in SAMPLES; two at a time."""
        return self._once("samples", self._run_samples)

    def _make_phantoms(self) -> tuple[Phantom, ...]:
        made = []
        for depth, preset in enumerate(PRESETS):
            self.copy.tell(f"making the phantom {preset.name}: {preset.slices} slices of {preset.size} x {preset.size}")
            folder = Path(self.folder / "phantoms", *["deep"] * depth, preset.name)
            volume, truth = make_thorax(preset.name, slices=preset.slices, size=preset.size)
            files = write_study(volume, folder, preset=preset.name, patient_position=preset.patient_position)
            headers = [dcmread(file, stop_before_pixels=True) for file in files]
            sources: dict[str, Dataset] = {str(header.SOPInstanceUID): header for header in headers}
            made.append(Phantom(preset, folder, sources, volume, truth))
        return tuple(made)

    def _run_first(self) -> Run:
        call = self._call(self.phantoms[0].folder.parent, "first")
        (call.study / "deep" / OTHER_FILE).write_text("no DICOM", encoding="utf-8")
        call.out.mkdir()
        (call.out / EARLIER_RESULT).write_bytes(b"of an earlier run")
        (call.out / OTHER_FILE).write_text("not the application's", encoding="utf-8")
        return run(self.copy, call, self.copy.tell)

    def _run_second(self) -> Run:
        call = self._call(self.folder / "again", "second")
        shutil.copytree(self.phantoms[0].folder, call.study / "good")
        SAMPLES["gap"].make(self.folder, replace(call, study=call.study / "bad"))
        return run(self.copy, call, self.copy.tell, by_environment=True)

    def _run_samples(self) -> dict[str, Run]:
        self.copy.tell(f"{len(SAMPLES)} samples of bad input")
        with ThreadPoolExecutor(2) as pool:
            return dict(zip(SAMPLES, pool.map(self.run_sample, SAMPLES), strict=True))

    def run_sample(self, name: str) -> Run:
        """The application on one sample of bad input, made anew."""
        return run(self.copy, prepare(SAMPLES[name], self.folder / f"sample {name}", self.copy))

    @property
    def made(self) -> list[Run]:
        """All runs that came to their end."""
        return [self.first, self.second, *self.samples.values()]

    def terminate(self) -> tuple[float, list[str]]:
        """Seconds that the application lives on after a SIGTERM in the middle of its work, and what it leaves then.

        Raises:
            ChildProcessError: it had come to its end before.
        """
        call = self._call(self.phantoms[0].folder, "terminated")
        process = start_application(self.copy, call)
        for line in process.stdout or ():
            if "reading slices" in line:  # the lungs are next
                break
        else:
            process.wait()
            raise ChildProcessError(f"The application ended by itself, with exit code {process.returncode}.")
        start = time.monotonic()
        process.terminate()
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        return time.monotonic() - start, sorted(path.name for path in call.out.iterdir())
