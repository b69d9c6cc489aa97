"""What the network that ships says of COVID-19 patients of other hospitals: none trained it or chose a point."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import softmax

from groundglass.domain.class_names import CLASSES
from groundglass.domain.findings import STATES
from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.method.decision import DecisionRule
from groundglass.method.slice_classification import StudyRule
from training.data.marked_lesions import SINGLE_SLICES, MarkedSlices
from training.data.public_slices import NP
from training.engine.inference import score_scales
from training.engine.scale_loss import EveryScale
from training.reports.groups import Group
from training.reports.markdown import grid, render
from training.reports.metrics import area_under_curve
from training.reports.operating_points import state_shares
from training.reports.prediction_levels import patient_probabilities


def score_other_hospitals(
    network: MultiScaleClassifier, marked: Sequence[MarkedSlices], rule: DecisionRule, study_rule: StudyRule
) -> dict[str, Any]:
    """Patients as studies, slices with lesions against those without, and single slices.

    Each slice stands for itself: pictures have no place along the body.

    Args:
        network: as it ships.
        marked: of patients and of single slices.
        rule: the operating points that ship.
        study_rule: from slices to studies.

    Returns:
        `patients`: by name `slices`, `with_lesions`, `auc` of P(pneumonia) (None where all slices have lesions, or
        none), `pneumonia` of the study and `state`. `single_slices`, where there are any: `slices`, and the `shares`
        of the states, each judged as a study.
    """
    patients: dict[str, Any] = {}
    single: dict[str, Any] | None = None
    for item in marked:
        scores = score_scales(EveryScale(network), item.slices, masked=True).sum(axis=2)
        probabilities = np.asarray(softmax(scores.astype(np.float64), axis=2).mean(axis=1))
        pneumonia = 1 - probabilities[:, NP]
        if item.name == SINGLE_SLICES:
            single = state_shares(Group(pneumonia, np.zeros(len(pneumonia), dtype=int)), {0: rule})
            continue
        both = 0 < item.lesion.sum() < len(item.lesion)
        np_, cap, covid19 = map(float, patient_probabilities(probabilities, CLASSES, study_rule))
        patients[item.name] = {
            "slices": len(pneumonia),
            "with_lesions": int(item.lesion.sum()),
            "auc": area_under_curve(pneumonia[item.lesion], pneumonia[~item.lesion]) if both else None,
            "pneumonia": 1 - np_,
            "state": rule.apply((np_, cap, covid19)).state,
        }
    return {"patients": patients, "single_slices": single}


def as_markdown(report: dict[str, Any]) -> str:
    """The report as a section of a model card."""
    lines = [
        [name, str(one["slices"]), str(one["with_lesions"]), "–" if one["auc"] is None else f"{one['auc']:.3f}",
         f"{one['pneumonia']:.2f}", one["state"]]
        for name, one in report["patients"].items()
    ]  # fmt: skip
    heads = ["patient", "slices", "with lesions", "AUC, with lesions against without", "P(pneumonia)", "state"]
    single = report["single_slices"]
    if single:
        single = single | {"shares": [f"{100 * share:.0f} % are {state}" for state, share in single["shares"].items()]}
    return render("other_hospitals", table=grid(heads, lines), single=single)


def count_states(report: dict[str, Any]) -> dict[str, int]:
    """How many patients are called what."""
    states = [one["state"] for one in report["patients"].values()]
    return {state: states.count(state) for state in STATES}
