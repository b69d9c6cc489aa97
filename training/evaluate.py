"""Every table of a model card, from what a run left behind: `make evaluate`, or `python -m training.evaluate`.

The evidence is the predictions of the cross-validation and the networks of the two folds; without a run it is that of
the shipped weights, in `model_cards/evidence`. Every figure comes from classifiers that never saw the patient they
score; the lung network, whose mask they look through, is one for all. Radiologists' slice labels and lesion masks only
score.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from groundglass.domain.class_names import CLASSES
from groundglass.locations import ROOT
from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.method.slice_classification import StudyRule
from groundglass.method.weights import load_classifier, load_lung_network
from groundglass.presets import SHIPPED
from training import calibration, lung_tables, shortcuts, study_model, tables
from training.classifier import read_patients
from training.classifier_data import PAINTING_BASES, SliceSet, prepare_bases, prepare_slices
from training.dataset import TrainingSet
from training.metrics import area_under_curve
from training.options import add_data_option
from training.predictions import Predictions

RULE_PARTS = (0.05, 0.1, 0.2, 0.3, 0.5)
EVIDENCE = ROOT / "model_cards" / "evidence"


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
        probabilities = tables.patient_probabilities(found.probabilities[own], found.task, rule)
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
    tables.plot(predictions, out)
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
    lines = ["### Disease against none", ""]
    patients = len(next(iter(report["studies"].values())))
    lines += [
        f"AUC of 1 - P(NP) on slices, {patients} patients, none of them seen by the classifier that scores him. "
        "`painted`: trained on painted lesions alone; `shipped`: fine-tuned with the patients of the other fold.",
        "",
    ]
    infected = "infected slices" if _first(report)["marked"] else "all slices of diseased patients"
    columns = [
        *(f"{infected} against {name}" for name in _first(report)["infected slices against healthy patients"]),
        *(f"inside {name}" for name in _first(report)["inside"]),
    ]
    lines += ["| network | " + " | ".join(columns) + " |", "| --- |" + " --- |" * len(columns)]
    for row, curves in report["disease"].items():
        values = [*curves["infected slices against healthy patients"].values(), *curves["inside"].values()]
        lines.append(f"| {row} | " + " | ".join(f"{value:.3f}" for value in values) + " |")
    lines += ["", "### Patients", "", "Label and probabilities (NP, CAP, COVID-19) of the study rule.", ""]
    lines += ["| patient | true | " + " | ".join(report["studies"]) + " |"]
    lines += ["| --- | --- |" + " --- |" * len(report["studies"])]
    for name, study in next(iter(report["studies"].values())).items():
        cells = [
            f"{row[name]['label']} ({', '.join(f'{part:.2f}' for part in row[name]['probabilities'])})"
            for row in report["studies"].values()
        ]
        lines.append(f"| {name} | {study['true']} | " + " | ".join(cells) + " |")
    lines += ["", "Patients right by the part of the slices, the most diseased ones, that the rule averages.", ""]
    lines += ["| network | " + " | ".join(f"{part:g}" for part in RULE_PARTS) + " |"]
    lines += ["| --- |" + " --- |" * len(RULE_PARTS)]
    for row, rules in report["study_rules"].items():
        for asked in ("label", "diseased or not"):
            right = [f"{figures[asked]} of {patients}" for figures in rules.values()]
            lines.append(f"| {row}, {asked} | {' | '.join(right)} |")
    sections = [
        "\n".join(lines),
        tables.as_markdown(report["tables"]),
        calibration.as_markdown(report["calibration"]),
        study_model.as_markdown(report["study_model"]),
        shortcuts.as_markdown(report["shortcuts"]),
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def _first(report: dict[str, Any]) -> dict[str, Any]:
    first: dict[str, Any] = next(iter(report["disease"].values()))
    return first


def main(arguments: list[str] | None = None) -> int:
    """Write classifier.json/.md, lungs_tables.json/.md and the pictures, and print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate",
        description=__doc__,
        epilog="example: python -m training.evaluate --run runs/classifier --out runs/tables",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--run", type=Path, default=EVIDENCE, help="default: the evidence of the shipped weights")
    parser.add_argument("--lungs-run", type=Path, help="folder of the ablation's networks (default: lungs/ of --run)")
    parser.add_argument("--training-set", type=Path, help="folder class/patient/*.dcm the run was trained on")
    parser.add_argument("--lungs", type=Path, default=Path("models/lungs/lungs.safetensors"), help="lung network")
    parser.add_argument("--out", type=Path, default=Path("runs/tables"), help="folder for tables and pictures")
    parser.add_argument("--only", choices=("lungs", "classifier"), help="one of the two (default: both)")
    add_data_option(parser)
    options = parser.parse_args(arguments)
    if not options.data.is_dir():
        parser.error(f"the data folder '{options.data}' does not exist: name it with --data or GROUNDGLASS_DATA")
    options.out.mkdir(parents=True, exist_ok=True)
    predictions = [] if options.only == "lungs" else tables.read_predictions(options.run)
    shipped = shipped_of(predictions)
    if predictions and shipped is None:
        print(
            "The run has no three classes: Tables 3 and 4 and their curves are all there is to tell of its classifier."
        )
        tables.main(["--run", str(options.run), "--out", str(options.out)])
    elif shipped is not None:
        lungs = load_lung_network(options.lungs)
        training_set = read_patients(parser, options, lungs)
        if {patient.name for patient in training_set.patients} != set(map(str, shipped.patient)):
            parser.error(
                f"the run in '{options.run}' is of other patients than these {training_set.source}: its networks may "
                "have seen those that they would be scored on. Name its own data with --training-set, as it was then"
            )
        cache = options.out / "slices"
        sources = prepare_slices(options.data, cache, lungs, (*PAINTING_BASES[:2], "normal001", "normal002"))
        report = score_classifier(
            predictions,
            patients_of_folds(shipped),
            [load_classifier(fold) for fold in sorted(options.run.glob("fold*.safetensors"))],
            training_set,
            sources,
            prepare_bases(options.data, cache, lungs),
            tables.read_data_set(options.run),
            options.out,
        )
        (options.out / "classifier.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        markdown = as_markdown(report)
        (options.out / "classifier.md").write_text(markdown, encoding="utf-8")
        print(markdown)
    if options.only != "classifier":
        common = ["--lungs", str(options.lungs), "--data", str(options.data), "--out", str(options.out)]
        lung_tables.main(["--run", str(options.lungs_run or options.run / "lungs"), *common])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
