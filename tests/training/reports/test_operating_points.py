"""Operating points on slices whose states are known."""

import numpy as np

from groundglass.method.decision import DecisionRule
from training.reports.operating_points import operating_points


def test_sensitivity_and_specificity_of_both_points() -> None:
    pneumonia = {"ill": np.array([0.3, 0.5, 0.7, 0.9]), "well": np.array([0.1, 0.2, 0.45, 0.95, 0.35])}
    found = operating_points(pneumonia, [("ill", "well")], DecisionRule(0.4, 0.6, 1.0))
    assert found["groups"]["ill"] == {
        "slices": 4,
        "shares": {"absent": 0.25, "present": 0.5, "indeterminate": 0.25},
    }
    (pair,) = found["pairs"]
    assert pair["absent"] == {"sensitivity": 0.75, "specificity": 0.6}
    assert pair["present"] == {"sensitivity": 0.5, "specificity": 0.8}
    assert found["above"]["0.5"] == {"ill": 0.75, "well": 0.2}
