"""The command `groundglass`: what it is told to do, and how its process ends."""

import gc
import os
import subprocess
import sys
from types import ModuleType

import pytest

from groundglass import __main__ as command
from groundglass.command.startup import many_imports, modules_replaced
from groundglass.domain.software import NAME, VERSION
from groundglass.locations import ROOT


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


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("analyze", "there is no command 'analyze'; did you mean 'analyse'?"),
        ("Demo", "did you mean 'demo'?"),
        ("qqq", "there is no command 'qqq'. Commands: analyse, demo, worker, cohort, quality, selftest, version"),
    ],
)
def test_a_misspelt_command_is_told_with_the_one_that_was_meant(
    word: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main([word, "study", "out"])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_misspelt_option_is_told_with_the_one_that_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["analyse", "study", "out", "--setings", "app.yaml"])
    assert ended.value.code == 2
    assert "--setings app.yaml; did you mean '--settings'?" in capsys.readouterr().err


def test_the_command_alone_prints_what_can_be_asked_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 2
    assert "analyse the chest CTs" in capsys.readouterr().err


def test_the_version_is_an_option_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"{NAME} {VERSION}\n")


def test_garbage_is_left_alone_while_libraries_load_and_never_longer() -> None:
    with pytest.raises(ImportError), many_imports():  # noqa: PT012
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()


def test_what_was_loaded_is_never_looked_through_for_garbage_again(monkeypatch: pytest.MonkeyPatch) -> None:
    gc.unfreeze()  # of what earlier tests have frozen, some may be deleted at any time
    with many_imports():
        pass  # nothing is loaded, and what a process has made since then is still looked through
    assert gc.get_freeze_count() == 0
    try:
        with many_imports():
            monkeypatch.setitem(sys.modules, "loaded_now", ModuleType("loaded_now"))
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


@pytest.mark.parametrize(
    ("asked", "spins"), [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)]
)
def test_idle_threads_sleep_soon_unless_the_environment_says_else(
    asked: dict[str, str], spins: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", asked)
    with many_imports():
        pass
    assert asked.get("GOMP_SPINCOUNT") == spins


@pytest.mark.parametrize(("asked", "threads"), [({}, "1"), ({"OPENBLAS_NUM_THREADS": "2"}, "2")])
def test_matrices_are_multiplied_in_one_thread_unless_the_environment_says_else(
    asked: dict[str, str], threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", asked)
    with many_imports():
        pass
    assert asked["OPENBLAS_NUM_THREADS"] == threads


def test_commands_load_nothing_for_a_compiler_or_downloads_and_it_can_be_loaded_later() -> None:
    program = """
import sys
from groundglass.command.startup import many_imports
with many_imports():
    from groundglass import Pipeline
names = ("torch", "torch._decomp", "torch._meta_registrations", "cuda.bindings", "requests")
late = ("torch.distributions", "torch.export", "numpy.f2py", "numpy.testing")
print([name in sys.modules for name in names])
print(sum("_LateModule" in str(type(sys.modules[name])) for name in late))
import numpy.testing, scipy.ndimage, torch, scipy._lib._docscrape as docstrings
numpy.testing.assert_equal(float(torch.distributions.Normal(0.0, 1.0).mean), 0.0)
print(docstrings.FunctionDoc(scipy.ndimage.label)["Returns"][0].name)
import requests, torch._meta_registrations
print(torch.compile(lambda values: values.cumsum(0).relu(), backend="eager")(torch.ones(2)))
print(torch.cdist(*torch.rand(2, 3, 4, device="meta")).shape)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    said = ["[True, False, False, False, False]", "4", "label", "tensor([1., 2.])", "torch.Size([3, 3])"]
    assert done.stdout.splitlines() == said, done.stderr


def test_a_module_that_is_there_is_never_replaced() -> None:
    with modules_replaced({"gc": None, "no_such_module": None}):
        assert (sys.modules["gc"], sys.modules["no_such_module"]) == (gc, None)
    assert (sys.modules["gc"], "no_such_module" in sys.modules) == (gc, False)
