"""Modules that are loaded when something is asked of them."""

import inspect
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from groundglass.command.late_modules import loaded_late

WHOLE = """
import sys
sys.loads_of_whole = getattr(sys, "loads_of_whole", 0) + 1
from whole_of_test import part
import time
time.sleep(0.05)
ANSWER = 42
itself = sys.modules[__name__].ANSWER
"""


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that counts how often it is loaded, with a module below it."""
    folder = tmp_path / "whole_of_test"
    folder.mkdir()
    (folder / "__init__.py").write_text(WHOLE)
    (folder / "part.py").write_text("NAME = 'part'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "loads_of_whole", 0, raising=False)
    yield
    for name in ("whole_of_test", "whole_of_test.part"):
        sys.modules.pop(name, None)


def loads() -> int:
    return int(vars(sys)["loads_of_whole"])


def test_a_late_module_is_loaded_once_and_by_the_first_question() -> None:
    with loaded_late(["whole_of_test"]):
        import whole_of_test  # type: ignore[import-not-found]
    assert loads() == 0
    assert (whole_of_test.ANSWER, whole_of_test.itself, whole_of_test.part.NAME) == (42, 42, "part")
    assert loads() == 1


def test_what_is_asked_of_all_modules_loads_none() -> None:
    with loaded_late(["whole_of_test"]):
        import whole_of_test
    assert Path(whole_of_test.__file__).name == "__init__.py"
    assert inspect.ismodule(whole_of_test)
    assert not hasattr(whole_of_test, "__wrapped__")
    assert loads() == 0


def test_what_lies_below_can_be_imported_alone() -> None:
    with loaded_late(["whole_of_test"]):
        from whole_of_test.part import NAME  # type: ignore[import-not-found]
    assert (NAME, loads()) == ("part", 0)


def test_a_name_taken_from_it_loads_it_and_what_it_lacks_is_told_as_ever() -> None:
    with loaded_late(["whole_of_test"]):
        from whole_of_test import ANSWER
    assert (ANSWER, loads()) == (42, 1)
    with pytest.raises(AttributeError, match="has no attribute 'QUESTION'"):
        _ = sys.modules["whole_of_test"].QUESTION


def test_many_threads_load_it_once() -> None:
    with loaded_late(["whole_of_test"]):
        import whole_of_test
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(whole_of_test.ANSWER)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (answers, loads()) == ([42] * 8, 1)


def test_imports_are_as_before_afterwards() -> None:
    finders = list(sys.meta_path)
    with pytest.raises(ModuleNotFoundError), loaded_late(["whole_of_test", "no_such_module"]):
        import no_such_module  # type: ignore[import-not-found]  # noqa: F401
    assert sys.meta_path == finders
    import whole_of_test  # noqa: F401

    assert loads() == 1
