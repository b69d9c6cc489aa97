"""The operating points that ship, chosen from the folds by a stated rule; each fold is judged at those of the others.

The rule: pneumonia is absent below the highest point, no more than a half, that misses at most MISSED of each group
with pneumonia, and present from the lowest point, no less than a half, that calls at most CALLED of each group without.
Groups are CT-2, CT-0 and IQ-OTH, a slice each, and the studies with and without, by the study rule: of a group of a
few studies none may be wrong. Points are multiples of STEP.

What chose a point does not score it: figures of a fold are at the points that the other folds alone would have chosen.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from groundglass.method.decision import DecisionRule
from groundglass.method.slice_classification import StudyRule
from training.data.public_slices import NP
from training.engine.slice_scores import SliceScores
from training.reports.calibration import Calibration, kept_temperature
from training.reports.groups import as_studies, runs_as_studies

STEP = 0.01
MISSED, CALLED = 0.10, 0.08
"""Share of each group with pneumonia that may be called absent, and of each without that may be called present.

Set after seeing these folds. Less than a tenth of those without, since among slices that chose nothing more are called.
"""
POINTS = ("absent_below", "present_from", "kind_above")
"""Settings of app.yaml that the rule chooses."""
NEVER = 1.0
"""Share above which a kind is named: no fold has patients of other hospitals with both kinds that could allow it."""


@dataclass(frozen=True)
class ChoosingGroups:
    """P(pneumonia) of what chooses the points, by group, one entry a slice or a study.

    Attributes:
        diseased: groups with pneumonia.
        healthy: groups without.
    """

    diseased: dict[str, np.ndarray]
    healthy: dict[str, np.ndarray]


@dataclass(frozen=True)
class ChosenPoints:
    """What the rule chose.

    Attributes:
        shipped: on all folds.
        of_fold: for each fold, on the others.
        temperature: of each fold, fitted on the others; 1 where none ships.
        shipped_from: the groups of all folds.
    """

    shipped: DecisionRule
    of_fold: dict[int, DecisionRule]
    temperature: dict[int, float]
    shipped_from: ChoosingGroups


def choose_rule(groups: ChoosingGroups) -> DecisionRule:
    """The points by the rule; where none keeps to it, the outermost ones."""
    points = np.round(np.arange(STEP, 1 - STEP / 2, STEP), 2)
    absent = [
        point
        for point in points[points <= 0.5]
        if all((values < point).mean() <= MISSED for values in groups.diseased.values())
    ]
    present = [
        point
        for point in points[points >= 0.5]
        if all((values >= point).mean() <= CALLED for values in groups.healthy.values())
    ]
    return DecisionRule(float(absent[-1] if absent else points[0]), float(present[0] if present else points[-1]), NEVER)


def choosing_groups(
    sets: Mapping[str, SliceScores], study_rule: StudyRule, temperature: float, without_fold: int | None = None
) -> ChoosingGroups:
    """The groups that choose, of all folds or of all but one.

    Args:
        sets: `patients` and `iq_oth`, and `mosmed` where it is there.
        study_rule: from slices to studies.
        temperature: of the scores.
        without_fold: the fold left out.
    """
    kept = {name: scores.select(scores.fold != without_fold) for name, scores in sets.items()}
    diseased: dict[str, np.ndarray] = {}
    runs = runs_as_studies(kept["iq_oth"], study_rule, temperature)
    healthy = {title: group.pneumonia for title, group in runs.items()}
    if "mosmed" in kept:
        pneumonia = kept["mosmed"].pneumonia(temperature=temperature)
        diseased["CT-2"] = pneumonia[kept["mosmed"].kind == "ct2"]
        healthy["CT-0"] = pneumonia[kept["mosmed"].kind == "ct0"]
    patients = kept["patients"]
    for label, groups in ((True, diseased), (False, healthy)):
        groups["studies"] = as_studies(patients, (patients.label != NP) == label, study_rule, temperature).pneumonia
    return ChoosingGroups(*({name: values for name, values in part.items() if len(values)}
                            for part in (diseased, healthy)))  # fmt: skip


def choose_points(sets: Mapping[str, SliceScores], calibrated: Calibration, study_rule: StudyRule) -> ChosenPoints:
    """The points of all folds, and for each fold those of the others, with the temperature that these fitted."""
    shipped = kept_temperature(calibrated)
    temperature = {
        int(fold): 1.0 if shipped == 1.0 else float(fitted) for fold, fitted in calibrated["temperatures"].items()
    }
    all_groups = choosing_groups(sets, study_rule, shipped)
    return ChosenPoints(
        choose_rule(all_groups),
        {fold: choose_rule(choosing_groups(sets, study_rule, fitted, fold)) for fold, fitted in temperature.items()},
        temperature,
        all_groups,
    )
