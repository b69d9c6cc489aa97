"""Groups of slices, and of studies, whose P(pneumonia) chooses the operating points and stands in their tables."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from groundglass.domain.class_names import CLASSES
from groundglass.method.slice_classification import StudyRule
from training.data.public_slices import NP
from training.engine.slice_scores import FREE, HEALTHY, INFECTED, UNMARKED, SliceScores
from training.reports.prediction_levels import patient_probabilities


class Group(NamedTuple):
    """Slices or studies of one kind: P(pneumonia) and the fold that tests each, `(slice,)` or `(study,)` both."""

    pneumonia: np.ndarray
    fold: np.ndarray


def slice_groups(sets: Mapping[str, SliceScores], temperature: Mapping[str, np.ndarray]) -> dict[str, Group]:
    """Single slices by group, as the tables of the operating points name them.

    Args:
        sets: scores by set.
        temperature: of each set's scores, `(slice,)`.
    """
    members: dict[str, tuple[str, np.ndarray]] = {}
    if "mosmed" in sets:
        members |= {f"CT-{kind[-1]}": ("mosmed", sets["mosmed"].kind == kind) for kind in ("ct2", "ct1", "ct0")}
    kind = sets["patients"].kind
    members |= {
        "infected": ("patients", np.isin(kind, (INFECTED, UNMARKED))),
        "free": ("patients", kind == FREE),
        "healthy patients": ("patients", kind == HEALTHY),
        "IQ-OTH": ("iq_oth", np.ones(len(sets["iq_oth"].kind), dtype=bool)),
    }
    pneumonia = {name: scores.pneumonia(temperature=temperature[name]) for name, scores in sets.items()}
    return {
        title: Group(pneumonia[name][chosen], sets[name].fold[chosen])
        for title, (name, chosen) in members.items()
        if chosen.any()
    }


def runs_as_studies(
    iq_oth: SliceScores, study_rule: StudyRule, temperature: float | np.ndarray = 1.0
) -> dict[str, Group]:
    """Each kind of IQ-OTH, its runs of neighbouring pictures judged as studies; arguments as of `as_studies`.

    The set does not say where a patient ends, and its slices have no place along the body by which neighbours could
    have a say in each other's probabilities.
    """
    return {
        f"IQ-OTH {kind}, runs": as_studies(iq_oth, iq_oth.kind == kind, study_rule, temperature)
        for kind in map(str, np.unique(iq_oth.kind))
    }


def as_studies(
    scores: SliceScores, chosen: np.ndarray, study_rule: StudyRule, temperature: float | np.ndarray = 1.0
) -> Group:
    """P(pneumonia) of each patient, or run of pictures, by the study rule.

    Args:
        scores: of slices; those of one `group` lie in one fold.
        chosen: bool `(slice,)`; all slices of a group or none.
        study_rule: from slices to studies.
        temperature: of the scores, one or `(slice,)`.
    """
    probabilities = scores.probabilities(temperature=temperature)
    members = [scores.group == name for name in np.unique(scores.group[chosen])]
    pneumonia = [1 - patient_probabilities(probabilities[own], CLASSES, study_rule)[NP] for own in members]
    return Group(np.array(pneumonia), np.array([scores.fold[own][0] for own in members], dtype=int))
