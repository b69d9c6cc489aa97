"""The other side of a worker: a process that is held, given study after study, and replaced when it has to be."""

import json
import os
import select
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundglass.exit_codes import ExitCode
from groundglass.worker.child_process import bound_to_this_process, end

_LOOK_S = 0.2
_GRACE_S = 10


class Overdue(Exception):
    """The worker had a study for longer than it may, and was ended."""


class Interrupted(Exception):
    """Whoever holds the worker was asked to end; the worker was ended with its study."""


@dataclass(frozen=True)
class Limits:
    """When a worker is replaced by a fresh one, between two studies.

    Attributes:
        studies: after so many.
        memory_mib: where it holds more than this after a study: what it leaks would only grow.
    """

    studies: int
    memory_mib: int


class HeldWorker:
    """One worker, started when the first study comes and again after its end, whatever that was.

    It ends with the process that holds it, also where that is killed. It gives a study back as an exit code and knows
    nothing of tries: a study whose worker was killed has no results, and whoever gave it decides what becomes of it.

    Args:
        command: of the worker, as `groundglass.worker.service` is one.
        limits: when it is replaced.
        folder: in which it runs.
        environment: what is added to this process' own.
    """

    def __init__(
        self, command: Sequence[str], limits: Limits, folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._command = list(command)
        self._limits = limits
        self._folder = folder
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._said = b""
        self._studies = 0
        self.started = 0

    @property
    def process_id(self) -> int | None:
        """Of the worker that is there now."""
        return None if self._process is None else self._process.pid

    def analyse(
        self, request: Mapping[str, Any], log: Path, timeout_s: float, is_stopped: Callable[[], bool] = lambda: False
    ) -> int:
        """Have one study analysed.

        Args:
            request: `input`, `output` and perhaps `names`, as the service takes them.
            log: the file that takes what the worker says of this study, and of its start where it starts now.
            timeout_s: for both; 0 for no limit.
            is_stopped: looked at now and then.

        Returns:
            The exit code of the study; of the worker, where that has ended meanwhile, negative for a signal.

        Raises:
            Overdue, Interrupted, NotFound: as they say.
        """
        deadline = time.monotonic() + timeout_s if timeout_s else float("inf")
        log.write_bytes(b"")
        try:
            if self._process is None or self._process.poll() is not None:
                self._start(log)
                if self._answer(deadline, is_stopped) is None:
                    return self._ended()
            line = json.dumps({**request, "log": str(log)}) + "\n"
            try:
                self._stdin().write(line.encode())
                self._stdin().flush()
            except BrokenPipeError:
                return self._ended()
            told = self._answer(deadline, is_stopped)
        except BaseException:
            self.close()
            raise
        if told is None:
            return self._ended()
        self._studies += 1
        if self._studies >= self._limits.studies or told["memory_mib"] > self._limits.memory_mib:
            self.close()
        return int(told["code"])

    def close(self) -> None:
        """End the worker, if there is one: by the end of its input, or by force where it is at a study."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue
        end(process)

    def _start(self, log: Path) -> None:
        self.close()
        command = bound_to_this_process(self._command)
        with log.open("ab") as told:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=os.environ | self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=told,
                start_new_session=True,
            )
        self._said, self._studies = b"", 0
        self.started += 1

    def _stdin(self) -> Any:
        if self._process is None or self._process.stdin is None:
            raise ValueError("There is no worker.")
        return self._process.stdin

    def _answer(self, deadline: float, is_stopped: Callable[[], bool]) -> dict[str, Any] | None:
        """The next line that it says; None where it has ended."""
        if self._process is None or self._process.stdout is None:
            raise ValueError("There is no worker.")
        output = self._process.stdout.fileno()
        while b"\n" not in self._said:
            if is_stopped():
                raise Interrupted
            if time.monotonic() > deadline:
                raise Overdue
            if not select.select([output], [], [], _LOOK_S)[0]:
                continue
            part = os.read(output, 1 << 16)
            if not part:
                return None
            self._said += part
        line, self._said = self._said.split(b"\n", 1)
        try:
            told: dict[str, Any] = json.loads(line)
        except ValueError:
            return None  # it speaks another language: no worker of ours
        return told

    def _ended(self) -> int:
        """The exit code of a worker that has ended without an answer, which is an error whatever it says itself."""
        process = self._process
        if process is None:
            raise ValueError("There is no worker.")
        try:
            code = process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            code = int(ExitCode.DEFECT)
        self.close()
        return code or int(ExitCode.DEFECT)


def last_line(log: Path) -> str:
    """What was said last before an end: the reason, where there is one; empty where nothing was said."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
