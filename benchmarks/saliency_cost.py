"""Nodes and spacing of the saliency, what they cost and where it then looks: `python -m benchmarks.saliency_cost`.

Each row makes the joint saliency of the same slices with lesions that radiologists marked, inside the lungs; it is held
against the masks and against the midpoint rule with twelve nodes, which was the default before. The rows "between" make
a slice of `lesion_masks` from its neighbours two slices before and behind it, without computing the slice itself.
Costs are core seconds of gradients alone, and operations follow the nodes.
"""

import argparse
import json
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


def measure(samples: list[Sample], classifier: Path, target: str) -> dict[str, Any]:
    """Figures of every row, of all slices and of those that have neighbours."""
    network, rules = load_classifier(classifier), SHIPPED.explanation
    gradients: dict[str, IntegratedGradients] = {
        f"{rule}, {steps}": replace(SHIPPED.gradients, rule=rule, steps=steps) for rule, steps in RULES
    }
    scores = SHIPPED.gradients.prepare(network, CLASSES.index(target))
    found: dict[str, list[tuple[Sample, SliceScores, np.ndarray]]] = {}
    seconds: dict[str, list[float]] = {name: [] for name in gradients}

    def joint(name: str, image: np.ndarray, lung: np.ndarray, pixel_mm: float) -> np.ndarray:
        start = time.process_time()
        integrals = gradients[name].attribute(scores, torch.from_numpy(image))
        seconds[name].append(time.process_time() - start)
        return np.asarray(rules.joint_saliency(integrals, pixel_mm) * lung)

    for sample in tqdm(samples, desc="slices", unit="slice", mininterval=30):
        item = sample.item
        maps = {name: joint(name, item.image, item.lung, item.pixel_mm) for name in gradients}
        if sample.neighbours:
            for name in (f"{rule}, {steps}" for rule, steps in BETWEEN):
                around = [joint(name, image, lung, item.pixel_mm) for image, lung in sample.neighbours]
                maps[f"{name}, between"] = (around[0] + around[1]) / 2 * item.lung
        for name, values in maps.items():
            salient = rules.salient_regions(values, item.lung, item.pixel_mm) > 0
            found.setdefault(name, []).append((sample, score_map(values, item, rules), salient))
    base = {id(sample): salient for sample, _, salient in found[f"{BEFORE[0]}, {BEFORE[1]}"]}
    rows: dict[str, Any] = {}
    for name, all_of in found.items():
        thin = [entry for entry in all_of if entry[0].neighbours]
        rows[name] = {
            "all": None if name.endswith("between") else _figures(all_of, base),
            "thin": _figures(thin, base),
            "seconds": float(np.median(seconds[name])) if name in seconds else None,
        }
    return rows


def _figures(entries: list[tuple[Sample, SliceScores, np.ndarray]], base: dict[int, np.ndarray]) -> dict[str, float]:
    scores = [score for _, score, _ in entries]
    pairs = [(salient, base[id(sample)]) for sample, _, salient in entries]
    same = [(one & other).sum() / max((one | other).sum(), 1) for one, other in pairs]
    return {
        "slices": len(entries),
        **{name: float(np.mean([score.figures[name] or 0.0 for score in scores])) for name in FIGURES},
        "salient fraction": float(np.mean([score.found_fraction for score in scores])),
        "same pixels": float(np.mean(same)),
    }


def as_markdown(report: dict[str, Any]) -> str:
    """The report as two tables."""
    lines = [
        f"Joint saliency of the class {report['target']}, weights `{report['weights'][:16]}`, on slices with lesions "
        f"that radiologists marked; {report['machine']['processor']}, gradients in {report['precision']}, one thread. "
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
            seconds = "" if row["seconds"] is None else f"{row['seconds']:.2f}"
            keys = [*FIGURES, "salient fraction", "same pixels"]
            lines.append(f"| {name} | {seconds} | " + " | ".join(f"{row[part][key]:.3f}" for key in keys) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write saliency_cost.json and .md, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.saliency_cost", description=__doc__)
    add_data_option(parser)
    parser.add_argument("--slices-each", type=int, default=8, help="slices of each volume (default 8)")
    parser.add_argument("--target", choices=CLASSES[1:], default="covid19", help="class to explain (default covid19)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="default benchmarks/results")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    classifier = ROOT / "models" / SHIPPED.classifier_weights.file
    network = load_classifier(classifier)
    report = {
        "target": options.target,
        "weights": sha256_of(classifier),
        "precision": str(SHIPPED.gradients.prepare(network, 0).backward).removeprefix("torch."),
        "machine": describe_machine(),
        "rows": measure(read_samples(options.data, options.slices_each), classifier, options.target),
    }
    (options.out / "saliency_cost.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    text = as_markdown(report)
    (options.out / "saliency_cost.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
