"""Figures on whole patients, against values computed by hand."""

import numpy as np
import pytest

from groundglass.method.decision import DecisionRule
from groundglass.method.slice_classification import StudyRule
from tests.training.made_up import make_scores, set_pneumonia
from training.data.public_slices import CAP, COVID19, NP
from training.engine.slice_scores import SliceScores
from training.reports.marked_patients import (
    compare_neighbours,
    compare_rules,
    kind_figures,
    patient_curves,
    study_statements,
)

RULE = StudyRule(top_part=0.5, minimum_slices=1)


def patients(pneumonia: list[float]) -> SliceScores:
    """Two slices of a healthy patient, four of one with COVID-19, two of one with CAP."""
    group = ["well"] * 2 + ["viral"] * 4 + ["lobar"] * 2
    kind = ["healthy"] * 2 + ["infected"] * 2 + ["free"] * 2 + ["infected", "free"]
    label = [NP] * 2 + [COVID19] * 4 + [CAP] * 2
    return set_pneumonia(make_scores(8, kind, label, group), pneumonia)


def test_infected_slices_stand_against_the_patients_others_and_against_healthy_patients() -> None:
    curves = patient_curves(patients([0.3, 0.85, 0.8, 0.9, 0.1, 0.85, 0.2, 0.5]))
    assert curves["viral"]["joint"] == {"inside": 0.75, "against_healthy": 0.75}
    assert curves["lobar"]["conv4"] == {"inside": 0.0, "against_healthy": 0.0}
    assert set(curves) == {"viral", "lobar"}


def test_where_nobody_marked_slices_all_stand_against_healthy_patients() -> None:
    scores = patients([0.3, 0.4, 0.8, 0.9, 0.1, 0.7, 0.2, 0.5])
    scores.kind[2:] = "unmarked"
    assert patient_curves(scores)["viral"]["joint"] == {"inside": None, "against_healthy": 0.75}


def test_a_study_is_stated_as_the_application_would() -> None:
    scores = patients([0.3, 0.2, 0.8, 0.9, 0.1, 0.2, 0.45, 0.5])
    studies = study_statements(scores, RULE, {0: DecisionRule(0.4, 0.6, 1.0)})
    assert {name: (study["true"], study["state"], study["kind"]) for name, study in studies.items()} == {
        "well": ("np", "absent", "undetermined"),
        "viral": ("covid19", "present", "undetermined"),
        "lobar": ("cap", "indeterminate", "undetermined"),
    }
    assert 1 - studies["viral"]["probabilities"][0] == pytest.approx(0.85, abs=1e-5)


def test_study_rules_are_compared_by_the_part_of_the_slices_that_they_average() -> None:
    """Of the four slices of one patient two look diseased, of the other's two one: half of them tell both."""
    scores = set_pneumonia(patients([0.0] * 8), [0.3, 0.2, 0.8, 0.9, 0.1, 0.2, 0.7, 0.2], covid19_share=0.9)
    rules = compare_rules(scores, RULE)
    assert rules["0.5"] == {"label": 2, "diseased or not": 3, "patients": 3}
    scores.scores[0] = scores.scores[2]
    assert compare_rules(scores, RULE)["0.5"]["diseased or not"] == 2


def test_neighbours_lift_infected_slices_that_lie_together_over_one_that_lies_alone() -> None:
    scores = make_scores(9, ["infected"] * 3 + ["free"] * 6, [COVID19] * 9, ["viral"] * 9)
    scores.height_mm[:] = np.arange(9) * 2.0
    set_pneumonia(scores, [0.8, 0.7, 0.8, 0.1, 0.1, 0.1, 0.9, 0.1, 0.1])
    areas = {reach: found["viral"]["inside"] for reach, found in compare_neighbours(scores).items()}
    assert areas["0"] < areas["2"] == areas["4"] == 1.0


def test_kinds_are_told_apart_by_their_share_alone() -> None:
    scores = patients([0.1, 0.1, 0.6, 0.9, 0.1, 0.1, 0.8, 0.1])
    lobar = scores.group == "lobar"
    scores.scores[lobar, :, :, 1] += np.log(3) / 3  # CAP is three times as probable, in each scale a third of it
    figures = kind_figures(scores, RULE)
    assert figures["auc"] == 1.0
    assert figures["slices"] == {"cap": 1, "covid19": 2}
    assert figures["studies"]["lobar"]["share"] == pytest.approx(0.25, abs=1e-5)
    assert figures["studies"]["viral"]["share"] == pytest.approx(0.5, abs=1e-5)
    assert figures["patients_auc"] == 1.0


def test_one_kind_alone_has_no_area() -> None:
    scores = patients([0.1] * 8)
    assert kind_figures(scores.select(scores.group != "lobar"), RULE)["auc"] is None
