"""Nodes and spacing of the saliency, what they cost and where it then looks: `python -m benchmarks.saliency_cost`.

Each row makes the joint saliency of the same slices with lesions that radiologists marked, inside the lungs; it is held
against the masks and against the midpoint rule with twelve nodes, which was the default before. The rows "between" make
a slice of `lesion_masks` from its neighbours two slices before and behind it, without computing the slice itself.
Costs are core seconds of gradients alone, and operations follow the nodes.
"""

import argparse
import hashlib
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.lesion_slices import LesionSlice, cut_slice, evenly, read_pictures, usable_slices
from benchmarks.localisation import SliceScores, score_map
from benchmarks.machine import describe_machine
from benchmarks.report_files import write_report
from groundglass.domain.class_names import CLASSES
from groundglass.domain.software import sha256_of
from groundglass.locations import ROOT
from groundglass.method.saliency import IntegratedGradients, Rule
from groundglass.method.slice_input import LungSquare, normalise_square
from groundglass.method.weights import load_classifier, load_lung_network
from groundglass.presets import SHIPPED
from training.data.pictures import place_window
from training.engine.options import add_data_option

RESULTS = ROOT / "benchmarks" / "results"
BEFORE: tuple[Rule, int] = ("midpoint", 12)
RULES: tuple[tuple[Rule, int], ...] = (BEFORE, ("gauss_jacobi", 4), ("gauss_jacobi", 5))
BETWEEN: tuple[tuple[Rule, int], ...] = (("gauss_jacobi", 4),)
"""Rows that are made of neighbours too."""
GAP = 2
"""Slices from one that is made of its neighbours to each of them; of `lesion_masks`, which are 1.1 to 1.5 mm apart, so
that it lies in the middle of about 5 mm."""
THIN = "lesion_masks"
Scores = dict[str, dict[str, float]]
"""Of one slice: figures by row."""
FIGURES = {"precision": "average precision", "pointing": "pointing game", "dice": "Dice"}


@dataclass(frozen=True)
class Sample:
    """A slice, and its neighbours as the classifier sees them in its square; none where they are unknown."""

    item: LesionSlice
    neighbours: tuple[tuple[np.ndarray, np.ndarray], ...] = ()
    """Image and lung, `(224, 224)`, of the slice before and the one behind."""


def read_samples(data: Path, slices_each: int) -> list[Sample]:
    """All slices that `benchmarks.localisation` scores on."""
    samples = [sample for name in (THIN, "lesion_volumes") for sample in _of_volumes(data / name, slices_each)]
    folder = data / "lesion_slices"
    network = load_lung_network(ROOT / "models" / SHIPPED.lungs_weights.file)
    samples += [Sample(item) for item in read_pictures(folder / "image", folder / "mask", network)]
    return [sample for sample in samples if sample.item.lesion.any()]


def _of_volumes(folder: Path, slices_each: int) -> Iterator[Sample]:
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as stored:
            image, lung, lesion = stored["image"], stored["lung"], stored["lesion"] & stored["lung"]
        for index in evenly(usable_slices(lung, lesion), slices_each):
            item = cut_slice(folder.name, f"{folder.name}/{path.stem}", image[index], lung[index], lesion[index])
            square, window = LungSquare.around(lung[index], (1.0, 1.0)), place_window(image[index], lung[index])
            around = [place for place in (index - GAP, index + GAP) if 0 <= place < len(image) and lung[place].any()]
            seen = []
            for place in around if folder.name == THIN else ():
                cut_lung = square.resize(lung[place], 0.0) > 0.5
                values = square.resize(image[place].astype(np.float32), 0.0)
                seen.append((normalise_square(values, cut_lung, window, masked=True).astype(np.float32), cut_lung))
            yield Sample(item, tuple(seen) if len(seen) == 2 else ())


def measure(samples: list[Sample], classifier: Path, target: str, kept: Path) -> list[Scores]:
    """Figures of every row by slice. They are kept one by one, so that a run that was broken off goes on."""
    network, rules = load_classifier(classifier), SHIPPED.explanation
    gradients: dict[str, IntegratedGradients] = {
        f"{rule}, {steps}": replace(SHIPPED.gradients, rule=rule, steps=steps) for rule, steps in RULES
    }
    scores = SHIPPED.gradients.prepare(network, CLASSES.index(target))
    base = f"{BEFORE[0]}, {BEFORE[1]}"
    run = f"{sha256_of(classifier)} {target}"
    lines = kept.read_text(encoding="utf-8").splitlines() if kept.exists() else []
    done: dict[str, Scores] = {told["slice"]: told["rows"] for told in map(json.loads, lines) if told["run"] == run}

    def joint(name: str, image: np.ndarray, lung: np.ndarray, pixel_mm: float) -> tuple[np.ndarray, float]:
        start = time.process_time()
        integrals = gradients[name].attribute(scores, torch.from_numpy(image))
        seconds = time.process_time() - start
        return np.asarray(rules.joint_saliency(integrals, pixel_mm) * lung), seconds

    found = []
    for sample in tqdm(samples, desc="slices", unit="slice", mininterval=30):
        item = sample.item
        key = hashlib.sha256(item.image.tobytes()).hexdigest()[:16]
        if key not in done:
            maps = {name: joint(name, item.image, item.lung, item.pixel_mm) for name in gradients}
            for name in (f"{rule}, {steps}" for rule, steps in BETWEEN if sample.neighbours):
                around = [joint(name, image, lung, item.pixel_mm)[0] for image, lung in sample.neighbours]
                maps[f"{name}, between"] = (around[0] + around[1]) / 2 * item.lung, 0.0
            salient = {
                name: rules.salient_regions(values, item.lung, item.pixel_mm) > 0 for name, (values, _) in maps.items()
            }
            done[key] = {
                name: _figures(score_map(values, item, rules), seconds, salient[name], salient[base])
                for name, (values, seconds) in maps.items()
            }
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"run": run, "slice": key, "rows": done[key]}) + "\n")
        found.append(done[key])
    return found


def _figures(score: SliceScores, seconds: float, salient: np.ndarray, base: np.ndarray) -> dict[str, float]:
    return {
        **{name: score.figures[name] or 0.0 for name in FIGURES},
        "salient fraction": score.found_fraction,
        "same pixels": float((salient & base).sum() / max((salient | base).sum(), 1)),
        "seconds": seconds,
    }


def summarise(found: list[Scores]) -> dict[str, Any]:
    """Means of every row, of all slices and of those that have neighbours."""
    between = {name for scores in found for name in scores if name.endswith("between")}
    thin = [scores for scores in found if between & scores.keys()]
    rows: dict[str, Any] = {}
    for name in dict.fromkeys(name for scores in found for name in scores):
        rows[name] = {
            "all": None if name in between else _means([scores[name] for scores in found]),
            "thin": _means([scores[name] for scores in thin]),
        }
    return rows


def _means(figures: list[dict[str, float]]) -> dict[str, float]:
    means = {name: float(np.mean([item[name] for item in figures])) for name in figures[0]}
    return means | {"slices": len(figures)}


def as_markdown(report: dict[str, Any]) -> str:
    """The report as two tables."""
    lines = [
        f"Joint saliency of the class {report['target']}, weights `{report['weights'][:16]}`, on "
        f"{report['rows'][f'{BEFORE[0]}, {BEFORE[1]}']['all']['slices']} of {report['slices_in_all']} slices with "
        f"lesions that radiologists marked; {report['machine']['processor']}, gradients in "
        f"{report['precision']}, one thread. "
        f"Core seconds are of the gradients of one slice. Same pixels: intersection over union of the salient pixels "
        f"with those of {BEFORE[0]}, {BEFORE[1]}. Written by `python -m benchmarks.saliency_cost`.",
    ]
    titles = {
        "all": "All slices",
        "thin": f"`{THIN}` alone. Between: the slice's saliency is the mean of the slices {GAP} before and behind it, "
        "the middle of about 5 mm",
    }
    for part, title in titles.items():
        names = [*FIGURES.values(), "salient fraction", "same pixels"]
        kept = {name: row for name, row in report["rows"].items() if row[part]}
        slices = next(iter(kept.values()))[part]["slices"]
        lines += ["", f"### {title}: {slices} slices", "", "| rule, nodes | core s | " + " | ".join(names) + " |"]
        lines.append("| --- |" + " ---: |" * (len(names) + 1))
        for name, row in kept.items():
            seconds = "" if name.endswith("between") else f"{row[part]['seconds']:.2f}"
            keys = [*FIGURES, "salient fraction", "same pixels"]
            lines.append(f"| {name} | {seconds} | " + " | ".join(f"{row[part][key]:.3f}" for key in keys) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write saliency_cost.json and .md, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.saliency_cost", description=__doc__)
    add_data_option(parser)
    parser.add_argument("--slices-each", type=int, default=8, help="slices of each volume (default 8)")
    parser.add_argument("--slices", type=int, help="so many of all slices, for a short run (default: all)")
    kept = ROOT / "runs" / "saliency_cost.jsonl"
    parser.add_argument("--kept", type=Path, default=kept, help="figures by slice (default runs/saliency_cost.jsonl)")
    parser.add_argument("--target", choices=CLASSES[1:], default="covid19", help="class to explain (default covid19)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="default benchmarks/results")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    classifier = ROOT / "models" / SHIPPED.classifier_weights.file
    network = load_classifier(classifier)
    samples = read_samples(options.data, options.slices_each)
    random.Random(0).shuffle(samples)  # so that some of them are of every set
    options.kept.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "target": options.target,
        "weights": sha256_of(classifier),
        "precision": str(SHIPPED.gradients.prepare(network, 0).backward).removeprefix("torch."),
        "machine": describe_machine(),
        "slices_in_all": len(samples),
        "rows": summarise(measure(samples[: options.slices], classifier, options.target, options.kept)),
    }
    write_report(report, as_markdown(report), options.out, "saliency_cost")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
