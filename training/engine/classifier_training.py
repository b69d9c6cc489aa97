"""Training the classifier (II-D to II-G): a base on painted disease, then on real slices and patients."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.method.weights import load_classifier
from training.data.classifier_data import ClassifierData
from training.data.drawing import Draw
from training.data.streams import base_draw, own_draw, real_draw
from training.engine.checkpoint import export_weights
from training.engine.inference import find_suspects
from training.engine.loop import Plan, fit, once
from training.engine.scale_loss import EveryScale, scale_loss

BASE_PLAN = Plan(
    iterations=1000, batch=16, learning_rate=6e-4, betas=(0.9, 0.99), cosine=True, average_decay=0.99,
    validate_every=10**9,
)  # fmt: skip
"""Of the base network, on painted disease."""
REAL_PLAN = replace(BASE_PLAN, iterations=250, learning_rate=3e-4, average_decay=0.98)
"""Of each network after it, on the public data."""
OWN_PLAN = Plan(iterations=120, batch=16, learning_rate=1.2e-4, cosine=True, average_decay=0.99, validate_every=10**9)
"""Of each network after it, on a hospital's own patients."""
REAL_SEED = 7
"""What the seed of the real slices is above that of the base."""


def plan_of(data: ClassifierData) -> Plan:
    """How the networks after the base are trained."""
    return REAL_PLAN if data.public else OWN_PLAN


def train_base(out: Path, data: ClassifierData, plan: Plan, seed: int) -> MultiScaleClassifier:
    """The network that saw no patient with pneumonia: disease painted into healthy slices.

    Trained once, read from `out/base.safetensors` afterwards. It starts every fold: it saw nothing that a fold tests.
    """

    def draw() -> Draw:
        return base_draw(data.bases, seed)

    torch.manual_seed(seed)
    return load_classifier(_train(out / "base", EveryScale(MultiScaleClassifier()), draw, plan))


def read_start(weights: Path) -> MultiScaleClassifier:
    """A network to go on from in place of the base, its last scale's classifier set to zero.

    Conv5 sees the most and is trained last by a joint loss: it came to balance the other scales, alone worse than
    chance. From zero each scale's own loss teaches it anew.
    """
    network = load_classifier(weights)
    head = network.heads[-1]
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.zero_()
    return network


def train_further(
    out: Path, first: MultiScaleClassifier, data: ClassifierData, plan: Plan, seed: int
) -> MultiScaleClassifier:
    """A network trained further on all of `data`; once, read from `out` with `.safetensors` afterwards.

    Args:
        out: folder of this training.
        first: the base network, or what `read_start` gives; it has seen nothing that is tested with the new one.
        data: all of it trains.
        plan: how long and how fast.
        seed: of everything random.
    """
    scales = EveryScale(copy.deepcopy(first).requires_grad_(True))
    return load_classifier(train_beside(out, scales, first, data, plan, seed))


def train_beside(
    out: Path, scales: nn.Module, first: MultiScaleClassifier, data: ClassifierData, plan: Plan, seed: int
) -> Path:
    """Any network, trained on the samples on which `train_further` trains `first`; once.

    A diseased patient's label goes to the slices that look most diseased to `first`.

    Args:
        out: folder of this training.
        scales: its output is `(batch, scale, class)`; what is exported is its `network`.
        first, data, plan, seed: as of `train_further`.

    Returns:
        The weights, `out` with `.safetensors`.
    """

    def draw() -> Draw:
        patients = data.patients.patients
        suspects = find_suspects(first, patients)
        if data.public:
            return real_draw(data.mosmed, data.iq_oth, data.bases, patients, suspects, seed + REAL_SEED)
        return own_draw(patients, suspects, data.bases, seed)

    return _train(out, scales, draw, plan)


def _train(out: Path, scales: nn.Module, draw: Callable[[], Draw], plan: Plan) -> Path:
    weights = out.with_suffix(".safetensors")
    if not weights.exists():
        trained = fit(out, scales, draw(), scale_loss, plan, description=out.name)
        once(lambda: export_weights(trained.get_submodule("network"), weights))
    return weights
