"""What the operating points do on groups of folds: shares of the states, sensitivity and specificity, other points."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from groundglass.domain.findings import STATES
from groundglass.method.decision import DecisionRule
from training.reports.chosen_points import ChosenPoints
from training.reports.groups import Group

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def operating_points(
    groups: Mapping[str, Group], pairs: Sequence[tuple[str, str]], chosen: ChosenPoints
) -> dict[str, Any]:
    """Figures of the two points, and of others.

    Args:
        groups: by name.
        pairs: a group with disease and one without, whose sensitivity and specificity are asked.
        chosen: the points.

    Returns:
        `absent_below`, `present_from` and `kind_above`, which ship; `by_fold`, the two points at which each fold is
        judged; `chosen_from`, for each group that chose the number and the share wrong at the points that ship; by
        group `slices` and the `shares` of the states; of each pair `diseased`, `healthy` and `absent` and `present`,
        each with `sensitivity` (the share of the diseased at or above the point) and `specificity` (of the healthy
        below it); `above`, by threshold and group the share at or above.
    """
    return {
        **vars(chosen.shipped),
        "by_fold": {str(fold): [rule.absent_below, rule.present_from] for fold, rule in chosen.of_fold.items()},
        "chosen_from": {
            "missed": {
                name: {"number": len(values), "share": float((values < chosen.shipped.absent_below).mean())}
                for name, values in chosen.shipped_from.diseased.items()
            },
            "called": {
                name: {"number": len(values), "share": float((values >= chosen.shipped.present_from).mean())}
                for name, values in chosen.shipped_from.healthy.items()
            },
        },
        "groups": {name: state_shares(group, chosen.of_fold) for name, group in groups.items()},
        "pairs": [
            {"diseased": diseased, "healthy": healthy}
            | {
                state: {
                    "sensitivity": _above(groups[diseased], chosen.of_fold, point),
                    "specificity": 1 - _above(groups[healthy], chosen.of_fold, point),
                }
                for state, point in (("absent", "absent_below"), ("present", "present_from"))
            }
            for diseased, healthy in pairs
        ],
        "above": {
            f"{threshold:g}": {name: float((group.pneumonia >= threshold).mean()) for name, group in groups.items()}
            for threshold in THRESHOLDS
        },
    }


def _above(group: Group, rules: Mapping[int, DecisionRule], point: str) -> float:
    """Share at or above a point of the rule of each slice's fold."""
    thresholds = np.array([getattr(rules[int(fold)], point) for fold in group.fold])
    return float((group.pneumonia >= thresholds).mean())


def state_shares(group: Group, rules: Mapping[int, DecisionRule]) -> dict[str, Any]:
    """Number of `slices`, and the `shares` of the states, each slice judged as a study, by the rule of its fold."""
    states = [
        rules[int(fold)].apply((1 - float(value), float(value), 0.0)).state for value, fold in zip(*group, strict=True)
    ]
    return {"slices": len(states), "shares": {state: states.count(state) / len(states) for state in STATES}}
