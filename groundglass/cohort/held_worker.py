"""A cohort's worker in a process of its own, so that a study that kills it ends neither the cohort nor the others."""

import json
import sys
from pathlib import Path
from typing import Any

from groundglass.cohort.results import RESULT_FILE, Results, Study
from groundglass.cohort.worker import CaseFailed, CohortStopped, Job
from groundglass.domain.errors import OutputFailed, UsageError
from groundglass.domain.refusals import OF_THE_DISK
from groundglass.exit_codes import ExitCode
from groundglass.locations import LIBRARY
from groundglass.worker.held import HeldWorker, Limits, Overdue, last_line

LIMITS = Limits(studies=200, memory_mib=8192)
_LOG = "worker.log"


class WorkerDied(Exception):
    """The worker's process ended before the study did, or had it for too long."""


class WorkerInProcess:
    """What `groundglass.cohort.worker.Worker` does, by a process that is held and replaced."""

    def __init__(self, job: Job, timeout_s: float = 0.0, limits: Limits = LIMITS) -> None:
        self._job = job
        self._timeout_s = timeout_s
        folders = ["--models", str(job.models), "--settings", str(job.settings)]
        command = [sys.executable, "-m", "groundglass.worker.service", *folders, "--threads", str(job.cores)]
        self.held = HeldWorker([*command, "-l", "error"], limits, LIBRARY.parent)

    def analyse(self, study: Study) -> str:
        """Analyse one study and put its results in their place.

        Returns:
            `status` of its result.json.

        Raises:
            CohortStopped: the disk of the results is full or can't be written.
            UsageError: the device, the weights or the settings can't be used.
            CaseFailed, WorkerDied: there is no result, the study is to be analysed again.
        """
        log = self._job.output / _LOG
        try:
            with Results(self._job.output).new(study) as folder:
                request = {"input": str(self._job.archive), "output": str(folder), "names": study.files}
                code = self.held.analyse(request, log, self._timeout_s)
                told = _read_cases(folder / RESULT_FILE)
                for case in told:
                    reason = case.get("reason") or {}
                    if reason.get("code") in OF_THE_DISK:
                        raise CohortStopped(reason["text"])
                if code == ExitCode.USAGE:
                    raise UsageError(
                        last_line(log).removeprefix("ERROR ") or "The worker can't be used as it is set up."
                    )
                if code < 0 or code == ExitCode.DEFECT:
                    raise WorkerDied
                if any(case["status"] == "failed" for case in told):
                    raise CaseFailed
                log.unlink(missing_ok=True)
                return ExitCode(code).name
        except Overdue:
            raise WorkerDied from None
        except OutputFailed as failure:
            raise CohortStopped(failure.reason) from failure

    def close(self) -> None:
        """End the process."""
        self.held.close()


def _read_cases(file: Path) -> list[dict[str, Any]]:
    try:
        cases: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["cases"]
    except FileNotFoundError:
        return []
    return cases
