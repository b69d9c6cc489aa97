"""The templates of the model cards, where the shipped reports don't go."""

from pathlib import Path

import pytest

from training.reports.markdown import grid, render

GIVEN = {
    "weights": {"sha256": "0123", "size_mb": 4.04},
    "row_iterations": 20,
    "bases": {"luna": 370, "lung_slices": 190},
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
    assert told in render("classifier", **GIVEN, recipe="painted", temperature=temperature)


@pytest.mark.parametrize(
    ("recipe", "told", "other"),
    [
        ("painted", "tuned for\n20 iterations alone", "follow the paper's protocol"),
        ("paper", "rows of the tables follow the paper's protocol (II-G), from scratch", "tuned for"),
    ],
)
def test_the_card_tells_how_the_other_rows_were_trained(recipe: str, told: str, other: str) -> None:
    card = render("classifier", **GIVEN, recipe=recipe, temperature=1.0)
    assert told in card
    assert other not in card.split("## Figures")[0]


def test_the_card_shows_tables_pictures_and_benchmark() -> None:
    card = render("classifier", **GIVEN, recipe="paper", temperature=1.0)
    assert "SHA-256 `0123`, 4.0 MB, float16.\n\n## Intended use\n" in card
    assert "TABLES\n\n![roc](pictures/roc.png)\n![calibration](pictures/calibration.png)\n" in card
    assert "### The COVID-CT benchmark\n\nBENCHMARK\n" in card


def test_a_table_has_a_line_for_each_row() -> None:
    assert grid(["a", "b"], [["1", "2"], ["3", "4"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |"
