"""Slices whose saliency comes from their neighbours, against lesion masks: `python -m benchmarks.saliency_spacing`.

Whole series of four patients, 1.1 to 1.5 mm from slice to slice, as `saliency.spacing_mm` has them explained: the joint
saliency of each slice is computed once; then all but every n-th slice take it from the computed slices before and
behind, by the mean that ships and by two others. The lesion masks score and never train.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.lesion_slices import LesionSlice, cut_slice, usable_slices
from benchmarks.localisation import score_map
from benchmarks.report_files import write_report
from benchmarks.saliency_cost import FIGURES
from groundglass.domain.arrays import FloatMap
from groundglass.domain.class_names import CLASSES
from groundglass.domain.software import sha256_of
from groundglass.locations import ROOT
from groundglass.method.explanation import between, spread
from groundglass.method.slice_input import LungSquare
from groundglass.method.weights import load_classifier
from groundglass.presets import SHIPPED
from training.engine.options import add_data_option

RESULTS = ROOT / "benchmarks" / "results"
THIN = "lesion_masks"
STEPS = (2, 3, 4, 6)
"""Slices from one that is computed to the next; 4 is about the 5 mm of app.yaml."""
Mean = Callable[[FloatMap, FloatMap, float], FloatMap]


def _arithmetic(before: FloatMap, after: FloatMap, part: float) -> FloatMap:
    return (1 - part) * before + part * after


def _geometric(before: FloatMap, after: FloatMap, part: float) -> FloatMap:
    return before ** (1 - part) * after**part


MEANS: dict[str, Mean] = {"harmonic": between, "geometric": _geometric, "arithmetic": _arithmetic}
"""Of the slices before and behind; the first one ships."""


@dataclass(frozen=True)
class Series:
    """The slices of one patient that show a lesion, in order, and the joint saliency of each, `(224, 224)`."""

    patient: str
    indices: tuple[int, ...]
    items: tuple[LesionSlice, ...]
    saliency: tuple[FloatMap, ...]


def compute(folder: Path, classifier: Path, target: str) -> list[Series]:
    """Of every series in a folder."""
    network, rules, gradients = load_classifier(classifier), SHIPPED.explanation, SHIPPED.gradients
    scores = gradients.prepare(network, CLASSES.index(target))
    found = []
    for path in tqdm(sorted(folder.glob("*.npz")), desc="patients", unit="patient"):
        with np.load(path) as stored:
            image, lung, lesion = stored["image"], stored["lung"], stored["lesion"] & stored["lung"]
        square = LungSquare.around(lung, (1.0, 1.0))
        indices = tuple(int(index) for index in usable_slices(lung, lesion))
        items = tuple(
            cut_slice(folder.name, path.stem, image[index], lung[index], lesion[index], square) for index in indices
        )
        saliency = tuple(
            rules.joint_saliency(gradients.attribute(scores, torch.from_numpy(item.image)), item.pixel_mm) * item.lung
            for item in tqdm(items, desc=path.stem, unit="slice", leave=False)
        )
        found.append(Series(path.stem, indices, items, saliency))
    return found


def spaced(series: Series, step: int, mean: Mean) -> list[FloatMap]:
    """The saliency of every slice, where that of every `step`-th is its own."""
    own = dict(zip(series.indices, series.saliency, strict=True))
    computed = spread(series.indices, step)
    maps = []
    for index, item in zip(series.indices, series.items, strict=True):
        before = max(place for place in computed if place <= index)
        after = min(place for place in computed if place >= index)
        part = (index - before) / max(after - before, 1)
        values = own[index] if index in computed else mean(own[before], own[after], part)
        maps.append((values * item.lung).astype(np.float32))
    return maps


def score(series: list[Series], step: int, mean: Mean) -> dict[str, Any]:
    """Means of all figures over all slices, and the salient fraction by patient."""
    rules = SHIPPED.explanation
    rows: list[list[float]] = []
    by_patient = {}
    for one in series:
        maps = spaced(one, step, mean)
        figures = []
        for item, own, values in zip(one.items, one.saliency, maps, strict=True):
            scores = score_map(values, item, rules)
            salient, of_own = (rules.salient_regions(each, item.lung, item.pixel_mm) > 0 for each in (values, own))
            same = float((salient & of_own).sum() / max((salient | of_own).sum(), 1))
            figures.append([*(scores.figures[name] or 0.0 for name in FIGURES), scores.found_fraction, same])
        by_patient[one.patient] = float(np.mean([row[len(FIGURES)] for row in figures]))
        rows += figures
    names = (*FIGURES, "salient fraction", "same pixels")
    means = dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True))
    return means | {"salient fraction by patient": by_patient}


def as_markdown(report: dict[str, Any]) -> str:
    """The report as a table."""
    names = [*FIGURES.values(), "salient fraction", "same pixels"]
    lines = [
        f"Joint saliency of the class {report['target']}, weights `{report['weights'][:16]}`, on all "
        f"{report['slices']} slices of `{THIN}` that show enough lung and lesion, {report['patients']} patients. "
        "Slices whose saliency is not computed take the mean of the computed ones before and behind, weighted by how "
        f"near they are; the {next(iter(MEANS))} mean ships. Same pixels: intersection over union of the salient "
        "pixels with those of the slice's own saliency. Written by `python -m benchmarks.saliency_spacing`.",
        "",
        f"| computed | mean | {' | '.join(names)} | salient fraction by patient |",
        f"| --- | --- |{' ---: |' * len(names)} --- |",
    ]
    for row in report["rows"]:
        own = "each" if row["step"] == 1 else f"one in {row['step']}"
        values = " | ".join(f"{row[key]:.3f}" for key in (*FIGURES, "salient fraction", "same pixels"))
        patients = ", ".join(f"{value:.3f}" for value in row["salient fraction by patient"].values())
        lines.append(f"| {own} | {row['mean']} | {values} | {patients} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write saliency_spacing.json and .md, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.saliency_spacing", description=__doc__)
    add_data_option(parser)
    parser.add_argument("--target", choices=CLASSES[1:], default="covid19", help="class to explain (default covid19)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="default benchmarks/results")
    options = parser.parse_args(arguments)
    classifier = ROOT / "models" / SHIPPED.classifier_weights.file
    series = compute(options.data / THIN, classifier, options.target)
    asked = [(1, "", between), *((step, name, mean) for step in STEPS for name, mean in MEANS.items())]
    report = {
        "target": options.target,
        "weights": sha256_of(classifier),
        "patients": len(series),
        "slices": sum(len(one.items) for one in series),
        "rows": [
            {"step": step, "mean": name, **score(series, step, mean)}
            for step, name, mean in tqdm(asked, desc="rows", unit="row")
        ],
    }
    write_report(report, as_markdown(report), options.out, "saliency_spacing")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
