"""The table of patients of other hospitals, on made-up slices."""

import numpy as np

from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.method.decision import DecisionRule
from groundglass.method.slice_classification import StudyRule
from tests.training.made_up import make_slices
from training.data.marked_lesions import SINGLE_SLICES, MarkedSlices
from training.reports.other_hospitals import as_markdown, count_states, score_other_hospitals

STUDY_RULE = StudyRule(top_part=0.5, minimum_slices=1)


def marked() -> list[MarkedSlices]:
    return [
        MarkedSlices("whole", make_slices(4, 0, 64), np.array([True, True, False, False])),
        MarkedSlices("diseased alone", make_slices(3, 1, 64), np.ones(3, dtype=bool)),
        MarkedSlices(SINGLE_SLICES, make_slices(2, 2, 64), np.ones(2, dtype=bool)),
    ]


def test_patients_are_studies_and_single_slices_are_counted_by_state() -> None:
    network = MultiScaleClassifier().eval()
    found = score_other_hospitals(network, marked(), DecisionRule(0.0, 0.5, 1.0), STUDY_RULE)
    whole, alone = found["patients"]["whole"], found["patients"]["diseased alone"]
    assert (whole["slices"], whole["with_lesions"]) == (4, 2)
    assert 0 <= whole["auc"] <= 1
    # Where all slices have lesions there is nothing to compare them with.
    assert alone["auc"] is None
    assert found["single_slices"]["slices"] == 2
    for one in (whole, alone):
        assert one["state"] == ("present" if one["pneumonia"] >= 0.5 else "indeterminate")
    assert sum(count_states(found).values()) == 2


def test_the_points_decide_the_state() -> None:
    network = MultiScaleClassifier().eval()
    for rule, state in ((DecisionRule(0.0, 0.01, 1.0), "present"), (DecisionRule(0.999, 1.0, 1.0), "absent")):
        found = score_other_hospitals(network, marked(), rule, STUDY_RULE)
        assert count_states(found)[state] == 2
        assert found["single_slices"]["shares"][state] == 1.0


def test_the_card_has_a_line_for_each_patient_and_a_sentence_for_single_slices() -> None:
    found = score_other_hospitals(MultiScaleClassifier().eval(), marked(), DecisionRule(0.0, 0.01, 1.0), STUDY_RULE)
    card = as_markdown(found)
    assert "| diseased alone | 3 | 3 | – |" in card
    assert "Of 2 single slices with lesions (`lesion_slices`), each judged as a study, 0 % are absent" in card
    assert "single slices" not in as_markdown(found | {"single_slices": None})
