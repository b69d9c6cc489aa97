"""Archives of small phantoms, and a cohort as a process of its own."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from groundglass.cohort.results import name_study
from groundglass.dicomio.reading.scan import find_studies
from groundglass.locations import ROOT
from tests.app.runs import write_small_study

QUICK = ("--cores", "1")


def write_archive(folder: Path, studies: int) -> dict[str, Path]:
    """Phantoms, as small as are analysed, and a file of no study; the folder of each study by its name."""
    for seed in range(studies):
        write_small_study(folder / f"patient {seed}" / "ct", seed=seed)
    (folder / "notes.txt").write_text("not an image", encoding="utf-8")
    found = find_studies(folder).studies
    return {name_study(uid): (folder / files[0]).parent for uid, files in found.items()}


def start(archive: Path, out: Path, settings: Path, *extra: str) -> subprocess.Popen[str]:
    """A cohort on its way."""
    folders = ["--input", str(archive), "--output", str(out), "--settings", str(settings)]
    command = [sys.executable, "-m", "groundglass.cohort", *folders, *QUICK, *extra]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def wait_for(found: Callable[[], list[Path]], process: subprocess.Popen[str]) -> list[Path]:
    """What `found` finds, once it finds anything, while the process runs."""
    end = time.monotonic() + 600
    while time.monotonic() < end and process.poll() is None:
        if paths := found():
            return paths
        time.sleep(0.02)
    raise AssertionError(f"not seen; the process said: {process.communicate()[1]}")
