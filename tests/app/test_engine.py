"""The graph's engine comes without the modules that no run uses."""

import json
import subprocess
import sys

import pytest

from groundglass.locations import ROOT

PROGRAM = """
import json, pkgutil, sys
from app.accelerator import load_cuda_runtime
from app.engine import import_engine
load_cuda_runtime()
import_engine()
import app.application
names = ("monai.transforms", "monai.apps", "matplotlib", "cupy", "ignite", "sympy")
told = {name: name in sys.modules for name in names}
import matplotlib, cupy
import monai
told["walks"] = any(pkgutil.walk_packages(monai.__path__))
told["as before"] = monai.utils.module.walk_packages is pkgutil.walk_packages
print(json.dumps(told))
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def told() -> dict[str, bool]:
    """What an interpreter says that has loaded the graph, and then those libraries."""
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, bool] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_graph_loads_neither_transforms_nor_whole_applications(told: dict[str, bool]) -> None:
    assert (told["monai.transforms"], told["monai.apps"]) == (False, False)


def test_the_graph_loads_neither_plots_nor_arrays_of_other_libraries_and_they_can_be_loaded_later(
    told: dict[str, bool],
) -> None:
    assert not any(told[name] for name in ("matplotlib", "cupy", "ignite", "sympy"))


def test_the_interpreter_finds_modules_as_before(told: dict[str, bool]) -> None:
    assert (told["walks"], told["as before"]) == (True, True)
