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
from training.reports import curves, folds, shortcuts, study_model, tables
from training.reports.markdown import grid, render
from training.reports.prediction_levels import patient_probabilities

RULE_PARTS = (0.05, 0.1, 0.2, 0.3, 0.5)


def shipped_of(predictions: Sequence[Predictions]) -> Predictions | None:
    """The predictions of the shipped recipe on all classes; None in a run of two classes."""
    return next((one for one in predictions if one.row == "shipped" and one.task == CLASSES), None)


def patients_of_folds(found: Predictions) -> list[tuple[str, ...]]:
    """The names of the patients that each fold of a run tested, whom its network never saw."""
    return [tuple(map(str, np.unique(found.patient[found.fold == fold]))) for fold in np.unique(found.fold)]


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
    tested_by_fold: Sequence[Sequence[str]],
    networks: Sequence[MultiScaleClassifier],
    training_set: TrainingSet,
    sources: dict[str, SliceSet],
    bases: SliceSet | None,
    record: tuple[str, str],
    out: Path,
) -> dict[str, Any]:
    """The paper's tables, the study rule and the study model, and what else the classifier may have learned.

    Args:
        predictions: of the cross-validation; the rows `painted` and `shipped` are those of the shipped recipe.
        tested_by_fold: the patients that each fold tested.
        networks: of these folds, by the shipped recipe.
        training_set: its patients.
        sources: healthy slices by source.
        bases: to paint bags of slices from, or None.
        record: fingerprint and source of the data behind the predictions.
        out: where the pictures go.
    """
    by_patient = {name: network for network, tested in zip(networks, tested_by_fold, strict=True) for name in tested}
    curves.plot(predictions, out)
    own = [one for one in predictions if one.row in ("painted", "shipped") and one.task == CLASSES]
    return {
        "tables": tables.score(predictions, *record),
        "study_rules": {one.row: compare_rules(one) for one in own},
        "studies": {one.row: study_labels(one) for one in own},
        "shortcuts": {
            "blank_lungs": shortcuts.blank_lung_report(by_patient, training_set.patients),
            "sources": shortcuts.source_classifier(networks[0], sources),
        },
        "study_model": study_model.compare(networks, training_set, tested_by_fold, bases),
    }


def as_markdown(report: dict[str, Any]) -> str:
    """The classifier's report, with that of its folds, as sections of a model card."""
    of_all = f"of {len(report['studies']['shipped'])}"
    rules = render(
        "study_rules",
        rules=grid(
            ["network", *(f"{part:g}" for part in RULE_PARTS)],
            [
                [
                    f"{tables.row_style(row)[0]}, {asked}",
                    *(f"{figures[asked]} {of_all}" for figures in rules.values()),
                ]
                for row, rules in report["study_rules"].items()
                for asked in ("label", "diseased or not")
            ],
        ),
    )
    sections = [
        folds.as_markdown(report["folds"]),
        rules,
        tables.as_markdown(report["tables"]),
        study_model.as_markdown(report["study_model"]),
        shortcuts.as_markdown(report["shortcuts"]),
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"
