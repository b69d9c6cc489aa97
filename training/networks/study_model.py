"""Attention-based multiple-instance learning over a patient's slices: the study-level model of the paper's section IV.

A study is a bag of slices with one label. Gated attention (Ilse, Tomczak, Welling: Attention-based Deep Multiple
Instance Learning, ICML 2018, Eq. 9) weighs the slices, and the weighted mean of their features gives the study's class.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from groundglass.domain.class_names import CLASSES
from training.networks.penultimate import FEATURES

Bag = tuple[np.ndarray, int]
"""Features of a study's slices, float32 `(slice, 640)`, and the study's class index."""


class AttentionMIL(nn.Module):
    """Slices' features to attention weights and study scores.

    Args:
        features: of each slice.
        hidden: of the slices' embedding; small, because patients are few.
        classes: K.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, features: int = FEATURES, hidden: int = 16, classes: int = len(CLASSES)) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("spread", torch.ones(features))
        self.embed = nn.Sequential(nn.Linear(features, hidden), nn.ReLU())
        self.content = nn.Linear(hidden, hidden)
        self.gate = nn.Linear(hidden, hidden)
        self.weigh = nn.Linear(hidden, 1, bias=False)
        self.head = nn.Linear(hidden, classes)

    def standardise(self, bags: Sequence[Bag]) -> None:
        """Take the mean and the spread of the features from the training bags."""
        rows = torch.from_numpy(np.concatenate([features for features, _ in bags])).float()
        self.mean.copy_(rows.mean(dim=0))
        self.spread.copy_(rows.std(dim=0, correction=0) + 1e-3)  # a feature that never fires stays near zero

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """`(slice, feature)` to the study's scores `(class,)` and the slices' attention `(slice,)`, together 1."""
        slices = self.embed((features - self.mean) / self.spread)
        gated = torch.tanh(self.content(slices)) * torch.sigmoid(self.gate(slices))
        attention = self.weigh(gated)[:, 0].softmax(dim=0)
        return self.head(attention @ slices), attention
