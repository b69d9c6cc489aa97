"""Each check of the contract finds what is wrong with others."""

from collections.abc import Callable
from typing import Any

import pytest

from groundglass.selftest.check import carry_out
from groundglass.selftest.runs import OTHER_FILE, Runs
from tests.groundglass.selftest.operation.spoiling import CHECKS, Judged, case_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("title", "change"),
    [
        ("Other files in the input", lambda result: result["files_ignored"].clear()),
        ("Output folder", lambda result: case_of(result)["outputs"].pop()),
        ("Software in result.json", lambda result: result["software"].update(version="0.0.1")),
        ("Software in result.json", lambda result: result["software"]["models"]["lungs"].update(sha256="0" * 64)),
        ("Form of result.json", lambda result: result.pop("status")),
        ("Form of result.json", lambda result: case_of(result).update(note="not in the schema")),
    ],
)
def test_a_result_that_says_something_else_is_found(
    judged: Judged, title: str, change: Callable[[dict[str, Any]], object]
) -> None:
    judged.edit_result(change)
    assert judged.outcome(title).verdict == "failed"


@pytest.mark.parametrize("name", ["case-001.sr.dcm", "case-001.preview.png", OTHER_FILE])
def test_a_missing_file_is_found(judged: Judged, name: str) -> None:
    (judged.first / name).unlink()
    assert judged.outcome("Output folder").verdict == "failed"


def test_a_file_that_is_not_promised_is_found(judged: Judged) -> None:
    (judged.first / ".case-001.sr.dcm.7.part").write_bytes(b"half")
    assert "is not promised" in judged.outcome("Output folder").measured


def test_a_leftover_of_an_earlier_run_is_found(judged: Judged) -> None:
    (judged.first / "case-007.seg.dcm").write_bytes(b"of an earlier run")
    assert judged.outcome("Earlier results").verdict == "failed"


def test_a_run_without_a_result_fails_and_the_reason_is_told(judged: Judged) -> None:
    (judged.first / "result.json").unlink()
    judged.of_first["code"] = 1
    assert "exit code 1" in judged.outcome("Three phantoms").measured
    assert "was not analysed (exit code 1)" in judged.outcome("Lung volumes").measured
    assert judged.outcome("Form of result.json").verdict == "passed"  # of the other run


def test_help_is_answered(runs: Runs) -> None:
    assert carry_out(CHECKS["Help"], runs).verdict == "passed"
