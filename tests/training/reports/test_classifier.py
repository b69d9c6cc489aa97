"""The classifier's report: folds from predictions."""

from dataclasses import replace

import numpy as np

from groundglass.domain.class_names import CLASSES
from training.data.patients import Patient
from training.data.slices import SliceSet
from training.engine.predictions import Predictions
from training.reports.classifier import patients_of_folds

SLICES = 10


def make_patient(name: str, label: int) -> Patient:
    empty = np.zeros((SLICES, 1, 1))
    slices = SliceSet(empty, empty > 0, np.zeros((SLICES, 2)), np.ones(SLICES), np.arange(SLICES), np.arange(SLICES))
    infected = np.arange(SLICES) < 4 if label else np.zeros(SLICES, dtype=bool)
    return Patient(name, label, slices, infected)


PATIENTS = [make_patient("healthy", 0), make_patient("lobar", 1), make_patient("viral", 2)]


def predict_all(disease: dict[str, np.ndarray]) -> Predictions:
    """Predictions in which 1 - P(NP) of each patient's slices is given, the rest going to their class."""
    rows = []
    for patient in PATIENTS:
        probabilities = np.zeros((SLICES, 3))
        probabilities[:, max(patient.label, 1)] = disease[patient.name]
        probabilities[:, 0] += 1 - disease[patient.name]
        rows.append(probabilities)
    counted = [patient.infected if patient.label else np.ones(SLICES, dtype=bool) for patient in PATIENTS]
    return Predictions(
        "shipped",
        CLASSES,
        np.zeros(3 * SLICES, dtype=int),
        np.repeat([patient.name for patient in PATIENTS], SLICES),
        np.tile(np.arange(SLICES), 3),
        np.repeat([patient.label for patient in PATIENTS], SLICES),
        np.concatenate(rows),
        np.concatenate(counted),
    )


def test_the_folds_are_those_of_the_run_and_not_dealt_anew() -> None:
    found = predict_all(dict.fromkeys(("healthy", "lobar", "viral"), np.full(SLICES, 0.5)))
    found = replace(found, fold=np.repeat([1, 0, 1], SLICES))
    assert patients_of_folds(found) == [("lobar",), ("healthy", "viral")]
