"""Does the saliency lie on the lesions? `python -m benchmarks.localisation --npz DIR --images DIR --masks DIR`.

Scores the shipped classifier's joint saliency, each scale, and other attribution methods on slices whose lesions
radiologists marked, inside the lungs. The lesion masks score and never train. With --data, boxes where no disease is
are counted as well (`benchmarks.boxes_off_disease`).
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from scipy import ndimage
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, f1_score
from tqdm import tqdm

from benchmarks import boxes_off_disease
from benchmarks.attribution_maps import AttributionMaps
from benchmarks.lesion_slices import LesionSlice, UnusableSet, read_pictures, read_volumes
from benchmarks.report_files import write_report
from groundglass.domain.class_names import CLASSES
from groundglass.domain.software import sha256_of
from groundglass.locations import ROOT
from groundglass.method.explanation import ExplanationRules
from groundglass.method.weights import WeightsRefused, load_classifier, load_lung_network
from groundglass.presets import SHIPPED
from training.data.pictures import PictureRefused
from training.data.public_slices import NoPictures

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.patches import Rectangle

RESULTS = ROOT / "benchmarks" / "results"
OVERLAPS = (0.1, 0.3)
"""IoU from which two boxes are the same place."""
MOSTLY_LESION = 0.5
"""Part of a box that lesions' boxes have to cover."""
SUPERVISED = "MiniSeg, which is trained on lesion masks, reaches a Dice of .76 on such slices: the ceiling, not a peer."
CHOICES = "What the paper leaves open"
CHOSEN_HERE = (
    "The defaults of app.yaml were chosen on these slices, with the weights of release 0.1: the figures of the joint "
    "saliency are on the bright side. No slice trained the classifier; images of three patients of lesion_masks, "
    "without their lesions' masks, trained the lung network."
)
FIGURES = {
    "pointing": "pointing game",
    "precision": "average precision",
    "dice": "Dice",
    **{f"box precision {overlap}": f"box precision, IoU {overlap}" for overlap in OVERLAPS},
    **{f"box recall {overlap}": f"box recall, IoU {overlap}" for overlap in OVERLAPS},
    "box on lesion": f"boxes at least {MOSTLY_LESION:.0%} on lesions",
}


@dataclass(frozen=True)
class SliceScores:
    """Figures of one map on one slice: each in [0, 1], None where there is nothing to judge."""

    figures: dict[str, float | None]
    found_fraction: float
    true_fraction: float


def boxes_of(regions: np.ndarray) -> np.ndarray:
    """`(box, 4)`: first row, first column, last row + 1, last column + 1 of each numbered region."""
    places = [place for place in ndimage.find_objects(regions) if place is not None]
    return np.array([[r.start, c.start, r.stop, c.stop] for r, c in places]).reshape(-1, 4)


def overlap_of_boxes(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Intersection over union of every pair, `(one, other)`."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = (high - low).clip(min=0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (one, other)]
    return np.asarray(shared / (areas[0][:, None] + areas[1][None, :] - shared))


def score_map(values: np.ndarray, item: LesionSlice, rules: ExplanationRules) -> SliceScores:
    """Every figure of one map, all inside the lungs; regions and boxes are made as the application makes them."""
    inside = values[item.lung]
    positive = item.lesion[item.lung]
    regions = rules.salient_regions(np.maximum(values, 0), item.lung, item.pixel_mm)
    salient = regions > 0
    numbered, count = ndimage.label(item.lesion, structure=np.ones((3, 3)))
    sizes = np.bincount(numbered.ravel(), minlength=count + 1)
    numbered[(sizes < rules.minimum_area_mm2 / item.pixel_mm**2)[numbered]] = 0
    found, true = boxes_of(regions), boxes_of(numbered)
    figures: dict[str, float | None] = {
        "pointing": float(positive[inside.argmax()]),
        "precision": float(average_precision_score(positive, inside)),
        "dice": float(f1_score(item.lesion.ravel(), salient.ravel())),  # the same figure by another name
    }
    overlaps = overlap_of_boxes(found, true)
    for limit in OVERLAPS:
        figures[f"box precision {limit}"] = float((overlaps >= limit).any(axis=1).mean()) if len(found) else None
        figures[f"box recall {limit}"] = float((overlaps >= limit).any(axis=0).mean()) if len(true) else None
    covered = np.zeros(item.lung.shape, dtype=bool)
    for box in true:
        covered[box[0] : box[2], box[1] : box[3]] = True
    parts = [covered[box[0] : box[2], box[1] : box[3]].mean() >= MOSTLY_LESION for box in found]
    figures["box on lesion"] = float(np.mean(parts)) if parts else None
    lungs = int(item.lung.sum())
    return SliceScores(figures, int(salient.sum()) / lungs, int(item.lesion.sum()) / lungs)


def summarise(scores: Sequence[SliceScores], groups: Sequence[str], repeats: int, seed: int = 0) -> dict[str, Any]:
    """Means over slices with 95 % intervals by bootstrap over groups, and how well the infected fraction is told."""
    rng = np.random.default_rng(seed)
    names = sorted(set(groups))
    members = [np.nonzero(np.array(groups) == name)[0] for name in names]
    samples = [
        np.concatenate([members[group] for group in rng.integers(len(names), size=len(names))]) for _ in range(repeats)
    ]
    row: dict[str, Any] = {}
    for figure in FIGURES:
        values = np.array([item.figures[figure] for item in scores], dtype=float)
        row[figure] = {
            "value": _mean(values),
            "interval": [float(end) for end in np.nanpercentile([_mean(values[s]) for s in samples], (2.5, 97.5))],
        }
    found, true = (np.array([getattr(item, f"{name}_fraction") for item in scores]) for name in ("found", "true"))
    row["infected fraction"] = {
        "spearman": float(spearmanr(found, true)[0]) if np.ptp(found) > 0 and np.ptp(true) > 0 else None,
        "mean_error": float((found - true).mean()),
        "mean_absolute_error": float(np.abs(found - true).mean()),
        "mean_found": float(found.mean()),
        "mean_true": float(true.mean()),
    }
    return row


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def as_markdown(report: dict[str, Any]) -> str:
    """The report as tables."""
    counts = "; ".join(f"{name} {n['slices']} slices ({n['groups']})" for name, n in report["sets"].items())
    lines = [
        f"Localisation of the class {report['target']} on slices with lesions that radiologists marked: {counts}. "
        f"Weights `{report['weights'][:16]}`, {report['rule']}, {report['steps']} nodes. All inside the lungs. In "
        "brackets: 95 % intervals by bootstrap over patients, or over slices where the patient is not known. "
        + SUPERVISED
    ]
    for title, rows in (("Methods", report["rows"]), (CHOICES, report["ablation"])):
        lines += ["", f"### {title}", ""]
        if title == CHOICES:
            lines += [CHOSEN_HERE, ""]
        names = list(FIGURES.values())
        lines.append("| row | " + " | ".join(names) + " | infected fraction: Spearman, mean error |")
        lines.append("| --- " * (len(names) + 2) + "|")
        for name, row in rows.items():
            cells = [_cell(row[figure], figure in ("pointing", "precision", "dice")) for figure in FIGURES]
            part = row["infected fraction"]
            rank = "–" if part["spearman"] is None else f"{part['spearman']:.2f}"
            lines.append(f"| {name} | {' | '.join(cells)} | {rank}, {part['mean_error']:+.3f} |")
    lines += ["", "Average precision and pointing game by set:", ""]
    lines.append("| row | " + " | ".join(report["sets"]) + " |")
    lines.append("| --- " * (len(report["sets"]) + 1) + "|")
    for name, by_set in report["by_set"].items():
        cells = [f"{by_set[s]['precision']['value']:.3f}, {by_set[s]['pointing']['value']:.2f}" for s in report["sets"]]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    if "boxes" in report:
        lines += ["", boxes_off_disease.as_markdown(report["boxes"]).rstrip()]
    return "\n".join(lines) + "\n"


def _cell(figure: dict[str, Any], with_interval: bool) -> str:
    if not np.isfinite(figure["value"]):
        return "–"
    interval = f" [{figure['interval'][0]:.2f}, {figure['interval'][1]:.2f}]" if with_interval else ""
    return f"{figure['value']:.3f}{interval}"


def draw_cases(cases: Sequence[tuple[LesionSlice, np.ndarray, float]], path: Path, with_ct: bool) -> None:
    """The best and the worst slices by average precision.

    Lungs in grey outline, lesions as radiologists marked them in green, saliency as colour and boxes in red.

    Args:
        cases: slice, joint saliency and average precision.
        path: PNG to write.
        with_ct: the CT beside the saliency; such a picture shows patients and stays out of the repository.
    """
    ordered = sorted(cases, key=lambda case: -case[2])
    rules = SHIPPED.explanation
    shown = [("best", case) for case in ordered[:4]] + [("worst", case) for case in ordered[-4:]]
    figure, axes = pyplot.subplots(4 if with_ct else 2, 4, figsize=(12, 12.6 if with_ct else 6.4), squeeze=False)
    for place, (title, (item, values, precision)) in enumerate(shown):
        regions = rules.salient_regions(values, item.lung, item.pixel_mm)
        pictures = [(np.where(item.lung, values, 0), "magma")] + ([(item.image, "gray")] if with_ct else [])
        for row, (picture, colours) in enumerate(pictures):
            axis = axes[len(pictures) * (place // 4) + row, place % 4]
            axis.imshow(picture, cmap=colours)
            axis.contour(item.lung, [0.5], colors="gray", linewidths=0.7)
            axis.contour(item.lesion, [0.5], colors="lime", linewidths=0.9)
            for box in boxes_of(regions):
                corner, size = (box[1], box[0]), (box[3] - box[1], box[2] - box[0])
                axis.add_patch(Rectangle(corner, *size, fill=False, color="red"))
            axis.set_title(f"{title}: average precision {precision:.2f}", fontsize=9)
            axis.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def main(arguments: list[str] | None = None) -> int:
    """Write localisation.json, .md and the pictures, and print the tables; 2 where a folder can't be used."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.localisation",
        description=__doc__,
        epilog="example: python -m benchmarks.localisation --npz lesion_masks lesion_volumes --out results",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--images", type=Path, help="folder of PNG slices, 8-bit")
    parser.add_argument("--masks", type=Path, help="folder of lesion masks, named like the images")
    parser.add_argument("--npz", type=Path, nargs="+", default=[], help="folders of .npz with image, lung and lesion")
    parser.add_argument("--data", type=Path, help="the CT data folder: boxes on hila and domes are counted as well")
    parser.add_argument("--cache", type=Path, default=Path("runs/slices"), help="for MosMedData (default runs/slices)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="default benchmarks/results")
    parser.add_argument("--classifier", type=Path, help="weights (default: the shipped ones)")
    parser.add_argument("--slices-each", type=int, default=8, help="slices of each .npz (default 8)")
    parser.add_argument("--target", choices=CLASSES[1:], default="covid19", help="class to explain (default covid19)")
    parser.add_argument("--repeats", type=int, default=1000, help="bootstrap draws (default 1000)")
    options = parser.parse_args(arguments)
    if (options.images is None) != (options.masks is None) or not (options.images or options.npz):
        parser.error("Name --npz, or both --images and --masks.")
    try:
        report, cases = run(options)
        if options.data:
            report["boxes"] = count_boxes(options)
    except (UnusableSet, NoPictures, PictureRefused, WeightsRefused) as error:
        print(error, file=sys.stderr)
        return 2
    write_report(report, as_markdown(report), options.out, "localisation")
    draw_cases(cases, options.out / "localisation.png", with_ct=False)
    draw_cases(cases, options.out / "localisation_with_ct.png", with_ct=True)
    return 0


def count_boxes(options: argparse.Namespace) -> dict[str, Any]:
    """Boxes where no disease is."""
    models = ROOT / "models"
    classifier = load_classifier(options.classifier or models / SHIPPED.classifier_weights.file)
    lungs = load_lung_network(models / SHIPPED.lungs_weights.file)
    return boxes_off_disease.score_boxes(options.data, options.cache, classifier, lungs)


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[tuple[LesionSlice, np.ndarray, float]]]:
    """Score every row; returns the report, and each slice with the joint saliency and its average precision."""
    settings = SHIPPED
    models = ROOT / "models"
    classifier = options.classifier or models / settings.classifier_weights.file
    items = [item for folder in options.npz for item in read_volumes(folder, options.slices_each)]
    if options.images:
        items += read_pictures(options.images, options.masks, load_lung_network(models / settings.lungs_weights.file))
    items = [item for item in items if item.lesion.any()]
    rules = settings.explanation
    methods = AttributionMaps(load_classifier(classifier), CLASSES.index(options.target), settings.gradients, rules)
    rng = np.random.default_rng(0)
    scores: dict[str, dict[str, list[SliceScores]]] = {"rows": {}, "ablation": {}}
    cases = []
    chosen = f"joint, {settings.gradients.reading}"
    for item in tqdm(items, desc="localisation", unit="slice"):
        integrals = methods.integrals(item)
        compared = methods.compared(item, integrals, rng)
        for part, maps in (("rows", compared), ("ablation", methods.ablation(item, integrals))):
            for name, values in maps.items():
                scores[part].setdefault(name, []).append(score_map(values, item, rules))
        precision = scores["rows"][chosen][-1].figures["precision"]
        cases.append((item, compared[chosen], float(precision or 0.0)))
    groups = [item.group for item in items]
    sets = list(dict.fromkeys(item.source for item in items))
    of_set = {name: [place for place, item in enumerate(items) if item.source == name] for name in sets}
    report = {
        "target": options.target,
        "weights": sha256_of(classifier),
        "rule": settings.gradients.rule,
        "steps": settings.gradients.steps,
        "sets": {
            name: {
                "slices": len(places),
                "groups": "patients unknown"
                if len({groups[p] for p in places}) == len(places)
                else f"{len({groups[p] for p in places})} patients",
            }
            for name, places in of_set.items()
        },
        **{
            part: {name: summarise(values, groups, options.repeats) for name, values in rows.items()}
            for part, rows in scores.items()
        },
        "by_set": {
            row: {
                name: summarise([values[p] for p in places], [groups[p] for p in places], 1)
                for name, places in of_set.items()
            }
            for row, values in scores["rows"].items()
        },
    }
    return report, cases


if __name__ == "__main__":
    raise SystemExit(main())
