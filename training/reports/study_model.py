"""The study model's attention against the application's study rule."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from groundglass.domain.class_names import CLASSES
from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.method.slice_classification import with_neighbours
from groundglass.presets import SHIPPED
from training.data.patients import Patient, TrainingSet
from training.data.slices import SliceSet
from training.engine.inference import penultimate_features, predict
from training.engine.study_training import painted_bags, predict_study, train_study_model
from training.reports.markdown import grid, render
from training.reports.metrics import area_under_curve
from training.reports.prediction_levels import patient_probabilities


def compare(
    networks_by_fold: Sequence[MultiScaleClassifier],
    training_set: TrainingSet,
    folds: Sequence[Sequence[str]],
    bases: SliceSet | None = None,
    masked: bool = True,
    seed: int = 0,
    iterations: int = 400,
) -> dict[str, Any]:
    """The application's study rule against attention, on patients that neither network nor study model trained on.

    Args:
        networks_by_fold: each trained without its fold's patients.
        training_set: every patient.
        folds: names of the patients tested in each fold.
        bases: healthy slices to paint bags from; without them the two painted models are left out.
        masked: whether pixels outside the lungs are hidden.
        seed: of the study models.
        iterations: of each training.

    Returns:
        `patients`, their number, and `models` by name: `right`, `log_loss` (mean over the patients), `studies` by
        patient (`true`, `label`, `probabilities`) and `infected_auc` by diseased patient whose slices are marked: how
        well attention (for the rule, 1 - P(NP)) ranks the infected slices before the others.
    """
    patients = {patient.name: patient for patient in training_set.patients}
    studies: dict[str, dict[str, dict[str, Any]]] = {}
    curves: dict[str, dict[str, float]] = {}

    def note(model: str, patient: Patient, probabilities: np.ndarray, slice_scores: np.ndarray) -> None:
        studies.setdefault(model, {})[patient.name] = {
            "true": CLASSES[patient.label],
            "label": CLASSES[int(probabilities.argmax())],
            "probabilities": [float(value) for value in probabilities],
        }
        infected = patient.infected
        if patient.label and infected is not None and 0 < np.count_nonzero(infected) < len(infected):
            area = area_under_curve(slice_scores[infected], slice_scores[~infected])
            curves.setdefault(model, {})[patient.name] = area

    for network, tested in zip(networks_by_fold, folds, strict=True):
        seen = tqdm(patients.items(), desc="features", unit="patient")
        features = {name: penultimate_features(network, patient.slices, masked) for name, patient in seen}
        bags = [(features[name], patient.label) for name, patient in patients.items() if name not in tested]
        models = {"attention": train_study_model(bags, seed, iterations)}
        if bases is not None:
            painted = train_study_model(painted_bags(network, bases, 96, seed), seed, iterations)
            models["attention, painted bags only"] = painted
            models["attention, painted bags first"] = train_study_model(bags, seed, iterations, painted)
        for patient in (patients[name] for name in tested):
            rows = predict(network, patient.slices, masked)
            rows = with_neighbours(rows, patient.slices.height_mm, SHIPPED.classification.neighbours_mm)
            probabilities = patient_probabilities(rows, CLASSES, SHIPPED.classification.study_rule)
            note("study rule", patient, probabilities, 1 - rows[:, 0])
            for title, model in models.items():
                note(title, patient, *predict_study(model, features[patient.name]))
    return {
        "patients": sum(map(len, folds)),
        "models": {
            title: {
                "right": sum(study["label"] == study["true"] for study in found.values()),
                "log_loss": float(np.mean([_log_loss(study) for study in found.values()])),
                "studies": found,
                "infected_auc": curves.get(title, {}),
            }
            for title, found in studies.items()
        },
    }


def _log_loss(study: dict[str, Any]) -> float:
    return -float(np.log(max(study["probabilities"][CLASSES.index(study["true"])], 1e-12)))


def as_markdown(report: dict[str, Any]) -> str:
    """The comparison as two tables."""
    models = report["models"]
    marked = list(dict.fromkeys(name for figures in models.values() for name in figures["infected_auc"]))
    figures = [
        [
            title,
            f"{found['right']} of {report['patients']}",
            f"{found['log_loss']:.3f}",
            *(f"{found['infected_auc'][name]:.3f}" for name in marked),
        ]
        for title, found in models.items()
    ]
    studies = [
        [name, study["true"], *(study_cell(found["studies"][name]) for found in models.values())]
        for name, study in next(iter(models.values()))["studies"].items()
    ]
    return render(
        "study_model",
        patients=report["patients"],
        marked=marked,
        figures=grid(["model", "right", "log loss", *(f"inside {name}" for name in marked)], figures),
        studies=grid(["patient", "true", *models], studies),
    )


def study_cell(study: dict[str, Any]) -> str:
    """A study's label and probabilities for a table."""
    return f"{study['label']} ({', '.join(f'{value:.2f}' for value in study['probabilities'])})"
