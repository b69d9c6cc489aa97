"""What the operating points do on slices of folds: shares of the states, sensitivity and specificity, other points."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from groundglass.domain.findings import STATES
from groundglass.method.decision import DecisionRule

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def operating_points(
    pneumonia: Mapping[str, np.ndarray], pairs: Sequence[tuple[str, str]], rule: DecisionRule
) -> dict[str, Any]:
    """Figures of the rule's two points, and of others.

    Args:
        pneumonia: P(pneumonia) of the slices of each group, `(slice,)`.
        pairs: a group with disease and one without, whose sensitivity and specificity are asked.
        rule: the operating points.

    Returns:
        `absent_below` and `present_from`; by group `slices` and the `shares` of the states; of each pair
        `diseased`, `healthy` and `absent` and `present`, each with `sensitivity` (the share of the diseased at or above
        the point) and `specificity` (of the healthy below it); `above`, by threshold and group the share at or above.
    """
    return {
        "absent_below": rule.absent_below,
        "present_from": rule.present_from,
        "groups": {name: state_shares(values, rule) for name, values in pneumonia.items()},
        "pairs": [
            {"diseased": diseased, "healthy": healthy}
            | {
                state: {
                    "sensitivity": _above(pneumonia[diseased], point),
                    "specificity": 1 - _above(pneumonia[healthy], point),
                }
                for state, point in (("absent", rule.absent_below), ("present", rule.present_from))
            }
            for diseased, healthy in pairs
        ],
        "above": {
            f"{threshold:g}": {name: _above(values, threshold) for name, values in pneumonia.items()}
            for threshold in THRESHOLDS
        },
    }


def _above(values: np.ndarray, threshold: float) -> float:
    return float((values >= threshold).mean())


def state_shares(pneumonia: np.ndarray, rule: DecisionRule) -> dict[str, Any]:
    """Number of `slices`, and the `shares` of the states, each slice judged as a study would be."""
    states = [rule.apply((1 - float(value), float(value), 0.0)).state for value in pneumonia]
    return {"slices": len(states), "shares": {state: states.count(state) / len(states) for state in STATES}}
