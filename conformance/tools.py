"""Starts the programs of others, and says which package has one that is missing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGES = {
    "dcmdump": "dcmtk",
    "dcmpschk": "dcmtk",
    "dcmsend": "dcmtk",
    "dsrdump": "dcmtk",
    "dciodvfy": "dicom3tools",
    "dcentvfy": "dicom3tools",
    "DicomSRValidator": "pixelmed-apps",
    "Orthanc": "orthanc",
}
"""Debian package by program. The programs of dcmqi come with its Python package."""
VIEWER_PACKAGES = {"chromium": "chromium", "node": "nodejs", "npm": "npm"}
"""The same, of what `make viewer` starts."""

_ENVIRONMENT = {
    # Its style sheets are larger than Java's limits since 2022 allow; the two last save it start-up time.
    "JAVA_TOOL_OPTIONS": "-Djdk.xml.xpathExprOpLimit=0 -Djdk.xml.xpathExprGrpLimit=0 -Djdk.xml.xpathTotalOpLimit=0 "
    "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
    "LC_ALL": "C.UTF-8",
}


class ToolMissing(Exception):
    """A program is not installed; the text says what to install."""


def find(name: str) -> str:
    """The path of a program.

    Raises:
        ToolMissing: it is not installed.
    """
    # Debian keeps Orthanc in sbin, which is on the superuser's path only.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), "/usr/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        package = (PACKAGES | VIEWER_PACKAGES).get(name)
        target = "viewer" if name in VIEWER_PACKAGES else "conformance"
        install = f"apt-get install {package}" if package else "pip install -r requirements-dev.txt"
        raise ToolMissing(f"The program {name} is not installed. Run `make {target}`, or else `{install}`.")
    return found


def run(name: str, *arguments: object, timeout_s: float = 300) -> tuple[int, str]:
    """Exit code of a program, negative where a signal ended it, and all that it wrote.

    Raises:
        ToolMissing: it is not installed.
        subprocess.TimeoutExpired: it did not end.
    """
    done = subprocess.run(
        [find(name), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | _ENVIRONMENT,
        timeout=timeout_s,
        check=False,
    )
    return done.returncode, done.stdout.decode("utf-8", "replace")
