"""What a classifier says of slices, and what its layers see in them."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.method.precision import mixed_precision
from training.data.patients import Patient
from training.data.slices import SliceSet
from training.networks.penultimate import features_of_images

SUSPECT_PART = 0.4
"""Part of a diseased patient's slices that carry the patient's label in fine-tuning: those that look most diseased."""


@torch.inference_mode()
def predict(network: nn.Module, slices: SliceSet, masked: bool) -> np.ndarray:
    """Probabilities `(slice, class)`, the mean of each slice and its mirror image."""
    network.eval()
    device = next(network.parameters()).device
    rows = []
    for images in _batches(slices, masked, device):
        with mixed_precision(device):
            both = network(images).float().softmax(1) + network(images.flip(3)).float().softmax(1)
        rows.append(both.cpu().numpy() / 2)
    return np.concatenate(rows)


@torch.inference_mode()
def score_scales(scales: nn.Module, slices: SliceSet, masked: bool) -> np.ndarray:
    """Scores of each scale, `(slice, view, scale, class)`: of each slice and of its mirror image.

    Args:
        scales: its output is `(batch, scale, class)`, as that of `EveryScale`.
        slices: at least one.
        masked: whether pixels outside the lungs are hidden.
    """
    scales.eval()
    device = next(scales.parameters()).device
    rows = []
    for images in _batches(slices, masked, device):
        with mixed_precision(device):
            views = [scales(view).float() for view in (images, images.flip(3))]
        rows.append(torch.stack(views, dim=1).cpu().numpy())
    return np.concatenate(rows)


def _batches(slices: SliceSet, masked: bool, device: torch.device) -> Iterator[torch.Tensor]:
    for first in range(0, len(slices.hu), 16):
        numbers = range(first, min(first + 16, len(slices.hu)))
        images = torch.from_numpy(np.stack([slices.image(number, masked) for number in numbers]))[:, None]
        yield images.to(device).contiguous(memory_format=torch.channels_last)


def find_suspects(network: MultiScaleClassifier, patients: Sequence[Patient]) -> dict[str, np.ndarray]:
    """The slices that carry their patient's label: all of a healthy one, the most suspicious of a diseased one."""
    suspects = {}
    for patient in patients:
        numbers = np.arange(len(patient.slices.hu))
        if patient.label:
            disease = 1 - predict(network, patient.slices, masked=True)[:, 0]
            numbers = np.argsort(-disease, kind="stable")[: max(int(SUSPECT_PART * len(disease)), 1)]
        suspects[patient.name] = numbers
    return suspects


def penultimate_features(network: MultiScaleClassifier, slices: SliceSet, masked: bool) -> np.ndarray:
    """What the heads see, globally max pooled: float32 `(slice, 640)`, Conv3, Conv4, Conv5, mean of slice and mirror.

    Args:
        network: any device; set to evaluation mode.
        slices: at least one.
        masked: whether pixels outside the lungs are hidden.
    """
    return features_of_images(network, [slices.image(number, masked) for number in range(len(slices.hu))])
