"""The first lines of every output: state, kind, limits."""

import doctest

import pytest

from groundglass.domain import statement as module
from groundglass.domain.findings import Kind, Prediction, State
from groundglass.domain.statement import LIMITS, NO_ADULT, SMALL_LUNGS, kind_sentence, statement, warnings_of


def test_the_examples_hold() -> None:
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("state", ["present", "indeterminate"])
def test_state_kind_and_limits_stand_in_this_order(state: State) -> None:
    first, second, third = statement(Prediction((0.14, 0.4, 0.46), state, "undetermined"))
    assert first.startswith(f"Pneumonia {state}: probability 0.86.")
    assert second == "Kind not determined (COVID-19 0.46, CAP 0.40)."
    assert third == LIMITS


def test_without_a_pneumonia_no_kind_is_told() -> None:
    lines = statement(Prediction((0.97, 0.02, 0.01), "absent", "undetermined"))
    assert lines == ("Pneumonia absent: probability 0.03.", LIMITS)


def test_an_indeterminate_study_says_what_that_means() -> None:
    first = statement(Prediction((0.5, 0.3, 0.2), "indeterminate", "undetermined"))[0]
    assert "neither answer" in first


@pytest.mark.parametrize(("kind", "told"), [("cap", "Kind: CAP"), ("covid19", "Kind: COVID-19")])
def test_a_kind_that_a_rule_allows_is_named_with_both_probabilities(kind: Kind, told: str) -> None:
    sentence = kind_sentence(Prediction((0.05, 0.475, 0.475), "present", kind))
    assert sentence.startswith(told)
    assert "CAP 0.47" in sentence
    assert "COVID-19 0.47" in sentence


def test_the_limits_name_what_it_was_tried_on_that_it_knows_no_more_and_research() -> None:
    assert "adults" in LIMITS
    assert "knows no other disease" in LIMITS
    assert "Research use only" in LIMITS


def test_all_of_it_is_ascii_since_a_report_keeps_the_character_set_of_its_sources() -> None:
    for state in ("absent", "present", "indeterminate"):
        for kind in ("cap", "covid19", "undetermined"):
            assert "".join(statement(Prediction((0.3, 0.3, 0.4), state, kind))).isascii()


@pytest.mark.parametrize(
    ("is_minor", "lungs_ml", "are_whole", "told"),
    [
        (False, 4000.0, True, ()),
        (False, 500.0, False, ()),
        (False, 500.0, True, (SMALL_LUNGS,)),
        (True, 4000.0, True, (NO_ADULT,)),
        (True, 500.0, True, (NO_ADULT,)),
    ],
)
def test_what_the_networks_have_not_seen_is_warned_of(
    is_minor: bool, lungs_ml: float, are_whole: bool, told: tuple[str, ...]
) -> None:
    assert warnings_of(is_minor, lungs_ml, are_whole) == told
