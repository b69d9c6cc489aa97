"""Training the classifier (II-D to II-G): a base on painted disease, then on real slices and patients."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from groundglass.method.classifier_network import SCALES, MultiScaleClassifier
from groundglass.method.weights import load_classifier
from training.data.classifier_data import ClassifierData
from training.data.drawing import Draw
from training.data.streams import base_draw, own_draw, real_draw
from training.engine.checkpoint import export_weights
from training.engine.inference import find_suspects
from training.engine.loop import Plan, fit, once
from training.engine.scale_loss import EveryScale, last_scale_loss, scale_loss

BASE_PLAN = Plan(
    iterations=1000, batch=16, learning_rate=6e-4, betas=(0.9, 0.99), cosine=True, average_decay=0.99,
    validate_every=10**9,
)  # fmt: skip
"""Of the base network, on painted disease."""
REAL_PLAN = replace(BASE_PLAN, iterations=250, learning_rate=3e-4, average_decay=0.98)
"""Of each network after it, on the public data."""
LAST_SCALE_PLAN = replace(REAL_PLAN, iterations=150, learning_rate=1e-3, average_decay=0.95)
"""Of Conv5 after it, in a network that goes on from another than the base."""
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

    def train() -> MultiScaleClassifier:
        torch.manual_seed(seed)
        return _fit(out / "base", MultiScaleClassifier(), base_draw(data.bases, seed), scale_loss, plan)

    return load_classifier(_train_once(out / "base.safetensors", train))


def train_further(
    out: Path, first: MultiScaleClassifier | Path, data: ClassifierData, plan: Plan, seed: int
) -> MultiScaleClassifier:
    """A network trained further on all of `data`; once, read from `out` with `.safetensors` afterwards.

    A diseased patient's label goes to the slices that look most diseased to the network before.

    Args:
        out: folder of this training.
        first: the base network; or the weights of another to go on from: the classifier of its Conv5 starts at zero,
            and Conv5 is trained anew at last.
        data: all of it trains; `first` has seen nothing that is tested with the new network.
        plan: how long and how fast.
        seed: of everything random.
    """

    def train() -> MultiScaleClassifier:
        before = _network_before(first)
        draw = _further_draw(before, data, seed)
        trained = _fit(out, copy.deepcopy(before).requires_grad_(True), draw, scale_loss, plan)
        return _train_last_scale(out / SCALES[-1], trained, draw, seed) if isinstance(first, Path) else trained

    return load_classifier(_train_once(out.with_suffix(".safetensors"), train))


def train_beside(
    out: Path, scales: nn.Module, first: MultiScaleClassifier | Path, data: ClassifierData, plan: Plan, seed: int
) -> Path:
    """Another network on the very samples of `train_further`; once, its weights in `out` with `.safetensors`.

    Args:
        out: folder of this training.
        scales: its output is `(batch, scale, class)`; what is kept is its `network`.
        first, data, plan, seed: as of `train_further`.

    Returns:
        The weights' file.
    """

    def train() -> nn.Module:
        draw = _further_draw(_network_before(first), data, seed)
        return fit(out, scales, draw, scale_loss, plan, description=out.name).get_submodule("network")

    return _train_once(out.with_suffix(".safetensors"), train)


def _further_draw(before: MultiScaleClassifier, data: ClassifierData, seed: int) -> Draw:
    patients = data.patients.patients
    suspects = find_suspects(before, patients)
    if data.public:
        return real_draw(data.mosmed, data.iq_oth, data.bases, patients, suspects, seed + REAL_SEED)
    return own_draw(patients, suspects, data.bases, seed)


def _network_before(first: MultiScaleClassifier | Path) -> MultiScaleClassifier:
    """The base network; or the one of a file, Conv5's classifier at zero, so that the other scales speak for it."""
    if isinstance(first, MultiScaleClassifier):
        return first
    network = load_classifier(first)
    with torch.no_grad():
        for parameter in network.heads[-1].parameters():
            parameter.zero_()
    return network


def _train_last_scale(out: Path, network: MultiScaleClassifier, draw: Draw, seed: int) -> MultiScaleClassifier:
    """Conv5's block and classifier, from random ones, by their own loss, all parameters before them fixed.

    The paper trains the classifier of each scale for itself and then the joint one (II-D). By the joint loss alone
    Conv5 died: its features became the same whatever the slice, and its classifier balanced the other two. Trained
    before the others it came alive as well, and then they told slices apart less well.
    """
    torch.manual_seed(seed)
    network.requires_grad_(False)
    for part in (*network.blocks[-1].children(), network.heads[-1]):
        if isinstance(part, nn.Conv2d | nn.BatchNorm2d):
            part.reset_parameters()
            part.requires_grad_(True)
    return _fit(out, network, draw, last_scale_loss, LAST_SCALE_PLAN)


def _fit(
    out: Path, network: MultiScaleClassifier, draw: Draw, loss: Callable[[Tensor, Tensor], Tensor], plan: Plan
) -> MultiScaleClassifier:
    trained = fit(out, EveryScale(network), draw, loss, plan, description=out.name)
    whole: MultiScaleClassifier = trained.get_submodule("network")  # type: ignore[assignment]
    return whole


def _train_once(weights: Path, train: Callable[[], nn.Module]) -> Path:
    if not weights.exists():
        trained = train()
        once(lambda: export_weights(trained, weights))
    return weights
