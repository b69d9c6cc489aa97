"""Score the shipped classifier on 8-bit slices from elsewhere: `python -m training.evaluate_external --images DIR`.

DIR holds `<class>/<prefix>_<patient>_<scan>_<slice>.png` (or .jpg), the classes named `covid-19`, `pneumonia` and
`normal`; one or two of them may be missing. Nothing is tuned to the folder: weights, masking and study rule are those
of app.yaml, and every picture is prepared alike (see `training.image_slices`).
"""

import argparse
import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from tqdm import tqdm

from groundglass.domain.class_names import CLASS_ABBREVIATIONS, CLASSES
from groundglass.locations import SETTINGS_FILE
from groundglass.method.lung_network import LungUNet
from groundglass.method.slice_classification import StudyRule
from groundglass.method.weights import WeightsRefused, load_classifier, load_lung_network
from groundglass.settings import load_settings
from training.classifier import predict
from training.image_slices import Picture, PictureRefused, gather_pictures, has_8_bits, prepare_picture, read_picture
from training.metrics import FEWEST_PATIENTS, area_under_curve, confusion_matrix, figures_of_classes
from training.tables import patient_probabilities

FOLDER_CLASS = {"normal": "np", "pneumonia": "cap", "covid-19": "covid19"}
_NAME = re.compile(r"(?P<prefix>\w[\w-]*)_(?P<patient>[^\W_]+)_(?P<scan>[^\W_]+)_(?P<slice>[^\W_]+)")
_PICTURES = {".png", ".jpg", ".jpeg"}
_CHUNK = 32
"""Pictures in memory at a time."""
_FIGURES = {"SEN": "sensitivity", "PRC": "precision", "SPE": "specificity", "AUC": "AUC"}
OVERALL = {"accuracy": "accuracy", "macro_f1": "macro F1", "auc_diseased": "AUC, diseased against normal"}


class UnusableImages(ValueError):
    """The folder of images is not laid out as it must be, or holds pictures that can't be read."""


@dataclass(frozen=True)
class ImageFile:
    """One picture: its class, index into CLASSES, and the keys of its patient and scan."""

    path: Path
    label: int
    patient: tuple[str, str, str]
    scan: str


def list_images(folder: Path) -> list[ImageFile]:
    """All pictures, sorted; every file is checked before anything is scored.

    A patient is one folder, one prefix and one patient number: the same number under another class is someone else.

    Raises:
        UnusableImages: no such folder or no pictures, an unknown class folder, a name of another form, a damaged file.
    """
    if not folder.is_dir():
        raise UnusableImages(f"There is no folder {folder}: give the folder that holds {_folders()} with --images.")
    classes = sorted(item for item in folder.iterdir() if item.is_dir() and not item.name.startswith("."))
    unknown = [item.name for item in classes if item.name not in FOLDER_CLASS]
    if unknown:
        raise UnusableImages(_refusal("class folders are unknown", unknown, f"The class folders are {_folders()}."))
    images: list[ImageFile] = []
    misnamed = [item.name for item in sorted(folder.iterdir()) if item.suffix.lower() in _PICTURES]
    for item in classes:
        for path in sorted(item.rglob("*")):
            is_folder = path.is_dir() and not path.is_symlink()
            if is_folder or any(part.startswith(".") for part in path.relative_to(item).parts):
                continue
            match = _NAME.fullmatch(path.stem) if path.parent == item else None
            if match is None or path.suffix.lower() not in _PICTURES:
                misnamed.append(str(path.relative_to(folder)))
                continue
            patient = (item.name, match["prefix"], match["patient"])
            images.append(ImageFile(path, CLASSES.index(FOLDER_CLASS[item.name]), patient, match["scan"]))
    if misnamed:
        form = "Pictures are named <class>/<prefix>_<patient>_<scan>_<slice>.png (or .jpg)."
        raise UnusableImages(_refusal("files have names of another form", misnamed, form))
    if not images:
        raise UnusableImages(f"The folder holds no pictures: put PNG or JPEG files into {_folders()}.")
    damaged = [str(image.path.relative_to(folder)) for image in images if not _is_sound(image.path)]
    if damaged:
        advice = "Replace or remove them: none is left out."
        raise UnusableImages(_refusal("pictures can't be read, or have more than 8 bits a channel", damaged, advice))
    return images


def _folders() -> str:
    return ", ".join(FOLDER_CLASS)


def _refusal(trouble: str, names: Sequence[str], advice: str) -> str:
    return f"{len(names)} {trouble}, first: {', '.join(names[:5])}. {advice}"


def _is_sound(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            sound = has_8_bits(image)
            image.verify()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
    return sound


@dataclass(frozen=True)
class Shipped:
    """The shipped networks with the settings of app.yaml that scoring needs."""

    lungs: LungUNet
    predict: Callable[[Sequence[Picture]], np.ndarray]
    rule: StudyRule
    masked: bool
    sha256: dict[str, str]


def load_shipped(models: Path, settings: Path = SETTINGS_FILE) -> Shipped:
    """Read both networks, each checked against its SHA-256.

    Raises:
        WeightsRefused: a weight file is missing or is not the one app.yaml names.
    """
    read = load_settings(settings)
    files = {"lungs": read.lungs_weights, "classifier": read.classifier_weights}
    lungs = load_lung_network(models / files["lungs"].file, files["lungs"].sha256)
    classifier = load_classifier(models / files["classifier"].file, files["classifier"].sha256)
    masked = read.classification.hide_outside_lungs
    return Shipped(
        lungs.to("cuda" if torch.cuda.is_available() else "cpu"),
        lambda pictures: predict(classifier, gather_pictures(pictures)[0], masked),
        read.classification.study_rule,
        masked,
        {name: entry.sha256 for name, entry in files.items()},
    )


def predict_images(images: Sequence[ImageFile], shipped: Shipped) -> tuple[np.ndarray, np.ndarray, str]:
    """Probabilities `(image, class)`, whether lungs were found `(image,)`, and the SHA-256 of the pictures and labels.

    Raises:
        UnusableImages: a picture can't be decoded.
    """
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
                pictures.append(prepare_picture(shipped.lungs, grey))
                bar.update()
            probabilities.append(shipped.predict(pictures))
            found += [picture.found for picture in pictures]
    return np.concatenate(probabilities), np.array(found, dtype=bool), digest.hexdigest()


def figures_of(label: np.ndarray, probabilities: np.ndarray) -> dict[str, float | None]:
    """Every figure by name: `accuracy`, `macro_f1`, `auc_diseased`, and `<class>/SEN`, PRC, SPE and AUC.

    Macro F1 is the mean over the classes that are there. None where a figure has no meaning.
    """
    confusion = confusion_matrix(label, probabilities.argmax(axis=1), len(CLASSES))
    healthy, diseased = (1 - probabilities[chosen, 0] for chosen in (label == 0, label > 0))
    claims = confusion.sum(axis=1) + confusion.sum(axis=0)
    f1 = (2 * confusion.diagonal() / np.maximum(claims, 1))[confusion.sum(axis=1) > 0]
    figures: dict[str, float | None] = {
        "accuracy": float(confusion.trace() / confusion.sum()),
        "macro_f1": float(f1.mean()),
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
        "confusion_true_by_predicted": confusion_matrix(label, probabilities.argmax(axis=1), len(CLASSES)).tolist(),
    }


def score(
    images: Sequence[ImageFile], probabilities: np.ndarray, found: np.ndarray, rule: StudyRule, repeats: int, seed: int
) -> dict[str, Any]:
    """All figures, of slices and of patients; a patient's probabilities come from all his slices by `rule`."""
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


def main(arguments: list[str] | None = None) -> int:
    """Write external.json, external.md and external-confusion.png, and print the tables; 2 where it can't."""
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate_external",
        description=__doc__,
        epilog="example: python -m training.evaluate_external --images ../external --out runs/external",
    )
    parser.add_argument("--images", type=Path, required=True, help=f"folder that holds {_folders()}")
    parser.add_argument("--models", type=Path, default=Path("models"), help="model folder (default: models)")
    parser.add_argument("--out", type=Path, default=Path("runs/external"), help="default: runs/external")
    parser.add_argument("--repeats", type=int, default=1000, help="bootstrap draws (default 1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default 0)")
    options = parser.parse_args(arguments)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=options.out):
            pass  # scoring takes long: its figures must have a place to go
    except OSError as error:
        print(f"The output folder can't be written ({error.strerror}). Give another with --out.", file=sys.stderr)
        return 2
    try:
        images = list_images(options.images)
        shipped = load_shipped(options.models)
        probabilities, found, fingerprint = predict_images(images, shipped)
    except (UnusableImages, WeightsRefused) as error:
        print(error, file=sys.stderr)
        return 2
    report = score(images, probabilities, found, shipped.rule, options.repeats, options.seed)
    report |= {"fingerprint": fingerprint, "hide_outside_lungs": shipped.masked, "weights_sha256": shipped.sha256}
    (options.out / "external.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    markdown = as_markdown(report)
    (options.out / "external.md").write_text(markdown, encoding="utf-8")
    draw_confusion(report).savefig(options.out / "external-confusion.png", dpi=120)
    print(markdown)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
