"""A patient's probabilities from those of the slices."""

import numpy as np
import pytest

from groundglass.domain.class_names import CLASSES
from groundglass.method.slice_classification import StudyRule
from training.reports.prediction_levels import patient_probabilities


def test_a_patient_of_the_three_way_task_is_judged_by_the_study_rule() -> None:
    rows = np.array([[0.9, 0.05, 0.05], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7], [0.3, 0.6, 0.1]])
    found = patient_probabilities(rows, CLASSES, StudyRule(top_part=0.1, minimum_slices=3))
    assert found == pytest.approx([0.2, 0.5, 0.3])


def test_a_patient_of_a_task_with_np_is_judged_by_the_most_diseased_slices() -> None:
    rows = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.95, 0.05]])
    found = patient_probabilities(rows, ("np", "cap"), StudyRule(top_part=0.5, minimum_slices=1))
    assert found == pytest.approx([0.3, 0.7])


def test_a_patient_between_cap_and_covid19_is_judged_by_the_most_decided_slices() -> None:
    rows = np.array([[0.9, 0.1], [0.45, 0.55], [0.3, 0.7], [0.5, 0.5]])
    found = patient_probabilities(rows, ("cap", "covid19"), StudyRule(top_part=0.5, minimum_slices=1))
    assert found == pytest.approx([0.6, 0.4])
