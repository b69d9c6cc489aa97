"""Prediction files, read as slices and as patients."""

import json
from pathlib import Path

import numpy as np

from groundglass.domain.class_names import CLASSES
from groundglass.domain.findings import SliceFinding
from groundglass.method.slice_classification import StudyRule
from groundglass.presets import SHIPPED
from training.engine.predictions import Predictions


class UnusablePredictions(ValueError):
    """There are no predictions, or they can't be scored."""


def read_predictions(run: Path) -> list[Predictions]:
    """The prediction files of a cross-validation.

    Raises:
        UnusablePredictions: `run` has none.
    """
    files = sorted((run / "predictions").glob("[!.]*.npz"))  # a hidden one was cut off while it was written
    if not files:
        raise UnusablePredictions(
            f"There is no prediction file (*.npz) in {run / 'predictions'}. Name the folder that "
            "python -m training.cross_validation wrote, or run that command first."
        )
    return [Predictions.load(file) for file in files]


def read_data_set(run: Path) -> tuple[str, str]:
    """Fingerprint and source of the data, which the cross-validation wrote beside its predictions."""
    record = run / "cross_validation.json"
    stored = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    return stored.get("fingerprint", "not recorded"), stored.get("source", "not recorded")


def patient_probabilities(probabilities: np.ndarray, task: tuple[str, ...], rule: StudyRule) -> np.ndarray:
    """Probabilities of a patient, `(class,)`, from those of all the patient's slices, `(slice, class)`.

    Three classes: the study rule. Two classes: the mean of as many slices as the study rule takes, the most diseased
    ones where one class is NP, and the most decided ones, whichever way, between CAP and COVID-19.
    """
    if task == CLASSES:
        slices = [SliceFinding(n, 0.0, (float(a), float(b), float(c))) for n, (a, b, c) in enumerate(probabilities)]
        return np.array(rule.apply(slices)[1])
    unlike = probabilities[:, task.index("np")] if "np" in task else -probabilities.max(axis=1)
    top = np.argsort(unlike, kind="stable")[: rule.count(len(probabilities))]
    return np.asarray(probabilities[top].mean(axis=0))


Level = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Fold, label and probabilities, one entry a slice or a patient."""


def slice_level(one: Predictions) -> Level:
    """Fold, label and probabilities of the counted slices."""
    return one.fold[one.counted], one.label[one.counted], one.probabilities[one.counted]


def patient_level(one: Predictions) -> Level:
    """Fold, label and probabilities of the patients."""
    names, first = np.unique(one.patient, return_index=True)
    rule = SHIPPED.classification.study_rule
    found = [patient_probabilities(one.probabilities[one.patient == name], one.task, rule) for name in names]
    return one.fold[first], one.label[first], np.stack(found)
