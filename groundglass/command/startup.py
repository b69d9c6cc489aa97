"""What a command does while it loads the libraries that it needs."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SPINS = "1000"
"""How often an idle thread of GNU OpenMP, with which PyTorch computes on Linux, looks for work before it sleeps: some
ten microseconds, longer than from one layer of a network to the next. Left to itself it looks 300000 times,
milliseconds after each operation, and keeps a core busy that reading and writing could have."""


@contextmanager
def many_imports() -> Iterator[None]:
    """Import without collecting garbage, and have PyTorch's idle threads sleep (SPINS) where the environment is silent.

    An import of PyTorch makes some million objects and next to no garbage; looking through them again and again takes a
    sixth of the start. Nor is what was loaded looked through later: at the end of the process that takes a core second.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # read once, when PyTorch is loaded
    collects, loaded = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        # A worker's later studies load nothing: freezing would keep the garbage of the last one.
        if len(sys.modules) > loaded:
            gc.freeze()
        if collects:
            gc.enable()
