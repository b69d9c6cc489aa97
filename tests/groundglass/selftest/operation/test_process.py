"""A header in the log, too much memory, and an application that was not terminated are found."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from groundglass.phantom.study import BIRTH_DATE
from groundglass.selftest.runs import Phantom
from groundglass.selftest.samples import SECRET
from tests.groundglass.selftest.operation.spoiling import Judged

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("word", [SECRET, "Phantom^Groundglass", "PHANTOM-covid19-0", BIRTH_DATE])
def test_a_header_in_the_log_is_found(judged: Judged, word: str) -> None:
    judged.of_second["told"] = f"WARNING the series of {word} is odd"
    outcome = judged.outcome("Logs")
    assert outcome.verdict == "failed"
    assert word not in outcome.measured


def test_a_uid_in_the_log_is_found(judged: Judged, right: tuple[Phantom, Path]) -> None:
    judged.of_first["told"] = f"INFO {right[0].header.SeriesInstanceUID}"
    assert judged.outcome("Logs").measured == "the log holds a UID"


def test_too_much_memory_is_found(judged: Judged) -> None:
    judged.of_second["peak_mib"] = 5000.0
    assert judged.outcome("Peak memory").verdict == "failed"


def test_an_application_that_ends_by_itself_does_not_pass_for_terminated(judged: Judged) -> None:
    shutil.rmtree(judged.first)
    judged.runs.kept["phantoms"] = (replace(judged.runs.phantoms[0], folder=judged.first),)
    assert "ended by itself, with exit code 2" in judged.outcome("SIGTERM").measured
