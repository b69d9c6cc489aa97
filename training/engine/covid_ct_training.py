"""The COVID-CT benchmark's plain row: the paper's network from scratch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from groundglass.method.classifier_network import MultiScaleClassifier, classification_loss
from groundglass.method.precision import mixed_precision
from training.data.augmentation import augment_as_paper
from training.data.covid_ct_figures import BENCHMARK_CLASSES, Split
from training.data.drawing import Draw
from training.engine.checkpoint import export_weights
from training.engine.loop import Plan, fit
from training.engine.run_record import bind_run
from training.networks.frozen_features import Augment

PLAN = Plan(iterations=1000, validate_every=100, patience=10**9, save_every=50)
"""The plain row learns as II-G has it, about twenty minutes on two cores."""


def make_draw(images: Sequence[np.ndarray], label: np.ndarray, augment: Augment, seed: int) -> Draw:
    """Samples with the classes in turn; the same seed, iteration and number give the same sample."""
    pools = [np.nonzero(label == index)[0] for index in range(len(BENCHMARK_CLASSES))]

    def draw(iteration: int, number: int) -> tuple[np.ndarray, Any]:
        rng = np.random.default_rng((seed, iteration, number))
        target = number % len(pools)
        return augment(images[rng.choice(pools[target])], rng)[None], np.int64(target)

    return draw


def train_plain(train: Split, val: Split, out: Path, plan: Plan, seed: int) -> torch.nn.Module:
    """The paper's network from scratch, resuming from `out`."""
    asked = val.images()
    loss_weight = torch.ones(len(BENCHMARK_CLASSES))  # classes are drawn in turn, so inverse frequencies are equal

    def loss_of(scores: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return classification_loss(scores.float(), target, loss_weight.to(scores.device))

    def validate(network: torch.nn.Module) -> tuple[float, float]:
        covid = predict_covid(network, asked)
        of_truth = np.clip(np.where(val.label == 1, covid, 1 - covid), 1e-7, 1.0)
        return float(-np.log(of_truth).mean()), float((of_truth >= 0.5).mean())

    torch.manual_seed(seed)
    draw = make_draw(train.images(), train.label, augment_as_paper, seed)
    record = {"training data": train.fingerprint, "validation data": val.fingerprint, "seed": seed}
    bind_run(out, "run", record | {"iterations": plan.iterations, "batch": plan.batch})
    network = fit(out, MultiScaleClassifier(classes=2), draw, loss_of, plan, validate, "benchmark, plain")
    export_weights(network, out / "weights.safetensors")
    return network


@torch.inference_mode()
def predict_covid(network: torch.nn.Module, images: Sequence[np.ndarray]) -> np.ndarray:
    """Probability of COVID, `(image,)`."""
    network.eval()
    device = next(network.parameters()).device
    found: list[np.ndarray] = []
    for first in range(0, len(images), 16):
        batch = torch.from_numpy(np.stack(images[first : first + 16]))[:, None].to(device)
        with mixed_precision(device):
            scores = network(batch.contiguous(memory_format=torch.channels_last))
        found.append(scores.float().softmax(dim=1)[:, 1].cpu().numpy())
    return np.concatenate(found)
