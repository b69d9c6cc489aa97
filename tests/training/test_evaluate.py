"""The classifier's report: curves and study labels from predictions, and what a card shows of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from groundglass.domain.class_names import CLASSES
from training.classifier_data import SliceSet
from training.dataset import Patient, TrainingSet
from training.evaluate import disease_curves, main, patients_of_folds, study_labels
from training.predictions import Predictions

SLICES = 10


def make_patient(name: str, label: int) -> Patient:
    empty = np.zeros((SLICES, 1, 1))
    slices = SliceSet(empty, empty > 0, np.zeros((SLICES, 2)), np.ones(SLICES), np.arange(SLICES))
    infected = np.arange(SLICES) < 4 if label else np.zeros(SLICES, dtype=bool)
    return Patient(name, label, slices, infected)


PATIENTS = [make_patient("healthy", 0), make_patient("lobar", 1), make_patient("viral", 2)]


def predict_all(disease: dict[str, np.ndarray]) -> Predictions:
    """Predictions in which 1 - P(NP) of each patient's slices is given, the rest going to his class."""
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


def test_only_infected_slices_stand_against_healthy_patients() -> None:
    seen = np.where(np.arange(SLICES) < 4, 0.9, 0.05)  # what is not infected looks healthier than the healthy
    curves = disease_curves(predict_all({"healthy": np.full(SLICES, 0.1), "lobar": seen, "viral": seen}))
    assert curves["infected slices against healthy patients"] == {"healthy": 1.0}
    assert curves["inside"] == {"lobar": 1.0, "viral": 1.0}


def test_a_network_that_sees_nothing_scores_a_half() -> None:
    same = np.full(SLICES, 0.3)
    curves = disease_curves(predict_all({"healthy": same, "lobar": same, "viral": same}))
    assert curves["infected slices against healthy patients"]["healthy"] == 0.5
    assert set(curves["inside"].values()) == {0.5}


def test_a_study_takes_the_label_of_its_most_diseased_slices() -> None:
    few = np.where(np.arange(SLICES) < 3, 0.9, 0.0)
    studies = study_labels(predict_all({"healthy": np.full(SLICES, 0.1), "lobar": few, "viral": few}))
    assert {name: study["label"] for name, study in studies.items()} == {
        "healthy": "np",
        "lobar": "cap",
        "viral": "covid19",
    }
    assert studies["viral"]["probabilities"] == pytest.approx([0.1, 0.0, 0.9])


def test_the_folds_are_those_of_the_run_and_not_dealt_anew() -> None:
    found = predict_all(dict.fromkeys(("healthy", "lobar", "viral"), np.full(SLICES, 0.5)))
    found = replace(found, fold=np.repeat([1, 0, 1], SLICES))
    assert patients_of_folds(found) == [("lobar",), ("healthy", "viral")]


def test_a_run_of_other_patients_is_not_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Folds dealt anew would test patients on whom the run's networks have trained."""
    found = predict_all(dict.fromkeys(("healthy", "lobar", "viral"), np.full(SLICES, 0.5)))
    found.save(tmp_path / "predictions" / "shipped.np-cap-covid19.npz")
    one_more = TrainingSet((*PATIENTS, make_patient("new", 0)), "another", "4 patients of export")
    monkeypatch.setattr("training.evaluate.read_patients", lambda *_: one_more)
    with pytest.raises(SystemExit) as ended:
        main(["--run", str(tmp_path), "--data", str(tmp_path), "--out", str(tmp_path / "tables")])
    assert ended.value.code == 2
    assert "is of other patients than these 4 patients of export" in capsys.readouterr().err
