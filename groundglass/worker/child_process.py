"""A program that ends with the process that started it, whatever ends that one."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence

_GRACE_S = 10


class NotFound(Exception):
    """The program can't be found or started."""


def bound_to_this_process(command: Sequence[str]) -> list[str]:
    """The words that start the program so that it ends with this process, where the system has the means to.

    Raises:
        NotFound: the program is not there.
    """
    if shutil.which(command[0]) is None:
        raise NotFound(command[0])
    setpriv = shutil.which("setpriv")
    return [*([setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []), *command]


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a process that leads a session of its own, and all of that: as asked first, then by force."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
