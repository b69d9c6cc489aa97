"""Train the lung network (II-C): `python -m training.lungs --data DIR --out DIR`."""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.metrics import compute_hausdorff_distance
from torch import Tensor

from groundglass.domain.errors import Refusal
from groundglass.domain.volume import CANONICAL_AXES, CTVolume
from groundglass.method.lung_network import LungUNet
from groundglass.method.lung_segmentation import segment_lungs
from training.checkpoint import export_weights
from training.loop import Plan, fit
from training.lung_data import (
    GRID_MM,
    NORMALISATIONS,
    LungImages,
    Normalisation,
    load_sources,
    lung_samples,
    segment_planes,
)
from training.options import add_training_options
from training.run_record import bind_or_end


def dice_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """The sum of soft Dice loss over the batch and binary cross-entropy.

    Args:
        logits: the network's, of the centre plane alone, `(batch, 1, row, col)`.
        target: 0 or 1, `(batch, row, col)`.
    """
    logits = logits[:, 0].float()
    probability = logits.sigmoid()
    overlap = 2 * (probability * target).sum() + 1.0
    dice = 1 - overlap / (probability.sum() + target.sum() + 1.0)
    return dice + torch.nn.functional.binary_cross_entropy_with_logits(logits, target)


def dice_score(found: np.ndarray, true: np.ndarray) -> float:
    """Dice of two bool masks; 1 where both are empty."""
    total = int(found.sum()) + int(true.sum())
    return 2.0 * int((found & true).sum()) / total if total else 1.0


def find_lungs(network: LungUNet, normalisation: Normalisation, item: LungImages, views: Sequence[str]) -> np.ndarray:
    """Lungs as the application finds them, bool; a single slice has the axial view alone and no post-processing."""
    windows = normalisation.windows(item.image)
    if len(item.image) == 1:
        return segment_planes(network, item.image, windows)
    volume = CTVolume(item.image, item.spacing_mm, np.zeros(3), CANONICAL_AXES)
    try:
        return segment_lungs(network, volume, windows, GRID_MM, views) > 0
    except Refusal:
        return np.zeros_like(item.lung)  # refused: nothing found


def hausdorff_95_mm(found: np.ndarray, true: np.ndarray, spacing_mm: Sequence[float]) -> float | None:
    """95 % Hausdorff distance of two masks, the larger of the two directions; None where a mask is empty."""
    if not found.any() or not true.any():
        return None
    pair = [torch.from_numpy(np.ascontiguousarray(mask))[None, None] for mask in (found, true)]
    spacing = list(spacing_mm)
    if len(found) == 1:
        pair, spacing = [mask[:, :, 0] for mask in pair], spacing[1:]
    distance = compute_hausdorff_distance(*pair, include_background=True, percentile=95, spacing=spacing)
    return float(distance)


def mean_over_patients(values: Sequence[float | None], seed: int = 0, resamples: int = 10_000) -> dict[str, Any]:
    """Mean with its 95 % interval by bootstrap over patients; patients with no value are counted apart.

    One patient has no interval, and none no mean: None.
    """
    known = np.array([value for value in values if value is not None])
    figures: dict[str, Any] = {
        "patients": len(known),
        "without_value": len(values) - len(known),
        "mean": float(known.mean()) if len(known) else None,
        "interval": None,
        "values": [None if value is None else round(float(value), 5) for value in values],
    }
    if len(known) > 1:
        means = np.random.default_rng(seed).choice(known, (resamples, len(known))).mean(axis=1)
        figures["interval"] = [float(end) for end in np.percentile(means, (2.5, 97.5))]
    return figures


def train_lungs(
    out: Path, sources: dict[str, list[LungImages]], normalisation: Normalisation, plan: Plan, seed: int
) -> LungUNet:
    """Train, resuming from `out`; returns the moving average of the weights after the last iteration.

    Args:
        out: folder for checkpoint and log.
        sources: patients to train on, by source.
        normalisation: how intensities become the network's input.
        plan: length and speed.
        seed: of the first weights and of every sample.
    """
    torch.manual_seed(seed)
    network = LungUNet()
    draw = lung_samples(sources, network.neighbours, normalisation, seed)
    trained = fit(out, network, draw, dice_cross_entropy, plan, description="lungs")
    if not isinstance(trained, LungUNet):
        raise TypeError(f"The training loop returned a {type(trained).__name__}, not a lung network.")
    return trained


def score_held_out(
    network: LungUNet, held_out: dict[str, list[LungImages]], normalisation: Normalisation
) -> dict[str, Any]:
    """Dice of every held-out patient, all axial slices of one taken together, by source."""
    scores = {
        name: [
            dice_score(segment_planes(network, item.image, normalisation.windows(item.image)), item.lung)
            for item in items
        ]
        for name, items in held_out.items()
    }
    every = [score for values in scores.values() for score in values]
    return {
        "held_out_dice": {name: mean_over_patients(values) | {"worst": min(values)} for name, values in scores.items()},
        "patients": len(every),
        "mean_dice": float(np.mean(every)),
    }


def main(arguments: list[str] | None = None) -> int:
    """Train, resuming where an earlier call stopped, export the weights and score the patients held out."""
    parser = argparse.ArgumentParser(prog="python -m training.lungs", description=__doc__)
    add_training_options(parser, iterations=1600, batch=8, learning_rate=1.5e-3)
    parser.add_argument(
        "--normalisation",
        choices=list(NORMALISATIONS),
        default="sliding",
        help="none: HU over its whole range; fixed: the lung window -1350 to 150 HU; sliding: the paper's, which ships "
        "(default sliding)",
    )
    options = parser.parse_args(arguments)
    plan = Plan(
        iterations=options.iterations,
        batch=options.batch,
        learning_rate=options.learning_rate,
        betas=(0.9, 0.999),
        cosine=True,
        average_decay=0.995,
        save_every=options.save_every,
    )
    normalisation = NORMALISATIONS[options.normalisation]
    record = {name: getattr(options, name) for name in ("seed", "iterations", "batch", "normalisation")}
    bind_or_end(parser, options.out, "run", record | {"learning rate": options.learning_rate})
    train, held_out = load_sources(options.data)
    network = train_lungs(options.out, train, normalisation, plan, options.seed)
    if int(os.environ.get("RANK", "0")) > 0:
        return 0  # with several processes the first one writes
    export_weights(network, options.out / "lungs.safetensors")
    report = {
        "iterations": options.iterations,
        "normalisation": options.normalisation,
        "seed": options.seed,
        **score_held_out(network, held_out, normalisation),
    }
    text = json.dumps(report, indent=2) + "\n"
    (options.out / "report.json").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
