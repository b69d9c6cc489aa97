"""The templates of the model cards, where the shipped reports don't go."""

from pathlib import Path

import pytest

from training.data.sources import SOURCES
from training.engine.classifier_training import BASE_PLAN, LAST_SCALE_PLAN, REAL_PLAN
from training.reports.markdown import grid, render

GIVEN = {
    "weights": {"sha256": "0123", "size_mb": 4.04},
    "row_iterations": 20,
    "start": {},
    "sources": [(SOURCES[0], "370 slices"), (SOURCES[4], "540 patients, a slice each: 130 ct0")],
    "plans": {"base": BASE_PLAN, "real": REAL_PLAN, "last_scale": LAST_SCALE_PLAN},
    "rows": ["shipped"],
    "tables": "TABLES\n",
    "pictures": [Path("pictures/roc.png"), Path("pictures/calibration.png")],
    "benchmark": "BENCHMARK\n",
}


@pytest.mark.parametrize(
    ("temperature", "told"),
    [
        (
            1.0,
            "on the bright side. Its probabilities are not scaled: a temperature fitted on one fold did not lower the",
        ),
        (
            1.4,
            "Its probabilities are scaled by the temperature 1.40, fitted on the folds' predictions.",
        ),
    ],
)
def test_the_card_tells_whether_probabilities_are_scaled(temperature: float, told: str) -> None:
    assert told in " ".join(render("classifier", **GIVEN, recipe="painted", temperature=temperature).split())


@pytest.mark.parametrize(
    ("recipe", "told", "other"),
    [
        (
            "painted",
            "tuned on the six patients and painted slices for 20 iterations alone",
            "follow the paper's protocol",
        ),
        ("paper", "rows of the paper's tables follow its protocol (II-G), from scratch", "tuned for"),
    ],
)
def test_the_card_tells_how_the_other_rows_were_trained(recipe: str, told: str, other: str) -> None:
    protocol = " ".join(render("classifier", **GIVEN, recipe=recipe, temperature=1.0).split("## Figures")[0].split())
    assert told in protocol
    assert other not in protocol


def test_the_card_of_a_network_that_went_on_from_another_has_commands_that_can_be_copied() -> None:
    start = GIVEN | {"start": {"all": "0123"}, "rows": ["shipped", "imagenet"]}
    card = " ".join(render("classifier", **start, recipe="painted", temperature=1.0).split())
    without = "--without mosmed --start model_cards/evidence/start --out runs/classifier/without_mosmed`"
    assert f"`python -m training.classifier {without}" in card
    assert "`python -m training.imagenet_row --start model_cards/evidence/start --out runs/classifier`" in card
    assert "3. At last Conv5's block and classifier, from random ones, 150 iterations" in card


def test_the_card_shows_tables_pictures_and_benchmark() -> None:
    card = render("classifier", **GIVEN, recipe="paper", temperature=1.0)
    assert "SHA-256 `0123`, 4.0 MB, float16.\n\n## Intended use\n" in card
    assert "TABLES\n\n![roc](pictures/roc.png)\n![calibration](pictures/calibration.png)\n" in card
    assert "### The COVID-CT benchmark\n\nBENCHMARK\n" in card


def test_the_card_names_each_source_with_what_was_used_and_its_licence() -> None:
    card = render("classifier", **GIVEN, recipe="paper", temperature=1.0)
    assert "| [MosMedData](https://mosmed.ai/en/datasets/covid191110) | 540 patients, a slice each: 130 ct0 |" in card
    assert "CC BY-NC-ND 3.0 |" in card


def test_a_table_has_a_line_for_each_row() -> None:
    assert grid(["a", "b"], [["1", "2"], ["3", "4"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |"
