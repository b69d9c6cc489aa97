"""What a command does while it loads the libraries that it needs."""

import gc
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType

SPINS = "1000"
"""How often an idle thread of GNU OpenMP, with which PyTorch computes on Linux, looks for work before it sleeps: some
ten microseconds, longer than from one layer of a network to the next. Left to itself it looks 300000 times,
milliseconds after each operation, and keeps a core busy that reading and writing could have."""

_SHAPES = "torch._meta_registrations"
"""What PyTorch loads to tell the shapes of results without computing them, for its compiler and its export: a sixth of
its import. Who compiles in such a process imports this module first."""
_UNUSED = {_SHAPES: ModuleType(_SHAPES), "cuda.bindings": None, "requests": None}
"""What is loaded and no command uses: by PyTorch, the bindings where they are there, for the notes of CUDA graphs; by
pydicom `requests`, to download examples."""


@contextmanager
def many_imports() -> Iterator[None]:
    """Import what commands use and no more (_UNUSED), without collecting garbage, and have PyTorch's idle threads sleep
    (SPINS) where the environment is silent.

    An import of PyTorch makes some million objects and next to no garbage; looking through them again and again takes a
    sixth of the start. Nor is what was loaded looked through later: at the end of the process that takes a core second.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # read once, when PyTorch is loaded
    collects, loaded = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        with modules_replaced(_UNUSED):
            yield
    finally:
        # A worker's later studies load nothing: freezing would keep the garbage of the last one.
        if len(sys.modules) > loaded:
            gc.freeze()
        if collects:
            gc.enable()


@contextmanager
def modules_replaced(by: Mapping[str, ModuleType | None]) -> Iterator[None]:
    """Meanwhile these modules, where they are not loaded yet, are what is given here; of None an import fails."""
    replaced = {name: module for name, module in by.items() if name not in sys.modules}
    sys.modules |= replaced  # type: ignore[arg-type]  # it has None in it, which the documentation foresees
    try:
        yield
    finally:
        for name, module in replaced.items():
            if sys.modules.get(name) is module:  # who needed the real one may have loaded it meanwhile
                sys.modules.pop(name, None)
