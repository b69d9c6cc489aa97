"""The self-test as a command: its report, its exit codes, and what it refuses."""

import json
from pathlib import Path

import pytest

from groundglass.domain.software import sha256_of
from groundglass.locations import ROOT
from groundglass.selftest import __main__ as command_line
from groundglass.selftest.build_record import FILE_NAME
from groundglass.selftest.catalogue import INSTALLATION
from tests.groundglass.selftest.installed_copies import QUICK, start_selftest


@pytest.mark.slow
def test_a_sound_copy_passes_and_its_report_is_written(installed: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    code, told = start_selftest(installed, "--out", str(out), "--no-operational")
    assert code == 0, told
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "results.json"]
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert results["verdict"] == "passed"
    assert results["software"]["Commit"] == "1f0c2d3"
    assert "made just before this test, from a checkout" in results["software"]["Build record"]
    report = (out / "report.html").read_text(encoding="utf-8")
    assert sha256_of(out / "results.json") in report
    assert "operational part is open" in report
    assert [check["id"] for check in results["checks"]] == [check.id for check in INSTALLATION]
    assert {item["verdict"] for item in results["requirements"] if item["id"] == "R-15"} == {"not run"}


@pytest.mark.slow
def test_the_exit_code_and_the_report_say_what_is_wrong(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_line, "INSTALLATION", QUICK)
    (installed / "groundglass" / "method" / "boxes.py").unlink()
    record = ["--build-record", str(installed / FILE_NAME)]  # what it records lies beside it
    assert command_line.main(["--out", str(tmp_path / "report"), "--no-operational", *record]) == 1
    assert "groundglass/method/boxes.py is missing" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--out"),
        (["--out", "{file}"], "can't be written"),
        (["--out", "{folder}", "--models", "{folder}/nowhere"], "does not exist"),
        (["--out", "{folder}", "--build-record", "{folder}/nowhere"], "does not exist"),
    ],
)
def test_a_call_that_cannot_be_carried_out_is_refused(
    tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    filled = [argument.format(file=tmp_path / "file", folder=tmp_path) for argument in arguments]
    with pytest.raises(SystemExit) as refused:
        command_line.main(filled)
    assert refused.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_help_has_examples_and_exit_codes() -> None:
    code, told = start_selftest(ROOT, "--help")
    assert code == 0
    assert "examples:" in told
    assert "exit codes: 0 passed; 1 a check failed" in told
