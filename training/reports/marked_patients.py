"""Figures on whole patients: infected slices against others, what the study is called, and which kind."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from groundglass.domain.class_names import CLASSES
from groundglass.method.decision import DecisionRule
from groundglass.method.slice_classification import StudyRule
from groundglass.presets import SHIPPED
from training.data.public_slices import CAP, COVID19, NP
from training.engine.slice_scores import FREE, HEALTHY, INFECTED, UNMARKED, SliceScores
from training.reports.metrics import area_under_curve
from training.reports.prediction_levels import patient_probabilities

RULE_PARTS = (0.05, 0.1, 0.2, 0.3, 0.5)
"""Parts of the slices that are compared."""
NEIGHBOURS_MM = (0.0, 2.0, 4.0, 6.0, 8.0)
"""Reaches that are compared: 0 is each slice for itself, as in the paper."""


def compare_neighbours(scores: SliceScores) -> dict[str, dict[str, dict[str, float | None]]]:
    """`patient_curves` of all scales together, by reach of the neighbours in mm, as a text, and patient."""
    return {
        f"{reach_mm:g}": {
            name: found["joint"] for name, found in patient_curves(scores, reach_mm, outputs=("joint",)).items()
        }
        for reach_mm in NEIGHBOURS_MM
    }


def patient_curves(
    scores: SliceScores,
    neighbours_mm: float = SHIPPED.classification.neighbours_mm,
    outputs: Sequence[str] | None = None,
) -> dict[str, dict[str, dict[str, float | None]]]:
    """AUC of P(pneumonia) of each diseased patient, by output (`joint`, and each of several scales).

    Args:
        scores: of the patients' slices.
        neighbours_mm: as of `with_neighbours`.
        outputs: which; None for all.

    Returns:
        By patient and output: `inside`, infected slices against the patient's others, None where nobody marked them or
        one of the two is missing; `against_healthy`, infected slices (all, where nobody marked them) against those of
        every healthy patient, each as the network that never saw it scores it.
    """
    curves: dict[str, dict[str, dict[str, float | None]]] = {}
    for output in outputs or scores.outputs:
        pneumonia = scores.pneumonia(output, neighbours_mm=neighbours_mm)
        healthy = pneumonia[scores.kind == HEALTHY]
        for name in np.unique(scores.group[scores.label != NP]):
            own = scores.group == name
            infected = pneumonia[own & np.isin(scores.kind, (INFECTED, UNMARKED))]
            free = pneumonia[own & (scores.kind == FREE)]
            curves.setdefault(str(name), {})[output] = {
                "inside": area_under_curve(infected, free) if len(infected) and len(free) else None,
                "against_healthy": area_under_curve(infected, healthy) if len(infected) and len(healthy) else None,
            }
    return curves


def study_statements(
    scores: SliceScores, rule: StudyRule, decisions: Mapping[int, DecisionRule], temperature: float | np.ndarray = 1.0
) -> dict[str, dict[str, Any]]:
    """What the application would state of each patient: `probabilities`, `state` and `kind`, beside the `true` one.

    Args:
        scores: of the patients' slices.
        rule: from slices to a study.
        decisions: the operating points by fold, at which its patients are judged.
        temperature: of the scores, one or `(slice,)`.
    """
    probabilities = scores.probabilities(temperature=temperature)
    statements = {}
    for name in np.unique(scores.group):
        own = scores.group == name
        np_, cap, covid19 = (float(value) for value in patient_probabilities(probabilities[own], CLASSES, rule))
        prediction = decisions[int(scores.fold[own][0])].apply((np_, cap, covid19))
        statements[str(name)] = {
            "true": CLASSES[int(scores.label[own][0])],
            "probabilities": [np_, cap, covid19],
            "state": prediction.state,
            "kind": prediction.kind,
        }
    return statements


def compare_rules(scores: SliceScores, rule: StudyRule) -> dict[str, dict[str, int]]:
    """Patients right by the part of the slices that a study rule averages.

    Returns:
        By each of RULE_PARTS as a text: `label`, right of three classes; `diseased or not`, whether P(pneumonia) is a
        half or more; `patients`, all there are.
    """
    probabilities = scores.probabilities()
    names, first = np.unique(scores.group, return_index=True)
    true = scores.label[first]
    figures = {}
    for part in RULE_PARTS:
        of_part = replace(rule, top_part=part)
        studies = np.array(
            [patient_probabilities(probabilities[scores.group == name], CLASSES, of_part) for name in names]
        )
        figures[f"{part:g}"] = {
            "label": int((studies.argmax(axis=1) == true).sum()),
            "diseased or not": int(((studies[:, NP] > 0.5) == (true == NP)).sum()),
            "patients": len(names),
        }
    return figures


def kind_figures(scores: SliceScores, rule: StudyRule) -> dict[str, Any]:
    """CAP against COVID-19 by P(COVID-19) / (P(CAP) + P(COVID-19)), on infected slices of diseased patients.

    Returns:
        `auc` and `slices` of both; `studies`, by diseased patient the true class and the share of the study rule's
        probabilities; `patients_auc` over them. None where one of the kinds is missing.
    """
    probabilities = scores.probabilities()
    share = probabilities[:, COVID19] / probabilities[:, 1:].sum(axis=1)
    shown = np.isin(scores.kind, (INFECTED, UNMARKED))
    of_class = {label: shown & (scores.label == label) for label in (CAP, COVID19)}
    studies = {}
    for name in np.unique(scores.group[scores.label != NP]):
        own = scores.group == name
        _, cap, covid19 = patient_probabilities(probabilities[own], CLASSES, rule)
        studies[str(name)] = {"true": CLASSES[int(scores.label[own][0])], "share": float(covid19 / (cap + covid19))}
    by_class = {
        label: np.array([study["share"] for study in studies.values() if study["true"] == CLASSES[label]])
        for label in (CAP, COVID19)
    }
    both = all(own.any() for own in of_class.values())
    return {
        "slices": {CLASSES[label]: int(own.sum()) for label, own in of_class.items()},
        "auc": area_under_curve(share[of_class[COVID19]], share[of_class[CAP]]) if both else None,
        "studies": studies,
        "patients_auc": area_under_curve(by_class[COVID19], by_class[CAP]) if both else None,
    }
