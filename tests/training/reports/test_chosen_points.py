"""The rule that chooses the operating points, on groups whose points are known."""

from typing import Any

import numpy as np
import pytest

from groundglass.method.decision import DecisionRule
from groundglass.method.slice_classification import StudyRule
from tests.training.made_up import make_scores, set_pneumonia
from training.data.public_slices import CAP, COVID19, NP
from training.engine.slice_scores import SliceScores
from training.reports.chosen_points import ChoosingGroups, choose_points, choose_rule, choosing_groups

STUDY_RULE = StudyRule(top_part=0.5, minimum_slices=1)


def sets(healthy_study: float = 0.3) -> dict[str, SliceScores]:
    """Two folds: in each a study with pneumonia of .9 and one without, of two slices each, the less diseased of 0.1."""
    kind = ["infected", "free", "healthy", "healthy"] * 2
    label = [CAP, CAP, NP, NP, COVID19, COVID19, NP, NP]
    group = [name for name in "abcd" for _ in range(2)]
    patients = make_scores(8, kind, label, group, [0] * 4 + [1] * 4)
    set_pneumonia(patients, [0.9, 0.1, 0.3, 0.1, 0.9, 0.1, healthy_study, 0.1])
    mosmed = make_scores(6, ["ct0", "ct1", "ct2"] * 2, [NP, 3, COVID19] * 2, fold=[0] * 3 + [1] * 3)
    set_pneumonia(mosmed, [0.2, 0.4, 0.435, 0.2, 0.4, 0.275])
    iq_oth = set_pneumonia(make_scores(4, ["normal"] * 4, fold=[0, 0, 1, 1]), [0.1, 0.525, 0.1, 0.64])
    return {"patients": patients, "mosmed": mosmed, "iq_oth": iq_oth}


def calibrated(after: float = 1.1) -> dict[str, Any]:
    losses = {"before": {"log_loss": 1.0}, "after": {"log_loss": after}}
    return {"temperatures": {"0": 1.5, "1": 2.0}, "temperature": 1.7} | losses


def test_the_points_are_the_innermost_that_keep_to_the_rule() -> None:
    ill, well = np.append(np.full(19, 0.8), 0.1), np.append(np.full(19, 0.2), 0.99)
    assert choose_rule(ChoosingGroups({"ill": ill}, {"well": well})) == DecisionRule(0.5, 0.5, 1.0)
    groups = ChoosingGroups({"ill": ill, "studies": np.array([0.31])}, {"well": well, "studies": np.array([0.6])})
    assert choose_rule(groups) == DecisionRule(0.31, 0.61, 1.0)


def test_where_no_point_keeps_to_the_rule_the_outermost_are_taken() -> None:
    groups = ChoosingGroups({"ill": np.array([0.001])}, {"well": np.array([0.999])})
    assert choose_rule(groups) == DecisionRule(0.01, 0.99, 1.0)


def test_groups_are_slices_whose_label_is_sure_and_studies_by_the_study_rule() -> None:
    groups = choosing_groups(sets(), STUDY_RULE, 1.0)
    assert {name: values.tolist() for name, values in groups.diseased.items()} == {
        "CT-2": pytest.approx([0.435, 0.275], abs=1e-4),
        "studies": pytest.approx([0.9, 0.9], abs=1e-4),
    }
    assert list(groups.healthy) == ["IQ-OTH normal, runs", "CT-0", "studies"]
    assert groups.healthy["studies"] == pytest.approx([0.3, 0.3], abs=1e-4)
    assert choosing_groups(sets(), STUDY_RULE, 1.0, without_fold=1).diseased["CT-2"] == pytest.approx([0.435], abs=1e-4)


def test_a_run_of_pictures_chooses_as_a_study_and_each_kind_for_itself() -> None:
    runs = {"a": "normal", "b": "normal", "c": "malignant"}
    iq_oth = make_scores(
        12, [kind for kind in runs.values() for _ in range(4)], group=[name for name in runs for _ in range(4)]
    )
    set_pneumonia(iq_oth, [0.7, 0.61, 0.1, 0.1, *[0.2] * 4, 0.1, 0.1, 0.55, 0.1])
    groups = choosing_groups(sets() | {"iq_oth": iq_oth}, STUDY_RULE, 1.0)
    assert groups.healthy["IQ-OTH normal, runs"] == pytest.approx([0.655, 0.2], abs=1e-4)
    assert groups.healthy["IQ-OTH malignant, runs"] == pytest.approx([0.325], abs=1e-4)
    # One of the two healthy runs would be called present below that.
    assert choose_rule(groups).present_from == 0.66


def test_a_fold_has_the_points_of_the_others_and_what_ships_those_of_all() -> None:
    chosen = choose_points(sets(healthy_study=0.785), calibrated(), STUDY_RULE)
    assert chosen.of_fold == {0: DecisionRule(0.27, 0.79, 1.0), 1: DecisionRule(0.43, 0.53, 1.0)}
    assert chosen.shipped == DecisionRule(0.27, 0.79, 1.0)
    assert chosen.temperature == {0: 1.0, 1: 1.0}


def test_a_fold_has_the_temperature_that_the_others_fitted_where_one_ships() -> None:
    assert choose_points(sets(), calibrated(after=0.9), STUDY_RULE).temperature == {0: 1.5, 1: 2.0}


def test_without_mosmed_studies_alone_tell_what_is_missed() -> None:
    rest = {name: part for name, part in sets().items() if name != "mosmed"}
    assert list(choosing_groups(rest, STUDY_RULE, 1.0).diseased) == ["studies"]
