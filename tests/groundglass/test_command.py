"""The command `groundglass`: how its process ends."""

import gc
import sys

import pytest

from groundglass import __main__ as command
from groundglass.command.startup import many_imports


@pytest.mark.parametrize(
    ("word", "clean_end"), [("analyse", True), ("demo", True), ("cohort", False), ("selftest", False)]
)
def test_only_commands_without_processes_of_their_own_take_hold_of_signals(
    word: str, clean_end: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[bool] = []
    monkeypatch.setattr("groundglass.interruption.end_cleanly_when_asked", lambda: held.append(True))
    monkeypatch.setattr(command, "main", lambda: 0)
    monkeypatch.setattr(sys, "argv", ["groundglass", word])
    with pytest.raises(SystemExit) as ended:
        command.run_and_exit()
    assert (ended.value.code, bool(held)) == (0, clean_end)


def test_garbage_is_left_alone_while_libraries_load_and_never_longer() -> None:
    with pytest.raises(ImportError), many_imports():  # noqa: PT012
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()
