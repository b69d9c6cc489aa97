"""II-D and II-E: the multi-scale VGG-like classifier and its loss."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

INPUT_SIZE = 224
"""Rows and columns of the network's input."""
SCALES = ("conv3", "conv4", "conv5")

_WIDTHS = ((32, 32), (64, 64), (128, 128, 128), (256, 256, 256), (256, 256, 256))


class ScoreMaps(NamedTuple):
    """Class score maps (class activation maps) at three scales, each `(batch, class, height, width)`."""

    conv3: Tensor
    conv4: Tensor
    conv5: Tensor

    def scores(self) -> Tensor:
        """Global Max Pooling of each map: `(scale, batch, class)`."""
        return torch.stack([score_map.amax(dim=(2, 3)) for score_map in self])


class MultiScaleClassifier(nn.Module):
    """2xC(32) MP 2xC(64) MP 3xC(128) MP 3xC(256) MP 3xC(256), with a class score map at Conv3, Conv4 and Conv5.

    Every C is a 3x3 convolution with BatchNorm and ReLU; a 1x1 convolution makes each score map before the block's
    pooling, so that one cell sees 40, 92 and 196 input pixels. The last pooling feeds nothing and is left out.

    Args:
        classes: K, 3 for NP / CAP / COVID-19 or 2 for the binary tasks.
    """

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        before = 1
        for widths in _WIDTHS:
            layers: list[nn.Module] = []
            for width in widths:
                layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
                before = width
            self.blocks.append(nn.Sequential(*layers))
        self.heads = nn.ModuleList(nn.Conv2d(widths[-1], classes, 1) for widths in _WIDTHS[2:])

    def score_maps(self, images: Tensor) -> ScoreMaps:
        """`(batch, 1, 224, 224)` in [0, 1] to the score maps of 56, 28 and 14 cells a side."""
        maps = []
        features = images
        for level, block in enumerate(self.blocks):
            features = block(nn.functional.max_pool2d(features, 2) if level else features)
            if level >= 2:
                maps.append(self.heads[level - 2](features))
        return ScoreMaps(*maps)

    def forward(self, images: Tensor) -> Tensor:
        """Aggregated scores `(batch, class)`; their softmax is the prediction."""
        return self.score_maps(images).scores().sum(0)


def classification_loss(scores: Tensor, target: Tensor, class_weight: Tensor, gamma: float = 1.0) -> Tensor:
    """Eq. 1: cross-entropy weighted by inverse class frequency and by the focal factor (1 - P_c)^gamma.

    Args:
        scores: `(batch, class)`.
        target: class index, `(batch,)`.
        class_weight: w_c, `(class,)`.
        gamma: how fast easy examples lose weight; 0 gives plain weighted cross-entropy.
    """
    log_probability = scores.log_softmax(1).gather(1, target[:, None])[:, 0]
    focal = (1.0 - log_probability.exp()).clamp_min(1e-8) ** gamma
    return -(class_weight[target] * focal * log_probability).mean()
