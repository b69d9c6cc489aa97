"""A classifier for few images: what a trained network's layers see in them, told apart by a support vector machine.

The network is not trained any further. Each channel after each of its blocks gives three figures, its mean, deviation
and maximum over the image; the machine gets them for the images and for augmented copies.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from tqdm import tqdm

from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.method.precision import mixed_precision

COPIES = 4
"""Augmented copies of each image, beside the image itself."""
Augment = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""From an image in [0, 1], `(224, 224)`, and random numbers to an augmented one of the same shape."""


@torch.inference_mode()
def pooled_features(network: MultiScaleClassifier, images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Mean, deviation and maximum of every channel after each block, float32 `(image, feature)`, by block.

    Args:
        network: in evaluation mode.
        images: each float32 `(224, 224)` in [0, 1].
    """
    features = torch.from_numpy(np.stack(images))[:, None].to(next(network.parameters()).device)
    features = features.contiguous(memory_format=torch.channels_last)
    found = []
    with mixed_precision(features.device):
        for level, block in enumerate(network.blocks):
            features = block(torch.nn.functional.max_pool2d(features, 2) if level else features)
            channels = features.float()
            pooled = [channels.mean((2, 3)), channels.std((2, 3)), channels.amax((2, 3))]
            found.append(torch.cat(pooled, dim=1).cpu().numpy())
    return found


def features_of_copies(
    network: MultiScaleClassifier, images: Sequence[np.ndarray], augment: Augment, seed: int
) -> list[np.ndarray]:
    """`pooled_features` of each image and its augmented copies, `(image, copy, feature)`, by block.

    Args:
        network: in evaluation mode.
        images: each `(224, 224)` in [0, 1].
        augment: makes the copies.
        seed: the same seed, image and place among the images give the same copies.
    """
    rows = []
    for number, image in enumerate(tqdm(images, desc="features", unit="image")):
        copies = [augment(image, np.random.default_rng((seed, number, copy))) for copy in range(COPIES)]
        rows.append(pooled_features(network, [image, *copies]))
    return [np.stack(block) for block in zip(*rows, strict=True)]


class CopiesMachine:
    """A support vector machine on features of images and their copies.

    Args:
        penalty: C of the machine.
    """

    def __init__(self, penalty: float) -> None:
        self._machine: Pipeline = make_pipeline(StandardScaler(), SVC(C=penalty))

    def fit(self, features: np.ndarray, label: np.ndarray) -> "CopiesMachine":
        """Learn from features `(image, copy, feature)` and labels, 0 or 1, `(image,)`."""
        self._machine.fit(features.reshape(-1, features.shape[2]), np.repeat(label, features.shape[1]))
        return self

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Of each image a figure in [0, 1] for class 1, `(image,)`: the mean over its copies.

        It ranks, and a half is the machine's border; it is no calibrated probability.
        """
        distance = self._machine.decision_function(features.reshape(-1, features.shape[2]))
        return np.asarray(1 / (1 + np.exp(-distance.reshape(len(features), -1).mean(axis=1))))
