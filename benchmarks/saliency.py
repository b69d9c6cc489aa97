"""What the integrated gradients cost and how exact they are, against captum: `python -m benchmarks.saliency`.

One process, the same threads, the shipped weights, real slices: each rule and number of nodes, beside captum called
once a scale as Eq. 3 has it (m = 25, right Riemann) and with Gauss-Legendre. The truth is m = 300 (midpoint) in
float64; it takes minutes a slice, so that correlations with it are of the middle slice of each patient alone.
"""

import argparse
import copy
import hashlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.captum_gradients import PAPERS_RULE, captum_attributions
from benchmarks.machine import describe_machine
from benchmarks.memory import status_mib
from benchmarks.report_files import write_report
from groundglass.domain.class_names import CLASSES
from groundglass.domain.software import sha256_of
from groundglass.locations import ROOT
from groundglass.method.classifier_network import SCALES, MultiScaleClassifier
from groundglass.method.explanation import ExplanationRules
from groundglass.method.saliency import (
    IntegratedGradients,
    PathIntegrals,
    Rule,
    completeness_errors,
    geometric_mean,
    joint_saliency,
)
from groundglass.method.score_gradients import ScoreGradients
from groundglass.method.weights import load_classifier, load_lung_network
from groundglass.presets import PAPER, SHIPPED
from training.data.slices import prepare_slices
from training.engine.options import add_data_option

RESULTS = ROOT / "benchmarks" / "results"
READING = SHIPPED.gradients.reading
TRUTH_STEPS = 300
PATH_STEPS = 100
"""Images between black and x that show how far the score moves."""
CAPTUM: tuple[tuple[str, int], ...] = (PAPERS_RULE, ("gausslegendre", 10))
OURS: tuple[tuple[Rule, int], ...] = (
    (PAPER.gradients.rule, PAPER.gradients.steps), ("gauss_legendre", 6), ("gauss_legendre", 8), ("gauss_legendre", 10),
    ("gauss_legendre", 16), ("midpoint", 6), ("midpoint", 8), ("midpoint", 10), ("midpoint", 11), ("midpoint", 12),
    ("midpoint", 16), ("gauss_jacobi", 3), ("gauss_jacobi", 4), ("gauss_jacobi", 5),
)  # fmt: skip

Maps = tuple[np.ndarray, np.ndarray | None]
"""Attributions and mean gradients, each `(3, 224, 224)`; captum gives no gradients."""
Method = Callable[[Tensor], Maps]


@dataclass(frozen=True)
class Sample:
    """One slice: image and lung `(224, 224)`, its pixel size, and the truth where it is known."""

    image: Tensor
    lung: np.ndarray
    pixel_mm: float
    truth: PathIntegrals | None


def by_captum(network: MultiScaleClassifier, target: int, rule: str, steps: int) -> Method:
    """captum, called once a scale."""
    return lambda image: (captum_attributions(network, target, rule, steps, image), None)


def by_us(
    network: MultiScaleClassifier, target: int, gradients: IntegratedGradients, backward: torch.dtype | None
) -> Method:
    """The application's own, with the gradients' precision as it chooses it or as named."""
    scores = ScoreGradients(network, target, READING, backward)

    def attribute(image: Tensor) -> Maps:
        found = gradients.attribute(scores, image)
        return found.attributions, found.gradients

    return attribute


def methods(network: MultiScaleClassifier, target: int, power: float) -> dict[str, Method]:
    """Every row of the table."""
    rows = {f"captum, {rule}, {steps}": by_captum(network, target, rule, steps) for rule, steps in CAPTUM}
    for rule, steps in OURS:
        rows[f"{rule}, {steps}"] = by_us(network, target, IntegratedGradients(READING, rule, steps, power), None)
    plain = replace(SHIPPED.gradients, gradient_power=power)
    rows[f"{plain.rule}, {plain.steps}, float32 throughout"] = by_us(network, target, plain, torch.float32)
    return rows


def true_integrals(
    image: Tensor, network: MultiScaleClassifier, target: int, power: float, stored: Path
) -> PathIntegrals:
    """By `TRUTH_STEPS` midpoints in float64; minutes a slice, so they are kept."""
    if not stored.exists():
        double = copy.deepcopy(network).double()
        gradients = IntegratedGradients(READING, "midpoint", TRUTH_STEPS, power)
        found = gradients.attribute(gradients.prepare(double, target), image.double())
        aside = stored.with_suffix(".part.npz")
        np.savez(aside, **vars(found))
        aside.replace(stored)
    with np.load(stored) as arrays:
        return PathIntegrals(**arrays)


def measure(
    samples: list[Sample], network: MultiScaleClassifier, target: int, power: float, rules: ExplanationRules
) -> dict[str, dict[str, Any]]:
    """Seconds and completeness errors of each row on each slice, and its correlations with the truth."""
    rows, scores = methods(network, target, power), ScoreGradients(network, target, READING)
    found: dict[str, dict[str, list[Any]]] = {name: {"seconds": [], "errors": [], "correlations": []} for name in rows}
    for sample in tqdm(samples, desc="slices", unit="slice"):
        path = torch.cat([torch.tensor([1.0, 0.0]), (torch.arange(PATH_STEPS) + 0.5) / PATH_STEPS])[:, None, None]
        on_path = torch.cat([scores.scores(part * sample.image) for part in path.split(10)], dim=1).double().numpy()
        for name, attribute in rows.items():
            start = time.perf_counter()
            maps, gradients = attribute(sample.image)
            found[name]["seconds"].append(time.perf_counter() - start)
            found[name]["errors"].append(completeness_errors(maps.sum(axis=(1, 2), dtype=np.float64), on_path))
            if sample.truth is not None:
                pairs = zip(
                    _maps(maps, gradients, sample, rules),
                    _maps(sample.truth.attributions, sample.truth.gradients, sample, rules),
                    strict=False,
                )
                found[name]["correlations"].append([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs])
    return {
        name: {
            "seconds": float(np.median(row["seconds"])),
            "completeness_error": np.median(row["errors"], axis=0).tolist(),
            "correlation": np.mean(row["correlations"], axis=0).tolist(),
            "least_correlation": np.min(row["correlations"], axis=0).tolist(),
        }
        for name, row in found.items()
    }


def _maps(
    attributions: np.ndarray, gradients: np.ndarray | None, sample: Sample, rules: ExplanationRules
) -> list[np.ndarray]:
    """Each scale's, the joint map as the paper has it, and as the application makes it where it can be made."""
    maps = [*attributions, geometric_mean(joint_saliency(attributions))]
    if gradients is not None:
        found = PathIntegrals(attributions, gradients, np.zeros(len(SCALES)))
        maps.append(rules.joint_saliency(found, sample.pixel_mm) * sample.lung)
    return maps


def as_markdown(report: dict[str, Any]) -> str:
    """The report as a table."""
    machine = report["machine"]
    lines = [
        f"Integrated gradients at three scales of {report['slices']} slices of {report['patients']} patients, class "
        f"{report['target']}, reading `{READING}`, weights `{report['weights'][:16]}`; {machine['cores']} cores, "
        f"{machine['threads']} threads, gradients in {report['precision']}. Median seconds and completeness errors; "
        f"mean correlations with {TRUTH_STEPS} midpoints in float64 on {report['slices_with_truth']} of the slices (in "
        f"brackets the least), of the joint map as the paper has it and as the application makes it (`app.yaml`, with "
        f"gradient_power {report.get('gradient_power', 0):g}). Peak memory {report['peak_mib']:.0f} MiB.",
        "",
        "| row | s a slice | faster than captum 25 | than captum Gauss-Legendre 10 | completeness error Conv3, Conv4, "
        "Conv5 | correlation Conv3, Conv4, Conv5 | joint, the paper's | joint, the application's |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    rows = report["rows"]
    base, other = (rows[f"captum, {rule}, {steps}"]["seconds"] for rule, steps in CAPTUM)
    for name, row in rows.items():
        errors = ", ".join(f"{value:.3f}" for value in row["completeness_error"])
        means = ", ".join(f"{value:.4f}" for value in row["correlation"][:3])
        joint = [f"{a:.4f} [{b:.4f}]" for a, b in zip(row["correlation"], row["least_correlation"], strict=True)][3:]
        joints = " | ".join(joint if len(joint) == 2 else [*joint, ""])
        seconds = row["seconds"]
        times = f"{seconds:.2f} | {base / seconds:.1f}x | {other / seconds:.1f}x"
        lines.append(f"| {name} | {times} | {errors} | {means} | {joints} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write saliency.json and saliency.md, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.saliency", description=__doc__)
    add_data_option(parser)
    parser.add_argument("--cache", type=Path, default=ROOT / "runs" / "slices", help="prepared slices")
    parser.add_argument("--patients", nargs="+", default=["P001", "P002"], help="default P001 P002")
    parser.add_argument("--slices-each", type=int, default=5, help="evenly spread (default 5)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="default benchmarks/results")
    options = parser.parse_args(arguments)
    if not options.data.is_dir():
        print(f"The data folder {options.data} does not exist. Name it with --data.", file=sys.stderr)
        return 2
    settings = SHIPPED
    models = ROOT / "models"
    weights = models / settings.classifier_weights.file
    lungs = load_lung_network(models / settings.lungs_weights.file)
    sets = prepare_slices(options.data, options.cache, lungs, options.patients)
    network, target = load_classifier(weights), CLASSES.index("covid19")
    power = settings.gradients.gradient_power
    samples = []
    for patient in tqdm(sets.values(), desc="truth, float64", unit="slice"):
        numbers = np.linspace(0, len(patient.hu) - 1, options.slices_each + 2)[1:-1].astype(int)
        for place, number in enumerate(numbers):
            image = torch.from_numpy(patient.image(int(number), settings.classification.hide_outside_lungs))
            truth = None
            if place == len(numbers) // 2:
                digest = hashlib.sha256(image.numpy().tobytes()).hexdigest()[:16]
                name = f"truth-{settings.classifier_weights.sha256[:16]}-{digest}-{power:g}.npz"
                truth = true_integrals(image, network, target, power, options.cache / name)
            samples.append(Sample(image, patient.lung[number], float(patient.pixel_mm[number]), truth))
    report = {
        "slices": len(samples),
        "slices_with_truth": sum(sample.truth is not None for sample in samples),
        "patients": len(sets),
        "target": "covid19",
        "shipped": f"{settings.gradients.rule}, {settings.gradients.steps}",
        "gradient_power": power,
        "weights": sha256_of(weights),
        "precision": str(ScoreGradients(network, 0, READING).backward).removeprefix("torch."),
        "machine": {
            **describe_machine(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        },
        "rows": measure(samples, network, target, power, settings.explanation),
        "peak_mib": status_mib("VmHWM"),
    }
    write_report(report, as_markdown(report), options.out, "saliency")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
