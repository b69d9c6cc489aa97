"""The paper's tables: each figure by hand, and what is said where a fold can't give one."""

import json
from dataclasses import replace

import numpy as np
import pytest

from groundglass.domain.class_names import CLASSES
from tests.training.made_up import certain, predictions
from training.reports.prediction_levels import UnusablePredictions
from training.reports.tables import as_markdown, score


def test_the_overall_figures_are_means_over_classes_in_each_fold_then_over_folds() -> None:
    # Fold 0: all right. Fold 1: the CAP slice is taken for COVID-19.
    one = certain(CLASSES, [0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2], [0, 1, 2, 0, 2, 2])
    found = score([one], "f", "s")["entries"][0]["slice"]
    overall = found["overall"]
    assert overall["ACC"]["folds"] == pytest.approx([1.0, (1 + 2 / 3 + 2 / 3) / 3])
    assert overall["PRC"]["folds"] == pytest.approx([1.0, (1 + 0 + 1 / 2) / 3])
    assert overall["SEN"]["folds"] == pytest.approx([1.0, 2 / 3])
    assert overall["SPE"]["folds"] == pytest.approx([1.0, (1 + 1 + 1 / 2) / 3])
    # NP 1; CAP ties with NP and COVID-19 at 0.1: 1/2; COVID-19 ties with CAP and beats NP: 3/4.
    assert overall["AUC"]["folds"] == pytest.approx([1.0, (1 + 1 / 2 + 3 / 4) / 3])
    assert overall["SEN"]["mean"] == pytest.approx(5 / 6)
    assert found["classes"]["cap"]["SEN"]["folds"] == [1.0, 0.0]
    assert found["pooled_accuracy"] == pytest.approx(5 / 6)
    assert found["confusion"] == [[2, 0, 0], [0, 1, 1], [0, 0, 2]]


def test_the_second_class_of_a_binary_task_is_the_positive_one() -> None:
    one = certain(("np", "cap"), [0] * 5, [0, 0, 0, 1, 1], [0, 0, 1, 1, 1])
    overall = score([one], "f", "s")["entries"][0]["slice"]["overall"]
    means = {name: overall[name]["mean"] for name in overall}
    assert means == pytest.approx({"ACC": 4 / 5, "PRC": 2 / 3, "SEN": 1.0, "SPE": 2 / 3, "AUC": 5 / 6})
    assert {overall[name]["interval"] for name in overall} == {None}


def test_only_counted_slices_make_slice_figures() -> None:
    one = certain(("np", "cap"), [0] * 4, [0, 0, 1, 1], [0, 0, 1, 0])
    entry = score([replace(one, counted=np.array([True, True, True, False]))], "f", "s")["entries"][0]
    assert entry["slice"]["pooled_accuracy"] == 1.0
    assert entry["patient"]["pooled_accuracy"] == 0.75
    assert (entry["slices"], entry["counted_slices"], entry["patients"]) == (4, 3, {"np": 2, "cap": 2})


def test_a_fold_that_lacks_a_class_is_left_out_and_named() -> None:
    one = certain(CLASSES, [0, 0, 0, 1, 1], [0, 1, 2, 0, 1], [0, 1, 2, 0, 1])
    report = score([one], "f", "s")
    found = report["entries"][0]["slice"]
    assert found["classes"]["covid19"]["AUC"]["folds"] == [1.0, None]
    assert found["overall"]["AUC"]["folds"] == [1.0, None]
    assert found["classes"]["np"]["AUC"]["folds"] == [1.0, 1.0]
    assert "fold 2 has no slice of COVID-19 to score (NP/CAP/COVID-19)" in as_markdown(report)
    json.dumps(report, allow_nan=False)


def test_a_fold_with_no_counted_slice_gives_no_figure_and_no_error() -> None:
    one = certain(("np", "cap"), [0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 0, 1])
    found = score([replace(one, counted=one.fold == 0)], "f", "s")["entries"][0]["slice"]["overall"]
    assert found["ACC"]["folds"] == [1.0, None]
    report = score([replace(one, counted=np.zeros(4, dtype=bool))], "f", "s")
    assert "| – | – | – | – | – | – | 4 | 0 |" in as_markdown(report)


def test_the_tables_have_the_paper_s_order_and_say_what_they_rest_on() -> None:
    rows = ("nts_net", "nca", "joint", "conv5", "conv4", "conv3")
    pairs = [("cap", "covid19"), ("np", "cap"), ("np", "covid19")]
    report = score(
        [*(predictions(row) for row in rows), *(predictions(task=pair) for pair in pairs)], "0123abcd", "Six patients."
    )
    text = as_markdown(report)
    three_way, binary = text.split("\n\n")[1], text.split("\n\n")[3]
    assert [line.split(" | ")[0].strip("| ") for line in three_way.splitlines()[2:]] == [
        "Conv3 auxiliary classifier",
        "Conv4 auxiliary classifier",
        "Conv5 auxiliary classifier",
        "Joint classifier",
        "Joint classifier (NCA)",
        "NTS-Net",
    ]
    assert [line.split(" | ")[1] for line in binary.splitlines()[2:]] == ["NP/COVID-19", "NP/CAP", "CAP/COVID-19"]
    captions = [part for part in text.split("\n\n") if part.startswith("**Table")]
    assert len(captions) == 6
    for caption in captions:
        assert "95 % interval" in caption
        assert "4 patients" in caption or "6 patients" in caption
        assert "2 folds by patient" in caption
        assert "Data: Six patients. Fingerprint `0123abcd`." in caption
    widths = {line.count("|") for line in three_way.splitlines()}
    assert widths == {11}


def test_unusable_predictions_are_refused() -> None:
    one = predictions()
    diverged = np.where(one.label[:, None] == 1, np.nan, one.probabilities)
    with pytest.raises(UnusablePredictions, match="no predictions"):
        score([], "f", "s")
    with pytest.raises(UnusablePredictions, match="train this row again"):
        score([replace(one, probabilities=diverged)], "f", "s")
    with pytest.raises(UnusablePredictions, match="train this row again"):
        score([replace(one, label=one.label + 1)], "f", "s")
