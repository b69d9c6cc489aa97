"""CUDA's runtime library, which the graph's engine needs.

The graph's engine is linked against CUDA's runtime library and does not import without it, not even on a machine with
no GPU, where it then runs on the CPU. The library comes with CUDA, and equally with the `nvidia-cuda-runtime` wheel.
"""

import ctypes
from importlib.util import find_spec
from pathlib import Path

from groundglass.domain.errors import UsageError

CUDA_RUNTIME = "libcudart.so.13"


class AcceleratorError(UsageError):
    """The machine lacks what the graph's engine needs of CUDA."""


def load_cuda_runtime() -> None:
    """Load CUDA's runtime library, so that a later `import holoscan` (and `monai.deploy`) finds it.

    The system's own is taken first: it fits the driver. Loading again does nothing.

    Raises:
        AcceleratorError: neither the system nor the Python environment has the library.
    """
    for library in (CUDA_RUNTIME, *_libraries_in_wheels()):
        try:
            # Global, so that the engine's own libraries resolve their symbols against it.
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return
    raise AcceleratorError(
        f"{CUDA_RUNTIME} was found neither on the system nor in this Python environment, and the application does not "
        "start without it, not even on a machine with no GPU. Install it with: pip install -r requirements.txt"
    )


def _libraries_in_wheels() -> list[Path]:
    """Where NVIDIA's wheels put the library: `nvidia` is a namespace that may lie in several site-packages folders."""
    nvidia = find_spec("nvidia")
    folders = nvidia.submodule_search_locations if nvidia is not None else None
    libraries = [Path(folder) / "cu13" / "lib" / CUDA_RUNTIME for folder in folders or ()]
    return [library for library in libraries if library.is_file()]
