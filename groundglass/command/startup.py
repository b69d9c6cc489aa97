"""What a command does while it loads the libraries that it needs."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def many_imports() -> Iterator[None]:
    """Leave garbage alone for so long.

    An import of PyTorch makes some million objects and next to no garbage; looking through them again and again takes a
    sixth of the start.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
