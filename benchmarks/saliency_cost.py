"""Nodes of the saliency's integral, what they cost and where it then looks: `python -m benchmarks.saliency_cost`.

Each row makes the joint saliency of the same slices with lesions that radiologists marked, inside the lungs; it is held
against the masks and against the midpoint rule with twelve nodes, which was the default before. Costs are core seconds
of gradients alone, and operations follow the nodes.
"""

import argparse
import hashlib
import json
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.lesion_slices import LesionSlice, read_pictures, read_volumes
from benchmarks.localisation import SliceScores, score_map
from benchmarks.machine import describe_machine
from benchmarks.report_files import write_report
from groundglass.domain.class_names import CLASSES
from groundglass.domain.software import sha256_of
from groundglass.locations import ROOT
from groundglass.method.saliency import IntegratedGradients, Rule
from groundglass.method.weights import load_classifier, load_lung_network
from groundglass.presets import SHIPPED
from training.engine.options import add_data_option

RESULTS = ROOT / "benchmarks" / "results"
BEFORE: tuple[Rule, int] = ("midpoint", 12)
RULES: tuple[tuple[Rule, int], ...] = (BEFORE, ("gauss_jacobi", 4), ("gauss_jacobi", 5))
Scores = dict[str, dict[str, float]]
"""Of one slice: figures by row."""
FIGURES = {"precision": "average precision", "pointing": "pointing game", "dice": "Dice"}


def read_slices(data: Path, slices_each: int) -> list[LesionSlice]:
    """All that `benchmarks.localisation` scores on."""
    items = [item for name in ("lesion_masks", "lesion_volumes") for item in read_volumes(data / name, slices_each)]
    folder = data / "lesion_slices"
    network = load_lung_network(ROOT / "models" / SHIPPED.lungs_weights.file)
    items += read_pictures(folder / "image", folder / "mask", network)
    return [item for item in items if item.lesion.any()]


def measure(items: list[LesionSlice], classifier: Path, target: str, kept: Path) -> list[Scores]:
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
    for item in tqdm(items, desc="slices", unit="slice", mininterval=30):
        key = hashlib.sha256(item.image.tobytes()).hexdigest()[:16]
        if key not in done:
            maps = {name: joint(name, item.image, item.lung, item.pixel_mm) for name in gradients}
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


def summarise(found: list[Scores]) -> dict[str, dict[str, float]]:
    """Means of every row."""
    return {name: _means([scores[name] for scores in found]) for name in found[0]}


def _means(figures: list[dict[str, float]]) -> dict[str, float]:
    means = {name: float(np.mean([item[name] for item in figures])) for name in figures[0]}
    return means | {"slices": len(figures)}


def as_markdown(report: dict[str, Any]) -> str:
    """The report as a table."""
    base = f"{BEFORE[0]}, {BEFORE[1]}"
    names = [*FIGURES.values(), "salient fraction", "same pixels"]
    lines = [
        f"Joint saliency of the class {report['target']}, weights `{report['weights'][:16]}`, on "
        f"{report['rows'][base]['slices']} of {report['slices_in_all']} slices with lesions that radiologists marked; "
        f"{report['machine']['processor']}, gradients in {report['precision']}, one thread. Core seconds are of the "
        f"gradients of one slice. Same pixels: intersection over union of the salient pixels with those of {base}. "
        "Written by `python -m benchmarks.saliency_cost`.",
        "",
        "| rule, nodes | core s | " + " | ".join(names) + " |",
        "| --- |" + " ---: |" * (len(names) + 1),
    ]
    for name, row in report["rows"].items():
        values = (row[key] for key in (*FIGURES, "salient fraction", "same pixels"))
        lines.append(f"| {name} | {row['seconds']:.2f} | " + " | ".join(f"{value:.3f}" for value in values) + " |")
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
    items = read_slices(options.data, options.slices_each)
    random.Random(0).shuffle(items)  # so that some of them are of every set
    options.kept.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "target": options.target,
        "weights": sha256_of(classifier),
        "precision": str(SHIPPED.gradients.prepare(network, 0).backward).removeprefix("torch."),
        "machine": describe_machine(),
        "slices_in_all": len(items),
        "rows": summarise(measure(items[: options.slices], classifier, options.target, options.kept)),
    }
    write_report(report, as_markdown(report), options.out, "saliency_cost")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
