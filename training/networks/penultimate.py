"""What the classifier's heads see: its features before the last layer, globally max pooled."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.method.precision import mixed_precision

FEATURES = 128 + 256 + 256
"""Penultimate features: the channels of Conv3, Conv4 and Conv5."""


@torch.inference_mode()
def features_of_images(network: MultiScaleClassifier, images: Sequence[np.ndarray], batch: int = 16) -> np.ndarray:
    """The same of inputs `(224, 224)` in [0, 1]."""
    network.eval()
    device = next(network.parameters()).device
    rows = []
    for first in range(0, len(images), batch):
        part = torch.from_numpy(np.stack(images[first : first + batch])).float()[:, None].to(device)
        part = part.contiguous(memory_format=torch.channels_last)
        with mixed_precision(device):
            both = _pooled(network, part).float() + _pooled(network, part.flip(3)).float()
        rows.append(both.cpu().numpy() / 2)
    return np.concatenate(rows)


def _pooled(network: MultiScaleClassifier, images: Tensor) -> Tensor:
    features, pooled = images, []
    for level, block in enumerate(network.blocks):
        features = block(nn.functional.max_pool2d(features, 2) if level else features)
        if level >= 2:
            pooled.append(features.amax(dim=(2, 3)))
    return torch.cat(pooled, dim=1)
