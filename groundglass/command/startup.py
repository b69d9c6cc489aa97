"""What a command does while it loads the libraries that it needs."""

import gc
import importlib
import inspect
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from groundglass.command.late_modules import loaded_late

SPINS = "1000"
"""How often an idle thread of GNU OpenMP, with which PyTorch computes on Linux, looks for work before it sleeps: some
ten microseconds, longer than from one layer of a network to the next. Left to itself it looks 300000 times,
milliseconds after each operation, and keeps a core busy that reading and writing could have."""

_LARGE_PAGES = ("THP_MEM_ALLOC_ENABLE", "1")
"""PyTorch asks Linux for pages of 2 MiB where it takes as much memory at a time: a third of the page faults or less."""

_ONE_MULTIPLIER = ("OPENBLAS_NUM_THREADS", "1")
"""NumPy and SciPy multiply matrices with an OpenBLAS each, whose idle threads look for work for milliseconds after
every product. What commands multiply there is small; networks have threads of their own."""

_SHAPES = "torch._meta_registrations"
"""What PyTorch loads to tell the shapes of results without computing them, for its compiler and its export: a sixth of
its import. Who compiles in such a process imports this module first."""
_UNUSED = {_SHAPES: ModuleType(_SHAPES), "cuda.bindings": None, "requests": None}
"""What PyTorch (`cuda.bindings`, to annotate CUDA graphs) and pydicom (`requests`, to download examples) load, and no
command uses."""
_LATE = (
    *("torch._tensor_docs", "torch.distributions", "torch.export", "torch.fx.passes", "torch.linalg", "torch.masked"),
    *("torch.nn.intrinsic", "torch.nn.quantized", "torch.profiler", "torch.quantization"),
    *("highdicom.legacy", "pydicom.examples", "unittest", "unittest.mock"),
    *("numpy.ctypeslib", "numpy.f2py", "numpy.polynomial", "numpy.testing"),
)
"""What PyTorch, highdicom and scipy load in case somebody asks for it: loaded when somebody does."""


@contextmanager
def many_imports() -> Iterator[None]:
    """Import what commands use and no more (_UNUSED, _LATE), without collecting garbage; where the environment is
    silent, have PyTorch's idle threads sleep (SPINS) and take its memory in large pages (_LARGE_PAGES), and have NumPy
    and SciPy multiply in one thread (_ONE_MULTIPLIER).

    An import of PyTorch makes some million objects and next to no garbage; looking through them again and again takes a
    sixth of the start. Nor is what was loaded looked through later: at the end of the process that takes a core second.
    """
    for name, value in (_LARGE_PAGES, _ONE_MULTIPLIER):
        os.environ.setdefault(name, value)
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # read once, when PyTorch is loaded
    collects, loaded = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        with modules_replaced(_UNUSED), loaded_late(_LATE), _lines_without_modules(), _docstrings_as_written():
            yield
    finally:
        # A worker's later studies load nothing: freezing would keep the garbage of the last one.
        if len(sys.modules) > loaded:
            gc.freeze()
        if collects:
            gc.enable()


def collect_seldom() -> None:
    """At the start of a process: look for garbage less often than every 700 new objects, of which a header has 100."""
    gc.set_threshold(20_000)


def leave_garbage() -> None:
    """At the end of a process: nothing that is left is looked through for garbage, since all of it goes at once."""
    gc.freeze()


@contextmanager
def _lines_without_modules() -> Iterator[None]:
    """Meanwhile `inspect` tells a line of code without looking for the module that holds it.

    PyTorch notes in which line an operator of its own is made, and `inspect` would look up the files of all modules
    that are loaded for it: 14000 questions to the disk.
    """
    module_of = inspect.getmodule
    inspect.getmodule = lambda *_, **__: None
    try:
        yield
    finally:
        inspect.getmodule = module_of


@contextmanager
def _docstrings_as_written() -> Iterator[None]:
    """Meanwhile scipy leaves its docstrings as they are, where it would take each apart and add which libraries' arrays
    the function works on."""
    docstrings: Any = importlib.import_module("scipy._lib._docscrape")
    taken_apart = docstrings.FunctionDoc
    docstrings.FunctionDoc = _Docstring
    try:
        yield
    finally:
        docstrings.FunctionDoc = taken_apart


class _Docstring(defaultdict[str, list[str]]):
    """A function's docstring with no sections of which anything is kept."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(list)
        self._text = function.__doc__ or ""

    def __str__(self) -> str:
        return "\n" + self._text  # scipy cuts the line of the signature away


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
