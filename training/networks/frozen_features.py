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

PENALTY = 10.0
"""C of the machine: 3 and 30 differ by .01 of AUC on the benchmark's val split."""
COPIES = 8
"""Augmented copies of each image, beside the image itself."""
Augment = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""From an image in [0, 1], `(224, 224)`, and random numbers to an augmented one of the same shape."""


@torch.inference_mode()
def pooled_features(network: MultiScaleClassifier, images: Sequence[np.ndarray]) -> np.ndarray:
    """Mean, deviation and maximum of every channel after each block, float32 `(image, feature)`.

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
            found += [channels.mean((2, 3)), channels.std((2, 3)), channels.amax((2, 3))]
    return torch.cat(found, dim=1).cpu().numpy()


class FrozenFeatureClassifier:
    """Tells two classes apart by the features of `network`.

    Args:
        network: in evaluation mode.
        augment: makes the copies.
        seed: of all random choices.
    """

    def __init__(self, network: MultiScaleClassifier, augment: Augment, seed: int) -> None:
        self._network, self._augment, self._seed = network, augment, seed
        self._machine: Pipeline = make_pipeline(StandardScaler(), SVC(C=PENALTY))

    def fit(self, images: Sequence[np.ndarray], label: np.ndarray) -> None:
        """Learn from images, each `(224, 224)`, and their labels, 0 or 1, `(image,)`."""
        features = self._features(images, "features to learn from")
        self._machine.fit(features.reshape(-1, features.shape[2]), np.repeat(label, features.shape[1]))

    def predict(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Of each image a figure in [0, 1] for class 1, `(image,)`: the mean over its copies.

        It ranks, and a half is the machine's border; it is no calibrated probability.
        """
        features = self._features(images, "features to judge")
        distance = self._machine.decision_function(features.reshape(-1, features.shape[2]))
        return np.asarray(1 / (1 + np.exp(-distance.reshape(len(images), -1).mean(axis=1))))

    def _features(self, images: Sequence[np.ndarray], description: str) -> np.ndarray:
        """Those of each image and its copies, `(image, copy, feature)`."""
        return np.stack([
            pooled_features(self._network, [image, *self._copies(image, number)])
            for number, image in enumerate(tqdm(images, desc=description, unit="image"))
        ])  # fmt: skip

    def _copies(self, image: np.ndarray, number: int) -> list[np.ndarray]:
        return [self._augment(image, np.random.default_rng((self._seed, number, copy))) for copy in range(COPIES)]
