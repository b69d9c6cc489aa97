"""The first lines of every output: state, kind, limits."""

import doctest

import numpy as np
import pytest

from groundglass.domain import statement as module
from groundglass.domain.findings import Findings, Kind, Prediction, SliceFinding, State
from groundglass.domain.statement import (
    LIMITS,
    NO_ADULT,
    SMALL_LUNGS,
    kind_sentence,
    statement,
    warnings_of,
    warnings_of_patient,
    warnings_of_saliency,
)


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


def findings(lungs_ml: float = 4000.0, reach_border: bool = False, explained: int = 0, left_out: int = 0) -> Findings:
    """Of a study with so many slices explained, so many beyond the budget, and two that are not diseased."""
    healthy = [SliceFinding(index, 500.0, (0.9, 0.1, 0.0), why_not_explained="slice_np") for index in range(2)]
    diseased = [
        SliceFinding(2 + index, 500.0, (0.1, 0.5, 0.4), True)
        if index < explained
        else SliceFinding(2 + index, 500.0, (0.2, 0.4, 0.4), why_not_explained="budget")
        for index in range(explained + left_out)
    ]
    return Findings(
        lungs=np.zeros((2 + explained + left_out, 1, 1), np.uint8),
        right_ml=0.5 * lungs_ml,
        left_ml=0.5 * lungs_ml,
        prediction=Prediction((0.1, 0.5, 0.4), "present", "undetermined"),
        salient_fraction=0.1,
        slices=(*healthy, *diseased),
        reach_border=reach_border,
    )


@pytest.mark.parametrize(
    ("is_minor", "lungs_ml", "reach_border", "told"),
    [
        (False, 4000.0, False, ()),
        (False, 500.0, True, ()),
        (False, 500.0, False, (SMALL_LUNGS,)),
        (True, 4000.0, False, (NO_ADULT,)),
        (True, 500.0, False, (NO_ADULT,)),
    ],
)
def test_what_the_networks_have_not_seen_is_warned_of(
    is_minor: bool, lungs_ml: float, reach_border: bool, told: tuple[str, ...]
) -> None:
    assert warnings_of(is_minor, findings(lungs_ml, reach_border)) == told


def test_a_patient_of_whom_nothing_was_found_is_warned_of_as_well() -> None:
    assert warnings_of_patient(is_minor=True) == (NO_ADULT,)
    assert warnings_of_patient(is_minor=False) == ()


def test_slices_beyond_the_budget_are_counted_among_those_that_suggest_pneumonia() -> None:
    (told,) = warnings_of(False, findings(explained=6, left_out=14))
    assert told.startswith("Saliency was computed on 6 of 20 slices that suggest pneumonia")
    assert told.isascii()
    assert warnings_of(True, findings(explained=6, left_out=14)) == (NO_ADULT, told)
    assert warnings_of_saliency(findings(explained=6, left_out=14)) == (told,)


def test_nothing_is_said_of_slices_where_all_that_suggest_pneumonia_were_explained() -> None:
    assert warnings_of(False, findings(explained=20)) == ()
    assert warnings_of(False, findings()) == ()
