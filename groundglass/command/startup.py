"""What a command does while it loads the libraries that it needs."""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

SPINS = "1000"
"""How often a thread of PyTorch's that has nothing to do looks for work before it sleeps: some ten microseconds, longer
than from one layer of a network to the next. Left to itself it looks 300000 times, milliseconds after each operation,
and keeps a core busy that reading and writing could have."""


@contextmanager
def many_imports() -> Iterator[None]:
    """Leave garbage alone for so long, and have PyTorch's idle threads sleep (SPINS) unless the environment says else.

    An import of PyTorch makes some million objects and next to no garbage; looking through them again and again takes a
    sixth of the start.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # read once, when PyTorch is loaded
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
