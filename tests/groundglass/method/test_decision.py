"""From probabilities to a state and, where the evidence carries it, a kind."""

import doctest

import pytest

from groundglass.method import decision
from groundglass.method.decision import DecisionRule
from groundglass.presets import SHIPPED

RULE = DecisionRule(absent_below=0.4, present_from=0.6, kind_above=0.8)


def test_the_example_holds() -> None:
    assert doctest.testmod(decision).failed == 0


@pytest.mark.parametrize(
    ("pneumonia", "state"),
    [
        (0.0, "absent"),
        (0.39, "absent"),
        (0.41, "indeterminate"),
        (0.59, "indeterminate"),
        (0.61, "present"),
        (1.0, "present"),
    ],
)
def test_the_state_is_decided_by_the_probability_of_either_kind(pneumonia: float, state: str) -> None:
    assert RULE.apply((1 - pneumonia, 0.5 * pneumonia, 0.5 * pneumonia)).state == state


def test_at_the_operating_points_themselves_it_is_indeterminate_and_present() -> None:
    rule = DecisionRule(absent_below=0.25, present_from=0.75, kind_above=1.0)  # exact in binary
    assert rule.apply((0.75, 0.25, 0.0)).state == "indeterminate"
    assert rule.apply((0.25, 0.75, 0.0)).state == "present"


@pytest.mark.parametrize(
    ("cap", "covid19", "kind"),
    [(0.9, 0.1, "cap"), (0.1, 0.9, "covid19"), (0.75, 0.25, "undetermined"), (0.5, 0.5, "undetermined")],
)
def test_a_kind_is_named_above_its_share_of_both(cap: float, covid19: float, kind: str) -> None:
    assert RULE.apply((0.2, 0.8 * cap, 0.8 * covid19)).kind == kind


@pytest.mark.parametrize("np_", [0.95, 0.5])
def test_a_kind_is_named_of_a_present_pneumonia_only(np_: float) -> None:
    assert RULE.apply((np_, 1 - np_, 0.0)).kind == "undetermined"


@pytest.mark.parametrize("probabilities", [(0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.1, 0.9, 0.0)])
def test_with_a_share_of_one_no_kind_is_ever_named(probabilities: tuple[float, float, float]) -> None:
    assert DecisionRule(0.4, 0.6, kind_above=1.0).apply(probabilities).kind == "undetermined"


def test_the_shipped_rule_names_no_kind_by_chance_and_no_study_absent_that_is_more_probably_sick() -> None:
    rule = SHIPPED.classification.decision
    assert rule.apply((0.14, 0.4, 0.46)).kind == "undetermined"
    assert rule.apply((0.49, 0.3, 0.21)).state != "absent"


def test_the_three_way_class_and_the_class_explained_stay_those_of_the_probabilities() -> None:
    found = RULE.apply((0.44, 0.2, 0.36))
    assert (found.label, found.explained_class, found.state) == ("np", "covid19", "indeterminate")
    assert found.pneumonia_probability == pytest.approx(0.56)
