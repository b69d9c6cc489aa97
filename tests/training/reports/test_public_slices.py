"""Figures on single slices of many patients, against values computed by hand."""

import numpy as np
import pytest

from groundglass.method.decision import DecisionRule
from tests.training.made_up import make_scores, make_slices, set_pneumonia
from training.data.public_slices import COVID19, NP, WEAK_COVID19, LabelledSlices
from training.reports.public_slices import iq_oth_figures, likeness, mosmed_figures, mosmed_floor

RULES = {0: DecisionRule(absent_below=0.4, present_from=0.6, kind_above=1.0)}


def test_each_degree_stands_against_healthy_slices_by_each_output() -> None:
    scores = make_scores(
        6, ["ct0", "ct0", "ct1", "ct1", "ct2", "ct2"], [NP, NP, WEAK_COVID19, WEAK_COVID19, COVID19, COVID19]
    )
    set_pneumonia(scores, [0.1, 0.5, 0.3, 0.6, 0.7, 0.9])
    scores.scores[:, :, 2] *= -1  # Conv5 has it the wrong way round
    figures = mosmed_figures(scores, repeats=50)
    assert figures["conv3"]["ct2"]["value"] == 1.0
    assert figures["conv3"]["ct1"]["value"] == 0.75
    assert figures["conv5"]["ct2"]["value"] == 0.0
    assert figures["joint"]["ct1"]["value"] == 0.75
    # Each fold has its own network: pooled, a healthy slice of one ranks above a diseased one of the other.
    scores.fold[:] = [0, 1, 0, 1, 0, 1]
    folds = mosmed_figures(scores, repeats=50)["conv3"]["ct1"]
    assert (folds["value"], folds["folds"]) == (0.75, [1.0, 1.0])
    low, high = figures["conv3"]["ct1"]["interval"]
    assert 0 <= low < 0.75 < high <= 1


def test_the_floor_is_high_where_grey_alone_tells_the_classes_apart() -> None:
    slices = make_slices(40, 0)
    kind = np.array(["ct0", "ct1", "ct2", "ct0"] * 10)
    slices.hu[kind == "ct2"] += 300
    found = mosmed_floor(
        LabelledSlices(slices, np.zeros(40), np.arange(40).astype(str), kind), np.arange(40) // 4 % 2, repeats=20
    )
    assert found["ct2"]["value"] == 1.0
    assert 0.2 < found["ct1"]["value"] < 0.8


def test_slices_without_pneumonia_are_counted_by_state_and_kind() -> None:
    scores = set_pneumonia(make_scores(4, ["normal", "normal", "malignant", "malignant"]), [0.1, 0.5, 0.65, 0.2])
    figures = iq_oth_figures(scores, RULES)
    assert figures["normal"]["shares"] == {"absent": 0.5, "present": 0.0, "indeterminate": 0.5}
    assert figures["normal"]["not_called"] == 1.0
    assert figures["malignant"]["not_called"] == 0.5
    assert figures["all"]["slices"] == 4
    assert figures["all"]["not_called"] == 0.75
    assert figures["all"]["mean_pneumonia"] == pytest.approx(1.45 / 4, abs=1e-5)


def test_a_temperature_moves_states() -> None:
    scores = set_pneumonia(make_scores(1, ["malignant"]), [0.65])
    assert iq_oth_figures(scores, RULES)["all"]["shares"]["present"] == 1.0
    cooler = iq_oth_figures(scores, RULES, np.array([0.5]))  # .65 of two equal kinds: each .325 against .35
    assert cooler["all"]["mean_pneumonia"] == pytest.approx(2 * 0.325**2 / (2 * 0.325**2 + 0.35**2), abs=1e-5)


def test_a_slice_is_compared_with_those_of_other_folds_alone() -> None:
    slices = make_slices(4, 0, side=64)
    slices.hu[:] = np.random.default_rng(0).normal(0, 100, slices.hu.shape)
    slices.hu[1] = slices.hu[0] + 5  # the same patient, in the same fold
    slices.hu[3] = slices.hu[2] * 2  # the same patient, in the other fold
    found = likeness(LabelledSlices(slices, np.zeros(4), np.arange(4), np.arange(4)), np.array([0, 0, 0, 1]))
    assert found[2] == pytest.approx(1.0)
    assert found[3] == pytest.approx(1.0)
    assert (found[:2] < 0.5).all()
