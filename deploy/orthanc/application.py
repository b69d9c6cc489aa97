"""Runs the application, whichever way a site runs it, on one study."""

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.orthanc.settings import ROOT, Settings
from groundglass.domain.refusals import OF_THE_DISK
from groundglass.exit_codes import ExitCode
from groundglass.worker.child_process import NotFound, bound_to_this_process, end
from groundglass.worker.held import HeldWorker, Interrupted, Limits, Overdue, last_line

RESULT_FILE = "result.json"
_ROOM_BYTES = 1 << 26
"""Less is free: it was the disk, and not how the application is set up, that ended a run with the code of both."""
_NO_ROOM = "The work folder has no room for results, or can't be written. Make room there, or correct its permissions."
_NOT_FOUND = "The program {!r} of the setting application.command can't be found or started."
_LOOK_S = 0.5


class Failed(Exception):
    """This run gave no result, and another one may; the text is a sentence for clinical IT."""


class CannotRun(Exception):
    """No study can be analysed as the application is set up: the bridge has to stop."""


class WorkFolderUnusable(Exception):
    """The work folder is full or can't be written; it has nothing to do with the study."""


class Stopped(Exception):
    """The bridge was asked to end."""


@dataclass(frozen=True)
class Results:
    """What a run left.

    Attributes:
        outcome: `analysed`, `refused` or `not_eligible`.
        files: DICOM files to store: none, where no series was eligible.
    """

    outcome: str
    files: tuple[Path, ...]


class Application:
    """The application, however the settings run it: a process for each study, or a worker that stays.

    Each of the bridge's threads has one of its own.
    """

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        limits = Limits(settings.worker_studies, settings.worker_memory_mib)
        self._worker = HeldWorker(settings.command_for(Path(), Path()), limits, ROOT) if settings.stays else None

    def analyse(self, study: Path, results: Path, log: Path) -> Results:
        """Have one study analysed; as `analyse`, which see."""
        timeout_s = self._settings.application_timeout_s
        if self._worker is None:
            return analyse(self._settings.command_for(study, results), results, log, timeout_s, self._stop)
        request = {"input": str(study), "output": str(results)}
        try:
            code = self._worker.analyse(request, log, timeout_s, self._stop.is_set)
        except Interrupted:
            raise Stopped from None
        except Overdue:
            raise Failed(f"The application did not end within {timeout_s:g} s.") from None
        except NotFound as program:
            raise CannotRun(_NOT_FOUND.format(str(program))) from None
        return _judge(code, results, log)

    def close(self) -> None:
        """End the worker, if there is one."""
        if self._worker is not None:
            self._worker.close()


def analyse(command: Sequence[str], results: Path, log: Path, timeout_s: float, stop: threading.Event) -> Results:
    """Run the application in a process of its own and act on its exit code.

    Args:
        command: with the folders of the study and of `results`, an empty one.
        log: file that takes all that the application says.
        timeout_s: after which the run is ended.
        stop: set when the bridge has to end.

    Raises:
        Failed, CannotRun, WorkFolderUnusable, Stopped: as they say.
    """
    return _judge(_run(command, log, timeout_s, stop), results, log)


def _judge(code: int, results: Path, log: Path) -> Results:
    """What an exit code, and what lies in the folder of the results, mean."""
    if code == ExitCode.USAGE:
        if shutil.disk_usage(results).free < _ROOM_BYTES:
            raise WorkFolderUnusable(_NO_ROOM)
        raise CannotRun(f"The application can't be used as it is set up. It says: {last_line(log) or 'nothing.'}")
    if code not in (ExitCode.SUCCESS, ExitCode.NO_ELIGIBLE_SERIES, ExitCode.ALL_FAILED, ExitCode.PARTIAL):
        ended = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        raise Failed(f"The application {ended}.")
    files = tuple(sorted(results.glob("*.dcm")))
    cases = _cases(results / RESULT_FILE)
    if code == ExitCode.NO_ELIGIBLE_SERIES:
        return Results("not_eligible", ())
    if any(reason in OF_THE_DISK for _, reason in cases):
        raise WorkFolderUnusable(_NO_ROOM)
    if "failed" in [status for status, _ in cases]:
        # Unlike a refusal, which the study is the reason of: a defect, or too little memory. It may pass.
        raise Failed("The application failed on a case; its log, in the work folder, gives the reason.")
    if not files:
        raise Failed(f"The application ended with exit code {code} and left no DICOM file.")
    return Results("refused" if code == ExitCode.ALL_FAILED else "analysed", files)


def _run(command: Sequence[str], log: Path, timeout_s: float, stop: threading.Event) -> int:
    # The application ends with the bridge; a container doesn't, and writes into a folder of its own.
    try:
        words = bound_to_this_process(command)
    except NotFound as program:
        raise CannotRun(_NOT_FOUND.format(str(program))) from None
    with log.open("wb") as told:
        process = subprocess.Popen(
            words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=told, stderr=told, start_new_session=True
        )
    deadline = time.monotonic() + timeout_s
    try:
        while True:
            try:
                return process.wait(_LOOK_S)
            except subprocess.TimeoutExpired:
                if stop.is_set():
                    raise Stopped from None
                if time.monotonic() > deadline:
                    raise Failed(f"The application did not end within {timeout_s:g} s.") from None
    finally:
        end(process)


def _cases(file: Path) -> list[tuple[str, str | None]]:
    """Status and reason code of each case."""
    try:
        cases = json.loads(file.read_text(encoding="utf-8"))["cases"]
        return [(case["status"], (case.get("reason") or {}).get("code")) for case in cases]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise Failed("The application left no result.json that can be read.") from None
