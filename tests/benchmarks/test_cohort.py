"""The page on scaling says what the report says."""

import json
from typing import Any

import pytest

from benchmarks import cohort


@pytest.fixture
def report() -> dict[str, Any]:
    runs = [
        [
            {"mode": "one worker", "studies_an_hour": 100, "core_seconds": 9.0, "load_before": 0.5},
            {"mode": "two workers", "studies_an_hour": 150, "core_seconds": 10.0, "load_before": 0.5},
        ]
        for _ in range(3)
    ]
    full = {"slices": 120, "explained": 50, "seconds": 99.0, "cpu_seconds": 72.0, "peak_mib": 1000.0}
    ends = {"files_a_second": 5_000.0, "tabled_a_second": 500.0, "written_mb": 2.0}
    return {"turns": runs, "full": full, "ends": ends, "machine": {"processor": "x", "cores": 2, "python": "3.11"}}


def test_the_ratio_is_taken_turn_by_turn(report: dict[str, Any]) -> None:
    report["turns"][0][1]["studies_an_hour"] = 200
    assert cohort.ratios(report) == ([1.8, 1.8, 1.8], [2.0, 1.5, 1.5])
    assert "**1.80** by core seconds | 1.50 by what passed" in cohort.to_measured(report)


def test_the_plan_follows_from_the_core_time_of_a_study(report: dict[str, Any]) -> None:
    plan = cohort.to_plan(report)
    assert "| core hours | 200 | 20,000 |" in plan
    assert "| cost at 0.05 EUR a core hour | 10 EUR | 1,000 EUR |" in plan
    assert "| time on 64 cores | 3.1 h | 13 days |" in plan
    assert "| headers read once at each start | 2 min | 3.3 h |" in plan
    assert "| tables at the end | 20 s | 33 min |" in plan


def test_the_committed_page_holds_the_figures_of_the_committed_report() -> None:
    report = json.loads(cohort.RESULTS.read_text(encoding="utf-8"))
    page = cohort.PAGE.read_text(encoding="utf-8")
    assert f"<!-- measured -->\n{cohort.to_measured(report)}\n<!-- end of measured -->" in page
    assert f"<!-- plan -->\n{cohort.to_plan(report)}\n<!-- end of plan -->" in page


def test_two_free_cores_do_at_least_1_6_times_what_one_does() -> None:
    report = json.loads(cohort.RESULTS.read_text(encoding="utf-8"))
    free, _ = cohort.ratios(report)
    assert sorted(free)[len(free) // 2] >= 1.6
