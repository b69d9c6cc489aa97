"""The graph's engine comes without the modules that no run uses."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def run(program: str) -> str:
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


PREPARED = "import sys; from app.accelerator import *; from app.engine import *; load_cuda_runtime(); import_engine()\n"


def test_the_graph_loads_neither_transforms_nor_whole_applications() -> None:
    told = run(
        PREPARED + "import app.application; print('monai.transforms' in sys.modules, 'monai.apps' in sys.modules)"
    )
    assert told.split() == ["False", "False"]


def test_the_graph_loads_neither_plots_nor_arrays_of_other_libraries_and_they_can_be_loaded_later() -> None:
    told = run(
        PREPARED + "import app.application; print('matplotlib' in sys.modules, 'cupy' in sys.modules)\n"
        "import matplotlib, cupy"
    )
    assert told.split() == ["False", "False"]


def test_the_interpreter_finds_modules_as_before() -> None:
    told = run(
        PREPARED + "import monai, pkgutil\n"
        "print(any(pkgutil.walk_packages(monai.__path__)), monai.utils.module.walk_packages is pkgutil.walk_packages)"
    )
    assert told.split() == ["True", "True"]
