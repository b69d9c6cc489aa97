"""Figures on single slices of many patients: MosMedData and IQ-OTH/NCCD, each slice by a network that never saw it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from groundglass.method.decision import DecisionRule
from training.data.public_slices import LabelledSlices
from training.engine.slice_scores import SliceScores
from training.reports.grey_floor import grey_statistics, linear_scores
from training.reports.groups import Group
from training.reports.metrics import area_under_curve, area_with_interval
from training.reports.operating_points import state_shares

DISEASED_KINDS = ("ct2", "ct1")
HEALTHY_KIND = "ct0"
REPEATS = 2000
UNLIKE = 0.8
"""Slices that correlate less with each one trained on are hardly of a patient trained on."""
COARSE = 6
"""Every so many pixels are compared."""


def mosmed_figures(scores: SliceScores, repeats: int = REPEATS, seed: int = 0) -> dict[str, dict[str, Any]]:
    """AUC of P(pneumonia), CT-2 and CT-1 each against CT-0, one slice a patient.

    Returns:
        By output (`joint`, and each of several scales), then by kind: `value` and `interval`, pooled over folds, and
        `folds`, that of each fold's own slices, by one network: pooled, scores of networks are compared whose levels
        may differ.
    """
    return {output: _against_healthy(scores, output, repeats, seed) for output in scores.outputs}


def mosmed_floor(slices: LabelledSlices, place: np.ndarray, repeats: int = REPEATS, seed: int = 0) -> dict[str, Any]:
    """The same of a linear model on grey statistics, trained on the kind itself in the other folds."""
    statistics = grey_statistics(slices.slices)
    found = {}
    for kind in DISEASED_KINDS:
        chosen = np.isin(slices.kind, (kind, HEALTHY_KIND))
        diseased = slices.kind[chosen] == kind
        scores = linear_scores(statistics[chosen], diseased, place[chosen])
        found[kind] = area_with_interval(scores[diseased], scores[~diseased], repeats, seed)
    return found


def _against_healthy(scores: SliceScores, output: str, repeats: int, seed: int) -> dict[str, Any]:
    pneumonia = scores.pneumonia(output)
    figures = {}
    for kind in DISEASED_KINDS:
        diseased, healthy = scores.kind == kind, scores.kind == HEALTHY_KIND
        of_folds = (scores.fold == fold for fold in np.unique(scores.fold))
        figures[kind] = area_with_interval(pneumonia[diseased], pneumonia[healthy], repeats, seed) | {
            "folds": [area_under_curve(pneumonia[diseased & own], pneumonia[healthy & own]) for own in of_folds]
        }
    return figures


def likeness(slices: LabelledSlices, place: np.ndarray) -> np.ndarray:
    """Correlation of each slice with the most similar one of the other folds, `(slice,)`.

    Where a set names no patients, a slice of the same patient in another fold shows so: consecutive slices of IQ-OTH
    correlate by .97 and more.
    """
    coarse = slices.slices.hu[:, ::COARSE, ::COARSE].reshape(len(place), -1).astype(np.float64)
    coarse -= coarse.mean(axis=1, keepdims=True)
    coarse /= np.linalg.norm(coarse, axis=1, keepdims=True)
    alike = coarse @ coarse.T
    return np.asarray(np.where(place[:, None] != place, alike, -1.0).max(axis=1))


def iq_oth_figures(
    scores: SliceScores, rules: Mapping[int, DecisionRule], temperature: float | np.ndarray = 1.0
) -> dict[str, dict[str, Any]]:
    """What slices without pneumonia are called at the operating points, by kind and of `all`.

    Args:
        scores: of the slices.
        rules: by fold, at which its slices are judged.
        temperature: of the scores, one or `(slice,)`.

    Returns:
        `slices`, `shares` of the states, `not_called` (the share that is not `present`) and `mean_pneumonia`; empty
        where there is no slice.
    """
    if not len(scores.fold):
        return {}
    pneumonia = scores.pneumonia(temperature=temperature)
    figures = {}
    for kind in (*map(str, np.unique(scores.kind)), "all"):
        own = scores.kind == kind if kind != "all" else np.ones(len(pneumonia), dtype=bool)
        found = state_shares(Group(pneumonia[own], scores.fold[own]), rules)
        mean = float(pneumonia[own].mean())
        figures[kind] = found | {"not_called": 1 - found["shares"]["present"], "mean_pneumonia": mean}
    return figures
