"""Progress says of how many, and of what."""

import logging

import pytest

from groundglass.progress import ProgressReporter


def test_a_log_has_one_line_a_stage_with_what_was_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "groundglass")
    report = ProgressReporter(with_bars=False)
    for stage, total in (("lungs", 414), ("saliency", 6)):
        for done in range(total + 1):
            report(stage, done, total)
    assert [record.message for record in caplog.records] == [
        "segmenting lungs: all 414 planes done",
        "explaining slices: all 6 slices done",
    ]


def test_a_bar_says_of_how_many(capsys: pytest.CaptureFixture[str]) -> None:
    report = ProgressReporter(with_bars=True)
    report("lungs", 0, 414)
    report("lungs", 207, 414)
    report.close()
    assert "207 of 414 planes" in capsys.readouterr().err
