"""Train the multi-scale classifier (II-D to II-G): `python -m training.classifier --lungs FILE --data DIR --out DIR`.

First on disease painted into healthy slices, then fine-tuned with real patients, once for each of the two folds by
patient and once with all six for the shipped weights. A patient's label goes to those of his slices that look most
diseased to the painted-only network; lesion masks and the radiologists' slice labels are never used to train.
"""

import argparse
import copy
import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from method.classifier_network import MultiScaleClassifier, classification_loss
from method.types import CLASSES
from method.weights import load_lung_network
from training.checkpoint import average_weights, export_weights, load_checkpoint, save_checkpoint
from training.classifier_data import FOLDS, PATIENT_CLASS, SliceSet, draw_painted, draw_real, prepare_slices
from training.options import add_training_options

PAINTING_BASES = ("luna", "lung_slices", "lung_dx_A0001")
SUSPECT_PART = 0.4
"""Part of a diseased patient's slices that carry his label in fine-tuning: those that look most diseased."""

Draw = Callable[[np.random.Generator], tuple[np.ndarray, int]]


@torch.inference_mode()
def predict(network: MultiScaleClassifier, slices: SliceSet, masked: bool) -> np.ndarray:
    """Probabilities `(slice, class)`, the mean of each slice and its mirror image."""
    network.eval()
    rows = []
    for first in range(0, len(slices.hu), 16):
        numbers = range(first, min(first + 16, len(slices.hu)))
        images = torch.from_numpy(np.stack([slices.image(number, masked) for number in numbers]))[:, None]
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            both = network(images).float().softmax(1) + network(images.flip(3)).float().softmax(1)
        rows.append(both.numpy() / 2)
    return np.concatenate(rows)


def fit(
    out: Path,
    network: MultiScaleClassifier,
    draw: Draw,
    options: argparse.Namespace,
    iterations: int,
    learning_rate: float,
    description: str,
) -> MultiScaleClassifier:
    """Train `network` in place, resuming from `out`; returns its moving average."""
    average = copy.deepcopy(network).eval()
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate, betas=(0.5, 0.9), eps=1e-8)
    modules = {"network": network, "average": average}
    checkpoint = out / "checkpoint.safetensors"
    start = load_checkpoint(checkpoint, modules, optimizer)
    out.mkdir(parents=True, exist_ok=True)
    weight = torch.ones(len(CLASSES))  # classes are drawn equally often, so the inverse frequencies are equal
    with (out / "log.csv").open("a", newline="") as log_file:
        log = csv.writer(log_file)
        for iteration in tqdm(range(start, iterations), initial=start, total=iterations, desc=description, unit="it"):
            factor = min(1.0, (iteration + 1) / 50) * (0.5 + 0.5 * np.cos(np.pi * iteration / iterations))
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * factor
            samples = [draw(np.random.default_rng((options.seed, iteration, n))) for n in range(options.batch)]
            images = torch.from_numpy(np.stack([image for image, _ in samples]))[:, None]
            target = torch.tensor([label for _, label in samples])
            network.train()
            with torch.autocast("cpu", torch.bfloat16):
                scores = network(images.contiguous(memory_format=torch.channels_last))
            loss = classification_loss(scores.float(), target, weight)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            average_weights(average, network, decay=min(0.99, (iteration + 1) / (iteration + 10)))
            accuracy = float((scores.argmax(1) == target).float().mean())
            log.writerow([iteration, f"{loss.item():.4f}", f"{accuracy:.3f}"])
            if (iteration + 1) % options.save_every == 0 or iteration + 1 == iterations:
                save_checkpoint(checkpoint, iteration + 1, modules, optimizer)
                log_file.flush()
    return average


def join_bases(sets: dict[str, SliceSet], names: Sequence[str]) -> SliceSet:
    """Several slice sets as one."""
    return SliceSet(
        *(np.concatenate([getattr(sets[name], field) for name in names]) for field in SliceSet.__annotations__)
    )


def real_and_painted(
    network: MultiScaleClassifier, sets: dict[str, SliceSet], patients: Sequence[str], bases: SliceSet
) -> Draw:
    """Draw half painted slices, half real ones of `patients`, classes equally often."""
    pool: dict[int, list[tuple[str, int]]] = {label: [] for label in range(len(CLASSES))}
    for name in patients:
        label = CLASSES.index(PATIENT_CLASS[name])
        numbers = np.arange(len(sets[name].hu))
        if label:
            disease = 1 - predict(network, sets[name], masked=True)[:, 0]
            numbers = np.argsort(-disease)[: max(int(SUSPECT_PART * len(disease)), 1)]
        pool[label] += [(name, int(number)) for number in numbers]

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, int]:
        if rng.random() < 0.5:
            return draw_painted(bases, rng)
        label = int(rng.integers(len(CLASSES)))
        name, number = pool[label][rng.integers(len(pool[label]))]
        return draw_real(sets[name], number, rng), label

    return draw


def main(arguments: list[str] | None = None) -> int:
    """Train, resuming where an earlier call stopped, and export the weights."""
    parser = argparse.ArgumentParser(prog="python -m training.classifier", description=__doc__)
    parser.add_argument("--lungs", type=Path, default=Path("models/lungs/lungs.safetensors"), help="lung network")
    parser.add_argument("--fine-tune-iterations", type=int, default=200, help="for each fold (default 200)")
    add_training_options(parser, iterations=1400, batch=16, learning_rate=6e-4)
    options = parser.parse_args(arguments)
    torch.manual_seed(options.seed)
    sets = prepare_slices(options.data, options.out / "slices", load_lung_network(options.lungs))
    bases = join_bases(sets, PAINTING_BASES)

    def painted(rng: np.random.Generator) -> tuple[np.ndarray, int]:
        return draw_painted(bases, rng)

    network = MultiScaleClassifier()
    pretrained = fit(
        options.out / "painted", network, painted, options, options.iterations, options.learning_rate, "painted"
    )
    export_weights(pretrained, options.out / "painted.safetensors")
    everyone = tuple(PATIENT_CLASS)
    runs = {
        "fold1": tuple(name for name in everyone if name not in FOLDS[0]),
        "fold2": tuple(name for name in everyone if name not in FOLDS[1]),
        "all": everyone,
    }
    for run, patients in runs.items():
        network = copy.deepcopy(pretrained).train()
        draw = real_and_painted(pretrained, sets, patients, bases)
        tuned = fit(
            options.out / run, network, draw, options, options.fine_tune_iterations, options.learning_rate / 5, run
        )
        export_weights(tuned, options.out / f"{run}.safetensors")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
