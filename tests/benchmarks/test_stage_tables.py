"""What is published of the stages is what their reports say."""

import json

import pytest

from benchmarks.stage_tables import NAMES, RESULTS, as_markdown, exponent, readme_lines
from benchmarks.stage_times import BUT_NETWORKS
from groundglass.locations import ROOT


@pytest.mark.parametrize("name", NAMES.values())
def test_the_published_table_and_page_are_the_reports(name: str) -> None:
    report = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    assert as_markdown(report) == (RESULTS / f"{name}.md").read_text(encoding="utf-8")
    assert readme_lines(report) in (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")


def test_seconds_that_grow_with_the_square_of_the_slices_have_exponent_2() -> None:
    assert exponent([10, 20, 40], [3.0, 12.0, 48.0]) == pytest.approx(2.0)


def test_what_is_not_a_network_has_a_table_of_its_own_by_core_seconds() -> None:
    report = json.loads((RESULTS / "stages.json").read_text(encoding="utf-8"))
    for study in report["studies"].values():
        study["ours"] |= {"cores: start": 2.25, "cores: writing": 1.5, BUT_NETWORKS: 4.125}
    text = as_markdown(report)
    titles = " | ".join(report["studies"])
    table = text.split("## Everything but the networks, core seconds")[1].split("## The peer")[0]
    assert f"| stage | {titles} |" in table
    assert "| start | 2.25 |" in table
    assert f"| {BUT_NETWORKS} | 4.12 |" in table
