"""Train the lung network (II-C): `python -m training.lungs --data DIR --out DIR`."""

import argparse
import copy
import csv
import json

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from method.lung_network import LungUNet
from method.lung_segmentation import MultiWindow, predict_planes
from training.checkpoint import average_weights, export_weights, load_checkpoint, save_checkpoint
from training.lung_data import PLANE_SIZE, LungImages, draw_sample, load_sources
from training.options import add_training_options


def dice_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """The sum of soft Dice loss over the batch and binary cross-entropy; both `(batch, row, col)`."""
    probability = logits.sigmoid()
    overlap = 2 * (probability * target).sum() + 1.0
    dice = 1 - overlap / (probability.sum() + target.sum() + 1.0)
    return dice + torch.nn.functional.binary_cross_entropy_with_logits(logits, target)


def dice_score(found: np.ndarray, true: np.ndarray) -> float:
    """Dice of two bool masks; 1 where both are empty."""
    total = int(found.sum()) + int(true.sum())
    return 2.0 * int((found & true).sum()) / total if total else 1.0


def score_patient(network: LungUNet, item: LungImages, windows: MultiWindow) -> float:
    """Dice of one patient's axial slices, all slices taken together, at the slices' own size."""
    image = item.image
    if image.dtype == np.uint8:
        windows = windows.for_range_of(image)
    planes = torch.from_numpy(np.ascontiguousarray(image)).float()[:, None]
    small = torch.nn.functional.interpolate(planes, size=(PLANE_SIZE, PLANE_SIZE), mode="area")[:, 0].numpy()
    probability = torch.from_numpy(predict_planes(network, small, windows))[:, None]
    full = torch.nn.functional.interpolate(probability, size=image.shape[1:], mode="bilinear")[:, 0]
    return dice_score(full.numpy() > 0.5, item.lung)


def validate(network: LungUNet, held_out: dict[str, list[LungImages]], windows: MultiWindow) -> dict[str, list[float]]:
    """Dice of every held-out patient, by source."""
    network.eval()
    return {name: [score_patient(network, item, windows) for item in items] for name, items in held_out.items()}


def main(arguments: list[str] | None = None) -> int:
    """Train, resuming where an earlier call stopped, and export the weights."""
    parser = argparse.ArgumentParser(prog="python -m training.lungs", description=__doc__)
    add_training_options(parser, iterations=1500, batch=8, learning_rate=1.5e-3)
    options = parser.parse_args(arguments)
    torch.manual_seed(options.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    train, held_out = load_sources(options.data)
    network = LungUNet().to(device)
    average = copy.deepcopy(network).eval()
    optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate)
    checkpoint = options.out / "checkpoint.safetensors"
    modules = {"network": network, "average": average}
    start = load_checkpoint(checkpoint, modules, optimizer)
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "log.csv").open("a", newline="") as log_file:
        log = csv.writer(log_file)
        for iteration in tqdm(range(start, options.iterations), initial=start, total=options.iterations, unit="it"):
            progress = iteration / options.iterations
            for group in optimizer.param_groups:
                group["lr"] = (
                    options.learning_rate * min(1.0, (iteration + 1) / 50) * (0.5 + 0.5 * np.cos(np.pi * progress))
                )
            samples = [
                draw_sample(train, network.neighbours, np.random.default_rng((options.seed, iteration, number)))
                for number in range(options.batch)
            ]
            planes = torch.from_numpy(np.stack([planes for planes, _ in samples])).to(device)
            target = torch.from_numpy(np.stack([mask for _, mask in samples])).float().to(device)
            network.train()
            with torch.autocast(device.type, torch.bfloat16):
                logits = network(planes)[:, 0]
            loss = dice_cross_entropy(logits.float(), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            average_weights(average, network, decay=min(0.995, (iteration + 1) / (iteration + 10)))
            log.writerow([iteration, f"{loss.item():.4f}"])
            if (iteration + 1) % options.save_every == 0 or iteration + 1 == options.iterations:
                save_checkpoint(checkpoint, iteration + 1, modules, optimizer)
                log_file.flush()
    export_weights(average, options.out / "lungs.safetensors")
    scores = validate(average, held_out, MultiWindow())
    every = [score for values in scores.values() for score in values]
    report = {
        "iterations": options.iterations,
        "held_out_dice": {
            name: {"patients": len(v), "mean": float(np.mean(v)), "worst": min(v)} for name, v in scores.items()
        },
        "patients": len(every),
        "mean_dice": float(np.mean(every)),
    }
    (options.out / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
