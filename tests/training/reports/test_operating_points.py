"""Operating points on slices whose states are known."""

import numpy as np

from groundglass.method.decision import DecisionRule
from training.reports.chosen_points import ChoosingGroups, ChosenPoints
from training.reports.operating_points import Group, operating_points

ILL, WELL = np.array([0.3, 0.5, 0.7, 0.9]), np.array([0.1, 0.2, 0.45, 0.95, 0.35])


def points(of_fold: dict[int, DecisionRule]) -> ChosenPoints:
    groups = ChoosingGroups({"ill": ILL}, {"well": WELL})
    return ChosenPoints(DecisionRule(0.4, 0.8, 1.0), of_fold, dict.fromkeys(of_fold, 1.0), groups)


def test_sensitivity_and_specificity_of_both_points() -> None:
    groups = {"ill": Group(ILL, np.zeros(4)), "well": Group(WELL, np.zeros(5))}
    found = operating_points(groups, [("ill", "well")], points({0: DecisionRule(0.4, 0.6, 1.0)}))
    assert found["groups"]["ill"] == {
        "slices": 4,
        "shares": {"absent": 0.25, "present": 0.5, "indeterminate": 0.25},
    }
    (pair,) = found["pairs"]
    assert pair["absent"] == {"sensitivity": 0.75, "specificity": 0.6}
    assert pair["present"] == {"sensitivity": 0.5, "specificity": 0.8}
    assert found["above"]["0.5"] == {"ill": 0.75, "well": 0.2}


def test_each_fold_is_judged_at_its_own_points() -> None:
    groups = {"ill": Group(ILL, np.array([0, 0, 1, 1])), "well": Group(WELL, np.zeros(5))}
    rules = {0: DecisionRule(0.2, 0.5, 1.0), 1: DecisionRule(0.5, 0.8, 1.0)}
    found = operating_points(groups, [("ill", "well")], points(rules))
    assert found["groups"]["ill"]["shares"] == {"absent": 0.0, "present": 0.5, "indeterminate": 0.5}
    assert found["pairs"][0]["present"]["sensitivity"] == 0.5  # .5 in the first fold, .9 in the second
    assert found["by_fold"] == {"0": [0.2, 0.5], "1": [0.5, 0.8]}


def test_what_ships_is_told_with_the_share_that_it_gets_wrong_of_what_chose_it() -> None:
    found = operating_points({}, [], points({0: DecisionRule(0.2, 0.5, 1.0)}))
    assert (found["absent_below"], found["present_from"], found["kind_above"]) == (0.4, 0.8, 1.0)
    assert found["chosen_from"] == {
        "missed": {"ill": {"number": 4, "share": 0.25}},
        "called": {"well": {"number": 5, "share": 0.2}},
    }
