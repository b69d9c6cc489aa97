"""The self-test in the container passes it, and finds a change."""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from groundglass.locations import ROOT
from tests.image.container.containers import Containers, Run


def test_the_self_test_finds_a_changed_source_file(containers: Containers, measured: Callable[[str], None]) -> None:
    changed = containers.new_folder() / "boxes.py"
    source = (ROOT / "groundglass/method/boxes.py").read_text(encoding="utf-8")
    changed.write_text(source + "# changed\n", encoding="utf-8")
    code = "/opt/holoscan/app/groundglass/method/boxes.py:ro"
    mounts = {changed: code, containers.new_folder(): "/var/holoscan/output"}
    run = containers.run("selftest", "--no-operational", mounts=mounts)
    assert run.code == 1, (run.out + run.err)[-300:]
    assert "boxes.py" in run.out + run.err
    measured("a changed source file: exit code 1, and its name")


def test_the_self_test_passes(selftest: Future[tuple[Run, Path]], measured: Callable[[str], None]) -> None:
    run, results = selftest.result()
    told = (run.out + run.err).strip()
    assert run.code == 0, told[-800:]
    assert (results / "report.html").is_file()
    measured(f"{''.join(told.splitlines()[-1:])[:200]}, {run.seconds:.0f} s")
