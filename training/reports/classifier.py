"""Every figure of the classifier that its model card shows, from what a cross-validation left behind."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from groundglass.domain.class_names import CLASSES
from groundglass.method.classifier_network import MultiScaleClassifier
from training.data.patients import TrainingSet
from training.data.slices import SliceSet
from training.engine.predictions import Predictions
from training.reports import curves, folds, other_hospitals, shortcuts, study_model, tables


def shipped_of(predictions: Sequence[Predictions]) -> Predictions | None:
    """The predictions of the shipped recipe on all classes; None in a run of two classes."""
    return next((one for one in predictions if one.row == "shipped" and one.task == CLASSES), None)


def patients_of_folds(found: Predictions) -> list[tuple[str, ...]]:
    """The names of the patients that each fold of a run tested, whom its network never saw."""
    return [tuple(map(str, np.unique(found.patient[found.fold == fold]))) for fold in np.unique(found.fold)]


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
    """The paper's tables, the study model, and what else the classifier may have learned.

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
    return {
        "tables": tables.score(predictions, *record),
        "shortcuts": {
            "blank_lungs": shortcuts.blank_lung_report(by_patient, training_set.patients),
            "sources": shortcuts.source_classifier(networks[0], sources),
        },
        "study_model": study_model.compare(networks, training_set, tested_by_fold, bases),
    }


def as_markdown(report: dict[str, Any]) -> str:
    """The classifier's report, with that of its folds, as sections of a model card."""
    sections = [
        folds.as_markdown(report["folds"]),
        other_hospitals.as_markdown(report["other_hospitals"]) if "other_hospitals" in report else "",
        tables.as_markdown(report["tables"]),
        study_model.as_markdown(report["study_model"]),
        shortcuts.as_markdown(report["shortcuts"]),
    ]
    return "\n\n".join(section.strip() for section in sections if section) + "\n"
