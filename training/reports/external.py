"""Figures of the shipped classifier on 8-bit slices from elsewhere."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import accuracy_score, f1_score
from tqdm import tqdm

from groundglass.domain.class_names import CLASS_ABBREVIATIONS, CLASSES
from groundglass.method.slice_classification import StudyRule
from groundglass.pipeline import Pipeline
from training.data.external_images import ImageFile, UnusableImages
from training.data.pictures import PictureRefused, gather_pictures, prepare_picture, read_picture
from training.engine.inference import predict
from training.reports.metrics import FEWEST_PATIENTS, area_under_curve, count_answers, figures_of_classes
from training.reports.prediction_levels import patient_probabilities

_CHUNK = 32
"""Pictures in memory at a time."""
_FIGURES = {"SEN": "sensitivity", "PRC": "precision", "SPE": "specificity", "AUC": "AUC"}
OVERALL = {"accuracy": "accuracy", "macro_f1": "macro F1", "auc_diseased": "AUC, diseased against normal"}


def predict_images(images: Sequence[ImageFile], pipeline: Pipeline) -> tuple[np.ndarray, np.ndarray, str]:
    """Probabilities `(image, class)`, whether lungs were found `(image,)`, and the SHA-256 of the pictures and labels.

    Weights, masking and device are the pipeline's.

    Raises:
        UnusableImages: a picture can't be decoded.
    """
    masked = pipeline.settings.classification.hide_outside_lungs
    digest = hashlib.sha256()
    probabilities, found = [], []
    with tqdm(total=len(images), desc="external images", unit="image") as bar:
        for first in range(0, len(images), _CHUNK):
            pictures = []
            for image in images[first : first + _CHUNK]:
                try:
                    grey = read_picture(image.path)
                except PictureRefused as error:
                    raise UnusableImages(f"{error} Replace or remove it: none is left out.") from error
                digest.update(f"{image.label} {image.patient} {grey.shape} ".encode() + grey.tobytes())
                pictures.append(prepare_picture(pipeline.lung_network, grey))
                bar.update()
            slices, _ = gather_pictures(pictures)
            probabilities.append(predict(pipeline.classifier, slices, masked))
            found += [picture.found for picture in pictures]
    return np.concatenate(probabilities), np.array(found, dtype=bool), digest.hexdigest()


def figures_of(label: np.ndarray, probabilities: np.ndarray) -> dict[str, float | None]:
    """Every figure by name: `accuracy`, `macro_f1`, `auc_diseased`, and `<class>/SEN`, PRC, SPE and AUC.

    Macro F1 is the mean over the classes that are there. None where a figure has no meaning.
    """
    predicted = probabilities.argmax(axis=1)
    healthy, diseased = (1 - probabilities[chosen, 0] for chosen in (label == 0, label > 0))
    figures: dict[str, float | None] = {
        "accuracy": float(accuracy_score(label, predicted)),
        "macro_f1": float(f1_score(label, predicted, labels=np.unique(label), average="macro")),
        "auc_diseased": area_under_curve(diseased, healthy) if len(healthy) and len(diseased) else None,
    }
    for name, values in zip(CLASSES, figures_of_classes(label, probabilities), strict=True):
        figures |= {f"{name}/{figure}": values[figure] for figure in _FIGURES}
    return figures


def score_level(
    label: np.ndarray, probabilities: np.ndarray, patient: np.ndarray, repeats: int, seed: int
) -> dict[str, Any]:
    """Figures of slices or of patients, each with a 95 % interval by bootstrap over patients.

    Args:
        label: index into CLASSES, `(sample,)`.
        probabilities: `(sample, class)`.
        patient: number of each sample's patient, `(sample,)`: all samples of a patient are drawn together, and as many
            patients of each class as there are. Where a class has fewer than FEWEST_PATIENTS there is no interval:
            drawing from so few would make it far too narrow.
        repeats: draws.
        seed: of the draws.
    """
    value = figures_of(label, probabilities)
    order = np.argsort(patient, kind="stable")
    names, first = np.unique(patient[order], return_index=True)
    members = np.split(order, first[1:])
    by_class = [np.nonzero(label[order[first]] == index)[0] for index in np.unique(label)]
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(repeats if min(map(len, by_class)) >= FEWEST_PATIENTS else 0):
        chosen = np.concatenate([rng.choice(group, len(group)) for group in by_class])
        rows = np.concatenate([members[number] for number in chosen])
        draws.append(figures_of(label[rows], probabilities[rows]))
    intervals = {}
    for name in value:
        known = [found for draw in draws if (found := draw[name]) is not None]
        intervals[name] = [float(end) for end in np.percentile(known, (2.5, 97.5))] if known else None
    return {
        "samples": {name: int((label == index).sum()) for index, name in enumerate(CLASSES)},
        "patients": len(names),
        "figures": {name: {"value": value[name], "interval": intervals[name]} for name in value},
        "confusion_true_by_predicted": count_answers(label, probabilities.argmax(axis=1), len(CLASSES)).tolist(),
    }


def score(
    images: Sequence[ImageFile], probabilities: np.ndarray, found: np.ndarray, rule: StudyRule, repeats: int, seed: int
) -> dict[str, Any]:
    """All figures, of slices and of patients; a patient's probabilities come from all their slices by `rule`."""
    label = np.array([image.label for image in images])
    number = {patient: index for index, patient in enumerate(sorted({image.patient for image in images}))}
    patient = np.array([number[image.patient] for image in images])
    names, first = np.unique(patient, return_index=True)
    pooled = np.stack([patient_probabilities(probabilities[patient == name], CLASSES, rule) for name in names])
    return {
        "images": len(images),
        "scans": len({(image.patient, image.scan) for image in images}),
        "patients": len(names),
        "patients_by_class": {name: int((label[first] == index).sum()) for index, name in enumerate(CLASSES)},
        "without_lungs": {name: int((~found[label == index]).sum()) for index, name in enumerate(CLASSES)},
        "bootstrap": {"repeats": repeats, "seed": seed},
        "slice": score_level(label, probabilities, patient, repeats, seed),
        "patient": score_level(label[first], pooled, names, repeats, seed),
    }


def as_markdown(report: dict[str, Any]) -> str:
    """The report as tables."""
    by_class = ", ".join(f"{CLASS_ABBREVIATIONS[name]} {count}" for name, count in report["patients_by_class"].items())
    missed = ", ".join(f"{CLASS_ABBREVIATIONS[name]} {count}" for name, count in report["without_lungs"].items())
    lines = [
        f"Shipped classifier on {report['images']} 8-bit slices of {report['scans']} scans of {report['patients']} "
        f"patients ({by_class}); a number under another class is another patient. Patients: study rule over all slices "
        "of the patient. In brackets: 95 % intervals by bootstrap over patients, class by class "
        f"({report['bootstrap']['repeats']} draws), none where a class has fewer than {FEWEST_PATIENTS}. No lungs "
        f"were found on {sum(report['without_lungs'].values())} slices ({missed}): they are scored on the whole "
        "picture. "
        f"Fingerprint of the images `{report['fingerprint']}`."
    ]
    for unit, title in (("slice", "Slices"), ("patient", "Patients")):
        level = report[unit]
        head = ["class", "N", *_FIGURES.values()]
        lines += ["", f"### {title}", "", _line(head), _line(["---"] * len(head))]
        for name in CLASSES:
            cells = [_cell(level["figures"][f"{name}/{figure}"]) for figure in _FIGURES]
            lines.append(_line([CLASS_ABBREVIATIONS[name], str(level["samples"][name]), *cells]))
        lines += ["", _line(["N", *OVERALL.values()]), _line(["---"] * (len(OVERALL) + 1))]
        cells = [_cell(level["figures"][name]) for name in OVERALL]
        lines.append(_line([str(sum(level["samples"].values())), *cells]))
        titles = [CLASS_ABBREVIATIONS[name] for name in CLASSES]
        lines += ["", _line(["true \\ predicted", *titles]), _line(["---"] * 4)]
        for name, counts in zip(titles, level["confusion_true_by_predicted"], strict=True):
            lines.append(_line([name, *map(str, counts)]))
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(figure: dict[str, Any]) -> str:
    if figure["value"] is None:
        return "–"
    text = f"{figure['value']:.3f}"
    return f"{text} [{figure['interval'][0]:.3f}, {figure['interval'][1]:.3f}]" if figure["interval"] else text


def draw_confusion(report: dict[str, Any]) -> Figure:
    """Confusion matrices of slices and patients, as counts and as parts of the true class."""
    figure = Figure(figsize=(8.6, 4.6), layout="constrained")
    titles = [CLASS_ABBREVIATIONS[name] for name in CLASSES]
    for axes, unit in zip(figure.subplots(1, 2), ("slice", "patient"), strict=True):
        confusion = np.array(report[unit]["confusion_true_by_predicted"])
        parts = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
        axes.imshow(parts, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(confusion):
            color = "white" if parts[row, column] > 0.55 else "black"
            text = f"{count}\n{100 * parts[row, column]:.0f} %"
            axes.text(column, row, text, ha="center", va="center", color=color)
        axes.set(title=f"{confusion.sum()} {unit}s", xlabel="Predicted", ylabel="True")
        axes.set_xticks(range(len(titles)), titles)
        axes.set_yticks(range(len(titles)), titles)
        axes.tick_params(length=0)
    figure.suptitle(f"Shipped classifier, external images of {report['patients']} patients")
    return figure
