"""Copies of what runs, and what the self-test finds in one."""

import subprocess
import sys
from pathlib import Path

from groundglass.selftest import installation
from groundglass.selftest.build_record import FILE_NAME
from groundglass.selftest.catalogue import INSTALLATION
from groundglass.selftest.check import carry_out
from groundglass.selftest.installed_copy import Copy


def copy_in(folder: Path) -> Copy:
    return Copy(folder.parent, folder / "models", folder / FILE_NAME, code=folder)


def start_selftest(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output of the self-test in the copy in `folder`."""
    command = [sys.executable, "-B", "-m", "groundglass.selftest", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1200, check=False)
    return done.returncode, done.stdout + done.stderr


QUICK = [check for check in INSTALLATION if check.measure not in (installation.package_files, installation.device)]
"""Without what hashes all packages."""


def failed(folder: Path) -> dict[str, str]:
    """What was measured by the quick checks of the installation that fail."""
    copy = copy_in(folder)
    outcomes = [carry_out(check, copy) for check in QUICK]
    return {outcome.id: outcome.measured for outcome in outcomes if outcome.verdict == "failed"}
