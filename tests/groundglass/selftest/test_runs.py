"""A failed run is kept for every check that needs it, and no file of the runs stays."""

from pathlib import Path

import pytest

from groundglass.locations import ROOT
from groundglass.selftest.check import carry_out
from groundglass.selftest.installed_copy import Copy
from groundglass.selftest.runs import Runs
from tests.groundglass.selftest.operation.spoiling import CHECKS

pytestmark = pytest.mark.slow


def test_a_failure_is_kept_and_told_by_every_check_that_needs_what_failed(tmp_path: Path) -> None:
    with Runs(Copy(tmp_path, ROOT / "models", None)) as made:
        (made.folder / "phantoms").write_text("in the way", encoding="utf-8")
        told = {carry_out(CHECKS[title], made).measured for title in ("Three phantoms", "Lung volumes", "Reports")}
    assert len(told) == 1
    assert "could not be carried out" in told.pop()


def test_the_files_of_the_runs_are_gone_at_their_end(tmp_path: Path) -> None:
    with Runs(Copy(tmp_path, ROOT / "models", None)) as made:
        assert made.folder.is_dir()
    assert not made.folder.exists()
