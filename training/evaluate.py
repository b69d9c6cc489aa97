"""Score the networks of a training run on the six COVID-CT-MD patients: `python -m training.evaluate --run DIR`.

Every figure comes from networks that never saw the patient they score: the painted-only network saw none of the
six, and each fold's network saw the three patients of the other fold. The radiologists' slice labels only score.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from method.slice_classification import StudyRule
from method.types import CLASSES, SliceFinding
from method.weights import load_classifier, load_lung_network
from training.classifier import predict
from training.classifier_data import FOLDS, PATIENT_CLASS, SliceSet, prepare_slices, read_infected
from training.metrics import area_under_curve
from training.options import DATA_FOLDER

Probabilities = dict[str, np.ndarray]
"""`(slice, class)` by patient."""


def disease_curves(
    found: Probabilities, sets: dict[str, SliceSet], infected: dict[str, np.ndarray]
) -> dict[str, float]:
    """Areas under the curve of P(diseased): infected slices against a healthy patient, and inside two patients."""
    disease = {name: 1 - rows[:, 0] for name, rows in found.items()}
    truth = {name: infected[name][sets[name].index] for name in found}
    sick = np.concatenate([disease[name][truth[name]] for name in ("P001", "P002", "cap001", "cap002")])
    return {
        "infected slices of P001, P002, cap001, cap002 against normal002": area_under_curve(sick, disease["normal002"]),
        **{
            f"inside {name}": area_under_curve(disease[name][truth[name]], disease[name][~truth[name]])
            for name in ("P001", "P002")
        },
    }


def slice_confusion(found: Probabilities, sets: dict[str, SliceSet], infected: dict[str, np.ndarray]) -> np.ndarray:
    """True class by predicted class: infected slices of the diseased patients, every slice of the healthy ones."""
    table = np.zeros((len(CLASSES), len(CLASSES)), dtype=int)
    for name, rows in found.items():
        label = CLASSES.index(PATIENT_CLASS[name])
        counted = infected[name][sets[name].index] if label else np.ones(len(rows), dtype=bool)
        np.add.at(table, (label, rows[counted].argmax(axis=1)), 1)
    return table


def study_predictions(found: Probabilities, rule: StudyRule) -> dict[str, dict[str, Any]]:
    """Label and probabilities of each patient by the study rule."""
    studies = {}
    for name, rows in found.items():
        slices = [SliceFinding(index, 0.0, tuple(map(float, row))) for index, row in enumerate(rows)]  # type: ignore[arg-type]
        label, probabilities = rule.apply(slices)
        studies[name] = {
            "true": PATIENT_CLASS[name],
            "label": label,
            "probabilities": [round(p, 3) for p in probabilities],
        }
    return studies


def score(
    found: Probabilities, sets: dict[str, SliceSet], infected: dict[str, np.ndarray], rule: StudyRule
) -> dict[str, Any]:
    """All figures of one set of predictions."""
    confusion = slice_confusion(found, sets, infected)
    per_class = confusion.diagonal() / np.maximum(confusion.sum(axis=1), 1)
    studies = study_predictions(found, rule)
    return {
        "auc": disease_curves(found, sets, infected),
        "slice_accuracy": float(confusion.trace() / confusion.sum()),
        "slice_sensitivity": dict(zip(CLASSES, map(float, per_class), strict=True)),
        "slice_confusion_true_by_predicted": confusion.tolist(),
        "studies": studies,
        "studies_right": sum(item["label"] == item["true"] for item in studies.values()),
    }


def as_markdown(report: dict[str, Any]) -> str:
    """The report as tables."""
    lines = [
        "Six COVID-CT-MD patients, two for each class; every patient scored by networks that never saw him. "
        "Two-fold: each fold trains on three patients and tests on the other three.",
        "",
        "| network | input | AUC, infected against normal002 | AUC inside P001 | AUC inside P002 | slice accuracy | "
        "NP | CAP | COVID-19 | studies right |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, figures in report.items():
        network, shown = name.split(", ")
        curves = " | ".join(f"{value:.3f}" for value in figures["auc"].values())
        classes = " | ".join(f"{value:.2f}" for value in figures["slice_sensitivity"].values())
        lines.append(
            f"| {network} | {shown} | {curves} | {figures['slice_accuracy']:.3f} | {classes} | "
            f"{figures['studies_right']} of {len(figures['studies'])} |"
        )
    lines += ["", "| patient | true | " + " | ".join(report) + " |", "| --- | --- |" + " --- |" * len(report)]
    for patient, true in PATIENT_CLASS.items():
        cells = [
            f"{study['label']} ({', '.join(f'{part:.2f}' for part in study['probabilities'])})"
            for study in (figures["studies"][patient] for figures in report.values())
        ]
        lines.append(f"| {patient} | {true} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", "Patients: label and probabilities (NP, CAP, COVID-19) of the study rule."]) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write report.json and report.md, and print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate",
        description=__doc__,
        epilog="example: python -m training.evaluate --run runs",
    )
    parser.add_argument("--run", type=Path, default=Path("runs/classifier"), help="folder of training.classifier")
    parser.add_argument("--lungs", type=Path, default=Path("models/lungs/lungs.safetensors"), help="lung network")
    parser.add_argument("--data", type=Path, default=DATA_FOLDER, help="CT data folder (default: $GROUNDGLASS_DATA)")
    options = parser.parse_args(arguments)
    sets = prepare_slices(options.data, options.run / "slices", load_lung_network(options.lungs))
    infected = read_infected(options.data)
    painted = load_classifier(options.run / "painted.safetensors")
    folds = [load_classifier(options.run / f"fold{number}.safetensors") for number in (1, 2)]
    rule = StudyRule()
    report = {}
    for masked, shown in ((True, "lungs alone"), (False, "whole square")):
        found = {name: predict(painted, sets[name], masked) for name in PATIENT_CLASS}
        report[f"painted lesions, {shown}"] = score(found, sets, infected, rule)
        found = {
            name: predict(network, sets[name], masked)
            for network, patients in zip(folds, FOLDS, strict=True)
            for name in patients
        }
        report[f"two-fold, {shown}"] = score(found, sets, infected, rule)
    (options.run / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    markdown = as_markdown(report)
    (options.run / "report.md").write_text(markdown, encoding="utf-8")
    print(markdown)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
