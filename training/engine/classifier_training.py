"""Training the classifier (II-D to II-G): on painted lesions, then on patients."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from groundglass.domain.class_names import CLASSES
from groundglass.method.classifier_network import MultiScaleClassifier, classification_loss
from groundglass.method.weights import load_classifier
from training.data.drawing import half_and_half, painted_draw, patients_draw
from training.data.patients import Patient
from training.data.slices import SliceSet
from training.engine.checkpoint import export_weights
from training.engine.inference import find_suspects
from training.engine.loop import Plan, fit, once

PAINTED_PLAN = Plan(
    iterations=1000, batch=16, learning_rate=6e-4, cosine=True, average_decay=0.99, validate_every=10**9
)
TUNED_PLAN = replace(PAINTED_PLAN, iterations=120, learning_rate=1.2e-4)


def equal_class_loss(scores: Tensor, target: Tensor) -> Tensor:
    """Eq. 1 where classes are drawn equally often, so that the inverse class frequencies are equal."""
    return classification_loss(scores.float(), target, torch.ones(scores.shape[1], device=scores.device))


def train_painted(out: Path, bases: SliceSet, plan: Plan, seed: int) -> MultiScaleClassifier:
    """The network that saw painted lesions only; trained once, read from its file afterwards."""
    weights = out / "painted.safetensors"
    if not weights.exists():
        torch.manual_seed(seed)
        draw = painted_draw(bases, seed, range(len(CLASSES)))
        network = fit(out / "painted", MultiScaleClassifier(), draw, equal_class_loss, plan, description="painted")
        once(lambda: export_weights(network, weights))
    return load_classifier(weights)


def fine_tune(
    out: Path, pretrained: MultiScaleClassifier, patients: Sequence[Patient], bases: SliceSet, plan: Plan, seed: int
) -> MultiScaleClassifier:
    """The painted network, trained further on `patients`, of two classes or three, and on painted slices, half each."""
    weights = out.with_suffix(".safetensors")
    if not weights.exists():
        present = sorted({patient.label for patient in patients})
        of_present = patients_draw(patients, find_suspects(pretrained, patients), seed, present)

        def real(iteration: int, n: int) -> tuple[np.ndarray, int]:
            image, position = of_present(iteration, n)
            return image, present[position]

        draw = half_and_half(real, painted_draw(bases, seed + 1, range(len(CLASSES))))
        network = copy.deepcopy(pretrained).requires_grad_(True)
        tuned = fit(out, network, draw, equal_class_loss, plan, description=out.name)
        once(lambda: export_weights(tuned, weights))
    return load_classifier(weights)
