"""A sound copy of what runs, and copies of that one to be spoilt."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from groundglass.locations import ROOT
from groundglass.selftest.build_record import CODE

WITHOUT_CACHES = shutil.ignore_patterns("__pycache__")


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what runs, with its build's record."""
    folder = tmp_path_factory.mktemp("sound")
    for name in CODE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=WITHOUT_CACHES)
        else:
            shutil.copy(ROOT / name, folder / name)
    command = [sys.executable, "-B", "-m", "groundglass.selftest.build_record", "--commit", "1f0c2d3"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def installed(sound: Path, tmp_path: Path) -> Path:
    """A copy of that copy, to be spoilt."""
    return shutil.copytree(sound, tmp_path / "installed", ignore=WITHOUT_CACHES)
