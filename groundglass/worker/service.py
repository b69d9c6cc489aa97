"""The worker's process, `groundglass worker`: a study for each line on standard input, an answer for each on output.

A line is a JSON object. After the start the worker says `{"ready": true, "device": "cpu"}`. A request is
`{"input": FOLDER, "output": FOLDER}`, perhaps with `"names"`, the files of the input folder to look at, and with
`"log"`, the file that takes what is said of this study. The answer is `{"code": 0, "memory_mib": 910}`: the exit code
that a run of its own would have had, and the memory that the worker holds between two studies. It ends with its input.
"""

import argparse
import gc
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from groundglass.command.analyse import analyse
from groundglass.command.logs import exit_with, set_up_logging
from groundglass.command.options import Parser
from groundglass.command.startup import many_imports
from groundglass.domain.errors import UsageError
from groundglass.exit_codes import ExitCode
from groundglass.locations import MODEL_FOLDER, SETTINGS_FILE

LOG = logging.getLogger("groundglass")

_DESCRIPTION = (
    "Takes study after study with everything loaded once; a program talks to it. The form of requests and answers: "
    "groundglass/worker/service.py."
)


def main(arguments: list[str] | None = None) -> ExitCode:
    """Serve until the input ends."""
    options = _parser().parse_args(arguments)
    set_up_logging(options.log_level.upper())
    with _answers() as answer:
        try:
            with many_imports():
                from groundglass.pipeline import Pipeline

            if options.threads:
                import torch

                torch.set_num_threads(options.threads)
            pipeline = Pipeline.load(options.settings, options.models)
        except UsageError as error:
            LOG.error("%s", error)
            return ExitCode.USAGE
        answer({"ready": True, "device": pipeline.software.device})
        for line in sys.stdin:
            request = json.loads(line)
            with _said_in(request.get("log")):
                folders = Path(request["input"]), Path(request["output"])
                code = analyse(*folders, pipeline=pipeline, names=request.get("names"))
            _forget()
            answer({"code": int(code), "memory_mib": round(_resident_mib())})
    return ExitCode.SUCCESS


@contextmanager
def _answers() -> Iterator[Callable[[dict[str, Any]], None]]:
    """Standard output for answers alone: what libraries print goes to standard error."""
    sys.stdout.flush()
    own = os.dup(1)
    os.dup2(2, 1)
    try:
        yield lambda told: _write_all(own, (json.dumps(told) + "\n").encode())
    finally:
        os.close(own)


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


@contextmanager
def _said_in(log: str | None) -> Iterator[None]:
    """Standard error, into a file; into nothing else where the file can't be opened, as from within a container."""
    try:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if log else None
    except OSError:
        file = None
    if file is None:
        yield
        return
    sys.stderr.flush()
    before = os.dup(2)
    os.dup2(file, 2)
    os.close(file)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(before, 2)
        os.close(before)


def _forget() -> None:
    """What a study needed goes back to the system, and to the GPU."""
    import torch

    from groundglass.case import give_back_memory

    gc.collect()
    give_back_memory()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="groundglass worker", description=_DESCRIPTION)
    parser.add_argument("-m", "--models", type=Path, default=MODEL_FOLDER, help="folder with the weights")
    parser.add_argument("--settings", type=Path, default=SETTINGS_FILE, help="settings file (default: app.yaml)")
    parser.add_argument("--threads", type=int, help="of the networks (default: one for each core)")
    levels = ("debug", "info", "warn", "error")
    parser.add_argument("-l", "--log-level", choices=levels, default="info", help="default info")
    return parser


def run_and_exit() -> None:
    """Leave the process with the exit code."""
    exit_with(main)


if __name__ == "__main__":
    run_and_exit()
