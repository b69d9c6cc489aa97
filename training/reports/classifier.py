"""Every figure of the classifier that its model card shows, from what a cross-validation left behind."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from groundglass.domain.class_names import CLASSES
from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.method.slice_classification import StudyRule
from groundglass.presets import SHIPPED
from training.data.patients import TrainingSet
from training.data.slices import SliceSet
from training.engine.predictions import Predictions
from training.reports import calibration, curves, shortcuts, study_model, tables
from training.reports.markdown import grid, render
from training.reports.metrics import area_under_curve
from training.reports.prediction_levels import patient_probabilities

RULE_PARTS = (0.05, 0.1, 0.2, 0.3, 0.5)


def shipped_of(predictions: Sequence[Predictions]) -> Predictions | None:
    """The predictions of the shipped recipe on all classes; None in a run of two classes."""
    return next((one for one in predictions if one.row == "shipped" and one.task == CLASSES), None)


def patients_of_folds(found: Predictions) -> list[tuple[str, ...]]:
    """The names of the patients that each fold of a run tested, whom its network never saw."""
    return [tuple(map(str, np.unique(found.patient[found.fold == fold]))) for fold in np.unique(found.fold)]


def disease_curves(found: Predictions) -> dict[str, Any]:
    """Areas under the curve of P(diseased) = 1 - P(NP), pooled over folds.

    Returns:
        `infected slices against healthy patients` (every healthy patient by name, each against all infected slices;
        where there are more than three, all of them together as `healthy patients`), and `inside` each patient who has
        both infected and other slices: the first against the second. Where nobody marked slices, `marked` is false, and
        all those of diseased patients count as infected.
    """
    disease = 1 - found.probabilities[:, found.task.index("np")]
    is_healthy = found.label == found.task.index("np")
    infected = found.counted & ~is_healthy
    healthy = {str(name): found.patient == name for name in np.unique(found.patient[is_healthy])}
    if len(healthy) > 3:
        healthy = {"healthy patients": is_healthy}
    inside = {}
    for name in np.unique(found.patient[~is_healthy]):
        own = found.patient == name
        if not infected[own].all():
            inside[str(name)] = area_under_curve(disease[own & infected], disease[own & ~infected])
    return {
        "infected slices against healthy patients": {
            name: area_under_curve(disease[infected], disease[own]) for name, own in healthy.items()
        },
        "inside": inside,
        "marked": not bool(found.counted.all()),
    }


def study_labels(found: Predictions, rule: StudyRule = SHIPPED.classification.study_rule) -> dict[str, dict[str, Any]]:
    """What the study rule says of each patient."""
    studies = {}
    for name in np.unique(found.patient):
        own = found.patient == name
        probabilities = patient_probabilities(found.probabilities[own], found.task, rule)
        studies[str(name)] = {
            "true": found.task[int(found.label[own][0])],
            "label": found.task[int(probabilities.argmax())],
            "probabilities": [float(value) for value in probabilities],
        }
    return studies


def compare_rules(found: Predictions) -> dict[str, dict[str, int]]:
    """Patients right by the part of the slices that the study rule averages: of three classes, and diseased or not."""
    figures = {}
    for part in RULE_PARTS:
        studies = study_labels(found, replace(SHIPPED.classification.study_rule, top_part=part)).values()
        figures[f"{part:g}"] = {
            "label": sum(study["label"] == study["true"] for study in studies),
            "diseased or not": sum((study["label"] == "np") == (study["true"] == "np") for study in studies),
        }
    return figures


def score_classifier(
    predictions: Sequence[Predictions],
    folds: Sequence[Sequence[str]],
    networks: Sequence[MultiScaleClassifier],
    training_set: TrainingSet,
    sources: dict[str, SliceSet],
    bases: SliceSet | None,
    record: tuple[str, str],
    out: Path,
) -> dict[str, Any]:
    """All figures of the classifier.

    Args:
        predictions: of the cross-validation; the rows `painted` and `shipped` are those of the shipped recipe.
        folds: the patients that each fold tested.
        networks: of these folds, by the shipped recipe.
        training_set: its patients.
        sources: healthy slices by source.
        bases: to paint bags of slices from, or None.
        record: fingerprint and source of the data behind the predictions.
        out: where the pictures go.
    """
    by_patient = {name: network for network, tested in zip(networks, folds, strict=True) for name in tested}
    curves.plot(predictions, out)
    report: dict[str, Any] = {
        "tables": tables.score(predictions, *record),
        "disease": {},
        "study_rules": {},
        "studies": {},
    }
    for one in predictions:
        if one.row in ("painted", "shipped") and one.task == CLASSES:
            report["disease"][one.row] = disease_curves(one)
            report["studies"][one.row] = study_labels(one)
            report["study_rules"][one.row] = compare_rules(one)
            if one.row == "shipped":
                report["calibration"] = calibration.calibration_report(one, out / "calibration.png")
    report["shortcuts"] = {
        "blank_lungs": shortcuts.blank_lung_report(by_patient, training_set.patients),
        "sources": shortcuts.source_classifier(networks[0], sources),
    }
    report["study_model"] = study_model.compare(networks, training_set, folds, bases)
    return report


def as_markdown(report: dict[str, Any]) -> str:
    """The classifier's report as sections of a model card."""
    first: dict[str, Any] = next(iter(report["disease"].values()))
    infected = "infected slices" if first["marked"] else "all slices of diseased patients"
    curves_head = [
        "network",
        *(f"{infected} against {name}" for name in first["infected slices against healthy patients"]),
        *(f"inside {name}" for name in first["inside"]),
    ]
    curves_rows = []
    for row, areas in report["disease"].items():
        values = [*areas["infected slices against healthy patients"].values(), *areas["inside"].values()]
        curves_rows.append([row, *(f"{value:.3f}" for value in values)])
    by_row = report["studies"]
    studies = next(iter(by_row.values()))
    disease = render(
        "disease",
        patients=len(studies),
        curves=grid(curves_head, curves_rows),
        studies=grid(
            ["patient", "true", *by_row],
            [
                [name, study["true"], *(study_model.study_cell(found[name]) for found in by_row.values())]
                for name, study in studies.items()
            ],
        ),
        rules=grid(
            ["network", *(f"{part:g}" for part in RULE_PARTS)],
            [
                [f"{row}, {asked}", *(f"{figures[asked]} of {len(studies)}" for figures in rules.values())]
                for row, rules in report["study_rules"].items()
                for asked in ("label", "diseased or not")
            ],
        ),
    )
    sections = [
        disease,
        tables.as_markdown(report["tables"]),
        calibration.as_markdown(report["calibration"]),
        study_model.as_markdown(report["study_model"]),
        shortcuts.as_markdown(report["shortcuts"]),
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"
