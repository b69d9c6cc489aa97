"""What the integrated gradients cost and how exact they are, against captum: `python -m benchmarks.saliency`.

One process, the same threads, the shipped weights, real slices: each rule and number of nodes, beside captum called
once a scale as Eq. 3 has it (m = 25, right Riemann) and with Gauss-Legendre. The truth is m = 300 (midpoint) in
float64.
"""

import argparse
import copy
import hashlib
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captum.attr import IntegratedGradients as CaptumIntegratedGradients
from torch import Tensor
from tqdm import tqdm

from app.settings import load_settings
from method.classifier_network import SCALES, MultiScaleClassifier
from method.saliency import IntegratedGradients, Rule, completeness_errors, geometric_mean, joint_saliency
from method.score_gradients import Reading, ScoreGradients
from method.types import CLASSES
from method.weights import load_classifier, load_lung_network, sha256_of
from training.classifier_data import prepare_slices
from training.options import add_data_option

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = REPOSITORY / "benchmarks" / "results"
READING: Reading = "score_map"
TRUTH_STEPS = 300
PATH_STEPS = 100
"""Images between black and x that show how far the score moves."""
CAPTUM: tuple[tuple[str, int], ...] = (("riemann_right", 25), ("gausslegendre", 10))
CAPTUM_BATCH = 5
"""Images at a time: the fastest of 1, 2, 5 and 25 on two cores."""
OURS: tuple[tuple[Rule, int], ...] = (
    ("riemann_right", 25), ("gauss_legendre", 6), ("gauss_legendre", 8), ("gauss_legendre", 10),
    ("gauss_legendre", 16), ("midpoint", 6), ("midpoint", 8), ("midpoint", 10), ("midpoint", 12), ("midpoint", 16),
)  # fmt: skip

Method = Callable[[Tensor], np.ndarray]
"""From one image to attributions `(3, 224, 224)`."""


def score_of_scale(network: MultiScaleClassifier, target: int, scale: int, images: Tensor) -> Tensor:
    """S of one class at one scale, `(batch,)`: what captum is given."""
    return network.score_maps(images)[scale][:, target].clamp_min(0).sum(dim=(1, 2))


def by_captum(network: MultiScaleClassifier, target: int, rule: str, steps: int) -> Method:
    """captum, called once a scale."""

    def attribute(image: Tensor) -> np.ndarray:
        maps = []
        for scale in range(len(SCALES)):
            score = partial(score_of_scale, network, target, scale)
            found = CaptumIntegratedGradients(score).attribute(
                image[None, None], n_steps=steps, method=rule, internal_batch_size=CAPTUM_BATCH
            )
            maps.append(found[0, 0].detach().numpy())
        return np.stack(maps)

    return attribute


def by_us(network: MultiScaleClassifier, target: int, rule: Rule, steps: int, backward: torch.dtype | None) -> Method:
    """The application's own, with the gradients' precision as it chooses it or as named."""
    gradients = IntegratedGradients(READING, rule, steps)
    scores = ScoreGradients(network, target, READING, backward)

    def attribute(image: Tensor) -> np.ndarray:
        return gradients.attribute(scores, image)[0].numpy()

    return attribute


def methods(network: MultiScaleClassifier, target: int) -> dict[str, Method]:
    """Every row of the table."""
    rows = {f"captum, {rule}, {steps}": by_captum(network, target, rule, steps) for rule, steps in CAPTUM}
    rows |= {f"{rule}, {steps}": by_us(network, target, rule, steps, None) for rule, steps in OURS}
    rows["midpoint, 10, float32 throughout"] = by_us(network, target, "midpoint", 10, torch.float32)
    return rows


def true_maps(image: Tensor, network: MultiScaleClassifier, target: int, stored: Path) -> np.ndarray:
    """Attributions `(3, 224, 224)` by `TRUTH_STEPS` midpoints in float64; minutes a slice, so they are kept."""
    if not stored.exists():
        attribute = by_us(copy.deepcopy(network).double(), target, "midpoint", TRUTH_STEPS, None)
        aside = stored.with_suffix(".part.npy")
        np.save(aside, attribute(image.double()))
        aside.replace(stored)
    return np.asarray(np.load(stored))


def measure(
    slices: list[Tensor], truths: list[np.ndarray], network: MultiScaleClassifier, target: int
) -> dict[str, dict[str, Any]]:
    """Seconds, completeness errors, and correlations with the truth of each row on each slice."""
    rows, scores = methods(network, target), ScoreGradients(network, target, READING)
    found: dict[str, dict[str, list[Any]]] = {name: {"seconds": [], "errors": [], "correlations": []} for name in rows}
    for image, truth in zip(tqdm(slices, desc="slices", unit="slice"), truths, strict=True):
        path = torch.cat([torch.tensor([1.0, 0.0]), (torch.arange(PATH_STEPS) + 0.5) / PATH_STEPS])[:, None, None]
        on_path = torch.cat([scores.scores(part * image) for part in path.split(10)], dim=1).double().numpy()
        for name, attribute in rows.items():
            start = time.perf_counter()
            maps = attribute(image)
            found[name]["seconds"].append(time.perf_counter() - start)
            found[name]["errors"].append(completeness_errors(maps.sum(axis=(1, 2), dtype=np.float64), on_path))
            pairs = [*zip(maps, truth, strict=True), (_joint(maps), _joint(truth))]
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


def _joint(maps: np.ndarray) -> np.ndarray:
    return geometric_mean(joint_saliency(maps))


def as_markdown(report: dict[str, Any]) -> str:
    """The report as a table."""
    machine = report["machine"]
    lines = [
        f"Integrated gradients at three scales of {report['slices']} slices of {report['patients']} patients, class "
        f"{report['target']}, reading `{READING}`, weights `{report['weights'][:16]}`; {machine['cores']} cores, "
        f"{machine['threads']} threads, gradients in {report['precision']}. Median seconds and completeness errors; "
        f"mean correlations with {TRUTH_STEPS} midpoints in float64 (in brackets the least of all slices). Peak memory "
        f"of the process {report['peak_mib']:.0f} MiB.",
        "",
        "| row | s a slice | faster than captum 25 | than captum Gauss-Legendre 10 | completeness error Conv3, Conv4, "
        "Conv5 | correlation Conv3, Conv4, Conv5 | joint |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    rows = report["rows"]
    base, other = (rows[f"captum, {rule}, {steps}"]["seconds"] for rule, steps in CAPTUM)
    for name, row in rows.items():
        errors = ", ".join(f"{value:.3f}" for value in row["completeness_error"])
        means = ", ".join(f"{value:.4f}" for value in row["correlation"][:3])
        joint = f"{row['correlation'][3]:.4f} [{row['least_correlation'][3]:.4f}]"
        seconds = row["seconds"]
        times = f"{seconds:.2f} | {base / seconds:.1f}x | {other / seconds:.1f}x"
        lines.append(f"| {name} | {times} | {errors} | {means} | {joint} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write saliency.json and saliency.md, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.saliency", description=__doc__)
    add_data_option(parser)
    parser.add_argument("--cache", type=Path, default=REPOSITORY / "runs" / "slices", help="prepared slices")
    parser.add_argument("--patients", nargs="+", default=["P001", "P002"], help="default P001 P002")
    parser.add_argument("--slices-each", type=int, default=1, help="evenly spread (default 1)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="default benchmarks/results")
    options = parser.parse_args(arguments)
    if not options.data.is_dir():
        print(f"The data folder {options.data} does not exist. Name it with --data.", file=sys.stderr)
        return 2
    settings = load_settings()
    models = REPOSITORY / "models"
    weights = models / settings.classifier_weights.file
    lungs = load_lung_network(models / settings.lungs_weights.file)
    sets = prepare_slices(options.data, options.cache, lungs, options.patients)
    images = [
        torch.from_numpy(patient.image(int(number), settings.classification.hide_outside_lungs))
        for patient in sets.values()
        for number in np.linspace(0, len(patient.hu) - 1, options.slices_each + 2)[1:-1]
    ]
    network, target = load_classifier(weights), CLASSES.index("covid19")
    names = [
        f"truth-{settings.classifier_weights.sha256[:16]}-{hashlib.sha256(image.numpy().tobytes()).hexdigest()[:16]}.npy"
        for image in images
    ]
    truths = [
        true_maps(image, network, target, options.cache / name)
        for image, name in zip(tqdm(images, desc="truth, float64", unit="slice"), names, strict=True)
    ]
    report = {
        "slices": len(images),
        "patients": len(sets),
        "target": "covid19",
        "weights": sha256_of(weights),
        "precision": str(ScoreGradients(network, 0, READING).backward).removeprefix("torch."),
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        },
        "rows": measure(images, truths, network, target),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "saliency.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    text = as_markdown(report)
    (options.out / "saliency.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
