"""The CUDA runtime is found wherever it lies, and the device follows the setting."""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app import accelerator
from app.accelerator import CUDA_RUNTIME, load_cuda_runtime
from groundglass.locations import ROOT

LOADABLE = "import ctypes; ctypes.CDLL('libcudart.so.13')"


def run_without_system_cuda(code: str) -> subprocess.CompletedProcess[str]:
    """Run Python code on a machine as a laptop is: an empty folder lies over each of the system's CUDA folders.

    The mounts are in a mount namespace of the subprocess alone. Skips the test where that is not permitted.
    """
    environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    environment["PYTHONPATH"] = str(ROOT)
    folders = sorted({str(folder.resolve()) for folder in Path("/usr/local").glob("cuda*") if folder.is_dir()})
    command: list[str] = []
    if folders:
        unshare = shutil.which("unshare")
        if unshare is None:
            pytest.skip("unshare is not installed: the system's CUDA cannot be hidden")
        namespace = [unshare, "--mount"] if os.geteuid() == 0 else [unshare, "--mount", "--map-root-user"]
        hide = 'while [ "$1" != -- ]; do mount -t tmpfs none "$1" || exit 1; shift; done; shift; exec "$@"'
        command = [*namespace, "sh", "-c", hide, "sh", *folders, "--"]
        attempt = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
        if attempt.returncode:
            pytest.skip(f"the system's CUDA cannot be hidden here: {attempt.stderr.strip()}")

    def run(program: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, sys.executable, "-c", program],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    if run(LOADABLE).returncode == 0:
        pytest.skip("the system has a CUDA runtime outside /usr/local/cuda*")
    return run(code)


def test_holoscan_imports_after_loading_the_runtime_where_the_system_has_no_cuda() -> None:
    result = run_without_system_cuda(
        "import app.accelerator; app.accelerator.load_cuda_runtime(); import holoscan.core; print('imported')"
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("imported\n")


def test_holoscan_does_not_import_without_the_runtime() -> None:
    """The reason why load_cuda_runtime exists: once this fails, it can go."""
    result = run_without_system_cuda("import holoscan.core")
    assert result.returncode != 0
    assert CUDA_RUNTIME in result.stderr


@pytest.mark.slow
def test_the_graphs_framework_imports_after_loading_the_runtime_where_the_system_has_no_cuda() -> None:
    result = run_without_system_cuda(
        "import app.accelerator; app.accelerator.load_cuda_runtime(); import monai.deploy.core; print('imported')"
    )
    assert result.returncode == 0, result.stderr


def test_a_runtime_found_nowhere_is_an_error_that_says_what_to_install() -> None:
    # An environment without the wheel: its folders are taken off the search path.
    result = run_without_system_cuda(
        "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p and 'dist-packages' not in p]\n"
        "import app.accelerator as a\n"
        "try:\n    a.load_cuda_runtime()\nexcept a.AcceleratorError as error:\n    print(error)"
    )
    assert result.returncode == 0, result.stderr
    assert "libcudart.so.13 was found neither" in result.stdout
    assert "pip install -r requirements.txt" in result.stdout


def test_the_wheels_library_is_found_and_loads() -> None:
    libraries = accelerator._libraries_in_wheels()
    assert libraries, "requirements.txt installs nvidia-cuda-runtime"
    assert ctypes.CDLL(str(libraries[0])).cudaRuntimeGetVersion


def test_loading_twice_does_nothing_more() -> None:
    load_cuda_runtime()
    load_cuda_runtime()
