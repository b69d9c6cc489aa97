"""Modules that are loaded when something is first asked of them, and not where they are imported."""

import sys
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


@contextmanager
def loaded_late(names: Collection[str]) -> Iterator[None]:
    """Meanwhile an import of these modules, where they are not loaded yet, loads nothing; nor does one of what they
    hold load them. They are loaded by the first question for anything in them, then or later.

    `importlib.util.LazyLoader` does as much, but it loads a module even when its file is asked for, which `inspect` and
    imports of what lies below the module do of all.

    Args:
        names: of modules that don't rely on the order in which they and others are loaded.
    """
    finder = _Finder(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder(MetaPathFinder):
    """Finds modules as ever, and has them loaded late."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname in self._names else None
        if spec is not None and spec.loader is not None:
            spec.loader = _LateLoader(spec.loader)
        return spec


class _LateLoader(Loader):
    """Makes a module whose code is run by `run`, and not before."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._lock = threading.RLock()
        self._runs = False

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _LateModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: this is what is done late."""

    def __getattr__(self, name: str) -> Any:
        """Whatever else a loader can tell of the module, its source for instance, is the real one's to tell."""
        return getattr(self._loader, name)

    def run(self, module: ModuleType) -> None:
        """The module's code, once; whoever else asks waits for its end, but for the code itself."""
        with self._lock:
            if self._runs or type(module) is ModuleType:
                return
            self._runs = True
            try:
                module.__loader__ = self._loader
                self._loader.exec_module(module)
                module.__class__ = ModuleType
                if module.__spec__ is not None:
                    module.__spec__.loader = self._loader
            finally:
                self._runs = False


class _LateModule(ModuleType):
    """Knows its name, file and path; whatever else is asked of it makes it an ordinary module."""

    def __getattr__(self, name: str) -> Any:
        # Names like __wrapped__ or __warningregistry__ are asked of every module that there is; __all__ means its code.
        if not name.startswith("__") or name == "__all__":
            loader = None if self.__spec__ is None else self.__spec__.loader
            if isinstance(loader, _LateLoader):
                loader.run(self)
            if name in self.__dict__:
                return self.__dict__[name]
            if type(self) is ModuleType:  # and may answer by a function of its own
                return getattr(self, name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
