"""The report of the folds as a whole: what is sure, what is scaled, and what a card shows."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.made_up import make_scores, make_slices, set_pneumonia
from training.data.public_slices import CAP, COVID19, NP, WEAK_COVID19, LabelledSlices
from training.engine.slice_scores import SliceScores
from training.reports.folds import FIGURES, as_markdown, score_folds_report, sure_slices

MOSMED = ["ct0", "ct1", "ct2"] * 4
LABEL = {"ct0": NP, "ct1": WEAK_COVID19, "ct2": COVID19}


def scores_of_sets() -> dict[str, SliceScores]:
    rng = np.random.default_rng(0)
    mosmed = make_scores(12, MOSMED, [LABEL[kind] for kind in MOSMED], fold=[0] * 6 + [1] * 6)
    group = [name for name in ("cap001", "well", "P001", "well2") for _ in range(3)]
    label = [number for number in (CAP, NP, COVID19, NP) for _ in range(3)]
    kind = [*["infected", "infected", "free"], *["healthy"] * 3] * 2
    patients = make_scores(12, kind, label, group, [0] * 6 + [1] * 6)
    iq_oth = make_scores(6, ["normal", "benign", "malignant"] * 2, fold=[0] * 3 + [1] * 3)
    for part in (mosmed, patients, iq_oth):
        set_pneumonia(part, list(rng.uniform(0.05, 0.3, len(part.fold)) + 0.6 * (part.label > 0)))
    return {"mosmed": mosmed, "iq_oth": iq_oth, "patients": patients}


def of_one_scale(sets: dict[str, SliceScores]) -> dict[str, SliceScores]:
    return {name: replace(part, scores=part.scores.sum(axis=2, keepdims=True)) for name, part in sets.items()}


def iq_oth_slices() -> LabelledSlices:
    return LabelledSlices(make_slices(6, 1), np.zeros(6, dtype=int), np.arange(6).astype(str), np.array(["normal"] * 6))


def mosmed_slices() -> LabelledSlices:
    names = np.arange(12).astype(str)
    return LabelledSlices(make_slices(12, 0), np.array([LABEL[kind] for kind in MOSMED]), names, np.array(MOSMED))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("report")
    rows = {"shipped": scores_of_sets(), "base": scores_of_sets()}
    found = score_folds_report(rows, iq_oth_slices(), mosmed_slices(), out, started=False)
    assert (out / "calibration.png").exists()
    return found


def test_calibration_rests_on_slices_whose_label_is_sure() -> None:
    sure = sure_slices(scores_of_sets())
    assert sorted(np.unique(sure.kind)) == ["ct0", "ct2", "healthy", "infected"]
    assert len(sure.label) == 8 + 10


def test_every_row_has_every_figure(report: dict[str, Any]) -> None:
    for name in FIGURES:
        assert list(report[name]) == ["shipped", "base"]
    assert report["mosmed_patients"] == {"ct0": 4, "ct1": 4, "ct2": 4}
    assert [pair["diseased"] for pair in report["operating_points"]["shipped"]["pairs"]] == ["CT-2", "CT-1", "infected"]


def test_the_card_shows_each_figure_and_brackets_what_was_seen_in_training(report: dict[str, Any]) -> None:
    card = as_markdown(report)
    assert "(CT-0 4, CT-1 4, CT-2 4)" in card
    every = "1.000 [1.000, 1.000] | 1.000, 1.000"
    assert f"| shipped recipe | all scales | {every} | {every} |" in card
    assert "| linear model | grey statistics |" in card
    base = next(line for line in card.splitlines() if line.startswith("| base network") and "%" in line)
    # The base network has seen no slice with cancer; of the others, and of neighbours of one patient, figures are told
    # in brackets.
    assert [cell.strip().startswith("[") for cell in base.split("|")[2:-1]] == [True, False, True, True]
    # All these slices are alike: none is left to tell of.
    assert "| base network, painted disease alone, unlike those trained on | – | – | – | – |" in card
    assert "a kind is never named in words" in card
    assert "| CT-2 against CT-0 |" in card
    points = report["operating_points"]["shipped"]
    assert f"absent below {points['absent_below']} and present from {points['present_from']}" in card
    assert "At these points [CT-2 (4) 0 % missed, studies (2) 0 % missed, IQ-OTH benign, runs (2) 0 % called" in card
    assert "| IQ-OTH malignant, runs | 2 |" in card


def test_slices_unlike_those_trained_on_stand_without_brackets_where_no_start_has_seen_them(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(1)
    unlike = replace(iq_oth_slices(), slices=replace(make_slices(6, 1), hu=rng.normal(0, 300, (6, 64, 64))))
    rows = {"shipped": scores_of_sets()}
    for started, opening in ((False, "[100 % of 2"), (True, "100 % of 2")):
        card = as_markdown(score_folds_report(rows, unlike, mosmed_slices(), tmp_path, started))
        line = next(line for line in card.splitlines() if line.startswith("| shipped recipe, unlike"))
        assert line.split("|")[2].strip().startswith(opening)


def test_a_network_of_one_scale_has_one_line_and_imagenets_saw_nothing_of_these_sets(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    unlike = replace(iq_oth_slices(), slices=replace(make_slices(6, 1), hu=rng.normal(0, 300, (6, 64, 64))))
    rows = {"shipped": scores_of_sets(), "imagenet": of_one_scale(scores_of_sets())}
    card = as_markdown(score_folds_report(rows, unlike, mosmed_slices(), tmp_path, started=False))
    title = "| EfficientNet-Lite0 from ImageNet's weights, step 2 alone"
    scales = [line.split("|")[2].strip() for line in card.splitlines() if line.startswith(f"{title} |")]
    assert scales.count("one scale") == 2  # MosMedData and the patients
    assert not {"all scales", "conv3", "conv4", "conv5"} & set(scales)
    every = "1.000 [1.000, 1.000] | 1.000, 1.000"
    assert f"{title} | one scale | {every} | {every} |" in card
    # Slices of a patient's neighbours may have trained it; unlike ones nothing has, and ImageNet has no CT.
    lines = [line.split("|")[2:-1] for line in card.splitlines() if line.startswith(title) and " % of " in line]
    assert [[cell.strip().startswith("[") for cell in cells] for cells in lines] == [[True] * 4, [False] * 4]
    assert "EfficientNet-Lite0 (3.4 million parameters)" in card


def test_a_run_without_imagenets_network_says_nothing_of_it(report: dict[str, Any]) -> None:
    assert "ImageNet" not in as_markdown(report)


def test_without_mosmed_in_the_data_folder_the_rest_is_told(tmp_path: Path) -> None:
    rows = {"shipped": {name: part for name, part in scores_of_sets().items() if name != "mosmed"}}
    card = as_markdown(score_folds_report(rows, iq_oth_slices(), None, tmp_path, started=False))
    assert "MosMedData, one slice" not in card
    assert "infected against healthy patients" in card
