"""Boxes where no disease is: of slices and patients without, and where radiologists marked nothing.

Each slice of MosMedData's CT-0 and each patient is explained as the application does it, by the network of the fold
that did not train on them, and by the one that ships, which did: its figures stand in brackets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.lung_places import near_root, over_dome, roots_of_lungs
from groundglass.domain.class_names import CLASSES
from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG, CTVolume
from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.method.decision import DecisionRule
from groundglass.method.explanation import Explanation, explain_slices
from groundglass.method.lung_network import LungUNet
from groundglass.method.slice_classification import classify_slices
from groundglass.method.slice_input import SliceInputs
from groundglass.method.weights import load_classifier
from groundglass.presets import SHIPPED
from training.data.public_slices import NP, read_mosmed
from training.data.segmentation import segment
from training.data.slices import PATIENT_CLASS, SliceSet, read_marked_sides, read_patient
from training.engine.inference import predict
from training.reports.calibration import fold_temperature, kept_temperature
from training.reports.classifier import patients_of_folds
from training.reports.prediction_levels import read_predictions
from training.reports.shipped import EVIDENCE, read_report

PATIENTS = ("P001", "cap001", "normal001", "normal002")
MOSTLY = 0.5
"""Part of a box's salient pixels that decides where it lies."""
Counts = dict[str, int]


@dataclass(frozen=True)
class Judge:
    """A network with the operating points it is judged at."""

    network: MultiScaleClassifier
    decision: DecisionRule


def judges_of_folds() -> list[Judge]:
    """The networks in the evidence, each with the temperature and the points that the other folds chose."""
    networks = [load_classifier(path) for path in sorted(EVIDENCE.glob("fold*.safetensors"))]
    report = read_report("classifier").get("folds")
    if report is None:  # of a recipe that chose no points by folds
        return [Judge(network, SHIPPED.classification.decision) for network in networks]
    calibrated = report["calibration"]["shipped"]
    points = report["operating_points"]["shipped"]
    judges = []
    for fold, network in enumerate(networks):
        temperature = 1.0 if kept_temperature(calibrated) == 1.0 else calibrated["temperatures"][str(fold)]
        absent_below, present_from = points["by_fold"][str(fold)]
        decision = DecisionRule(absent_below, present_from, points["kind_above"])
        judges.append(Judge(fold_temperature(network, temperature), decision))
    return judges


def count_boxes(
    explained: Explanation, free: np.ndarray, places: Mapping[str, np.ndarray], labels: np.ndarray
) -> Counts:
    """Boxes of one patient.

    Args:
        explained: what was found.
        free: bool `(slice, side)`, sides as RIGHT_LUNG and LEFT_LUNG number them: where nobody marked disease.
        places: parts of the lungs by name, bool `(slice, row, col)`.
        labels: of the lungs, same shape.

    Returns:
        `boxes`; `free`, those of which most lies in a lung of a slice without a mark; those of them in each place, and
        all in each place with `, all`.
    """
    counts = dict.fromkeys(("boxes", "free", *places, *(f"{name}, all" for name in places)), 0)
    for box in explained.boxes:
        where = (box.slice_index, *box.place)
        salient = explained.salient[where] > 0
        if not salient.any():
            continue
        sides = labels[where][salient]
        side = max((RIGHT_LUNG, LEFT_LUNG), key=lambda number: int((sides == number).sum()))
        off = bool(free[box.slice_index, side])
        counts["boxes"] += 1
        counts["free"] += off
        for name, place in places.items():
            inside = bool(place[where][salient].mean() >= MOSTLY)
            counts[f"{name}, all"] += inside
            counts[name] += inside and off
    return counts


def explain_patient(volume: CTVolume, labels: np.ndarray, judge: Judge) -> tuple[str, Explanation]:
    """A patient's state, and what would be explained were it not absent; an absent one gets no boxes."""
    rules = SHIPPED.classification
    inputs = SliceInputs.of_volume(volume, labels, rules.window, rules.hide_outside_lungs)
    slices = classify_slices(judge.network, volume, inputs, rules.minimum_lung_mm2, rules.neighbours_mm)
    prediction = judge.decision.apply(rules.study_rule.apply(slices))
    asked = replace(prediction, state="indeterminate" if prediction.state == "absent" else prediction.state)
    explained = explain_slices(
        judge.network, volume, labels, inputs, slices, asked, SHIPPED.gradients, SHIPPED.explanation
    )
    return prediction.state, explained


def score_patient(data: Path, name: str, lungs: LungUNet, judges: Mapping[str, Judge]) -> dict[str, Any]:
    """`label`, the patient's class, and by judge `state`, `regions` and the counts."""
    volume = read_patient(data, name)
    labels = segment(lungs, volume).labels
    pixel_mm = volume.canonical_spacing_mm[1]
    places = {
        "hila": volume.from_canonical(roots_of_lungs(volume.to_canonical(labels), pixel_mm)),
        "domes": over_dome(labels, volume.hu, volume.spacing_mm[0]),
    }
    marked = read_marked_sides(data)[name]
    found: dict[str, Any] = {"label": PATIENT_CLASS[name]}
    for title, judge in judges.items():
        state, explained = explain_patient(volume, labels, judge)
        regions = len(explained.regions) + explained.unlisted_regions
        found[title] = {"state": state, "regions": regions} | count_boxes(explained, ~marked, places, labels)
    return found


def count_slices(slices: SliceSet, judge: Judge) -> Counts:
    """Boxes of healthy slices, each a study of its own: `slices`, those `not_absent`, `with_boxes`, `boxes`, `hila`."""
    rules = SHIPPED.explanation
    counts = dict.fromkeys(("slices", "not_absent", "with_boxes", "boxes", "hila"), 0)
    counts["slices"] = len(slices.hu)
    masked = SHIPPED.classification.hide_outside_lungs
    device = next(judge.network.parameters()).device
    scores: dict[str, Any] = {}
    for number, probabilities in enumerate(tqdm(predict(judge.network, slices, masked), desc="CT-0", unit="slice")):
        prediction = judge.decision.apply(tuple(map(float, probabilities)))  # type: ignore[arg-type]
        if prediction.state == "absent":
            continue
        counts["not_absent"] += 1
        if prediction.pneumonia_probability < rules.minimum_disease_probability:
            continue
        label = prediction.explained_class
        if label not in scores:
            scores[label] = SHIPPED.gradients.prepare(judge.network, CLASSES.index(label))
        lung, pixel_mm = slices.lung[number], float(slices.pixel_mm[number])
        path = SHIPPED.gradients.attribute(scores[label], torch.from_numpy(slices.image(number, masked)).to(device))
        regions = rules.salient_regions(rules.joint_saliency(path, pixel_mm) * lung, lung, pixel_mm)
        root = near_root(lung, pixel_mm)
        boxes = [regions == region for region in range(1, int(regions.max()) + 1)]
        counts["with_boxes"] += bool(boxes)
        counts["boxes"] += len(boxes)
        counts["hila"] += sum(bool(root[region].mean() >= MOSTLY) for region in boxes)
    return counts


def add_counts(parts: Sequence[Counts]) -> Counts:
    """The counts of all folds together."""
    return {name: sum(part[name] for part in parts) for name in parts[0]}


def score_boxes(
    data: Path, cache: Path, classifier: MultiScaleClassifier, lungs: LungUNet, patients: Sequence[str] = PATIENTS
) -> dict[str, Any]:
    """The report: `slices` of CT-0 by judge (`folds`, `shipped`), and `patients` by name, then by judge.

    Args:
        data: the CT data folder.
        cache: keeps the prepared slices of MosMedData.
        classifier: the one that ships, in evaluation mode.
        lungs: in evaluation mode.
        patients: some of the six.

    Raises:
        NoPictures: the data folder has no MosMedData.
    """
    mosmed = read_mosmed(data, cache, lungs)
    folds, shipped = judges_of_folds(), Judge(classifier, SHIPPED.classification.decision)
    predictions = next(one for one in read_predictions(EVIDENCE) if (one.row, one.task) == ("shipped", CLASSES))
    healthy, place = mosmed.select(mosmed.label == NP), mosmed.places(len(folds))[mosmed.label == NP]
    of_slices = {
        "folds": add_counts(
            [count_slices(healthy.select(place == number).slices, judge) for number, judge in enumerate(folds)]
        ),
        "shipped": count_slices(healthy.slices, shipped),
    }
    tested = patients_of_folds(predictions)
    judge_of = {name: judge for judge, names in zip(folds, tested, strict=True) for name in names}
    return {
        "slices": of_slices,
        "patients": {
            name: score_patient(data, name, lungs, {"folds": judge_of[name], "shipped": shipped}) for name in patients
        },
    }


def as_markdown(report: dict[str, Any]) -> str:
    """The report as a table with a caption."""
    lines = [
        "### Boxes on hila and domes",
        "",
        "Boxes where nobody marked disease: all of healthy slices and patients, and of the others those in a lung of "
        "which radiologists marked no lobe on that slice. Their marks miss disease of cap001. At a hilum: most of a "
        "box's salient pixels within 35 mm of the mediastinum, in the middle half of the lungs' height and depth; over "
        "a dome: tissue begins within 10 mm below. A patient whose pneumonia is absent gets no boxes: figures are what "
        "would be explained were it not. By the networks of the folds, which did not train on them, and [by the one "
        "that ships, which did].",
        "",
        "| case | state | regions | boxes | where nothing is marked | of these at a hilum | of these over a dome |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    folds, shipped = report["slices"]["folds"], report["slices"]["shipped"]
    lines.append(
        _row(
            f"MosMedData CT-0, {folds['slices']} slices",
            [f"{one['not_absent']} not absent, {one['with_boxes']} with boxes" for one in (folds, shipped)],
            ["–", "–"],
            *([str(one[name]) for one in (folds, shipped)] for name in ("boxes", "boxes", "hila")),
            ["–", "–"],
        )
    )
    for name, patient in report["patients"].items():
        judges = (patient["folds"], patient["shipped"])
        cells = [[str(one[key]) for one in judges] for key in ("state", "regions", "boxes", "free", "hila", "domes")]
        lines.append(_row(f"{name} ({patient['label']})", *cells))
    return "\n".join(lines) + "\n"


def _row(title: str, *cells: list[str]) -> str:
    return f"| {title} | " + " | ".join(f"{one} [{other}]" if one != "–" else one for one, other in cells) + " |"
