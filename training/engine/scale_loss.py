"""The classifier's loss: of all scales together and of each alone, on labels of which some are weak."""

import numpy as np
import torch
from torch import Tensor, nn

from groundglass.method.classifier_network import MultiScaleClassifier
from training.data.public_slices import COVID19, NP, WEAK_COVID19

NOISE_RATE = 0.35
"""Part of the CT-1 slices of MosMedData that are taken to show no disease."""


class EveryScale(nn.Module):
    """The classifier with the scores of each scale as its output, `(batch, scale, class)`."""

    def __init__(self, network: MultiScaleClassifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Global Max Pooling of each scale's score map (II-D)."""
        return self.network.score_maps(images).scores().transpose(0, 1)


def weak_label_loss(scores: Tensor, target: Tensor, gamma: float = 1.0) -> Tensor:
    """Eq. 1 for classes drawn equally often, where a label may say that a slice shows COVID-19 or, rarer, nothing.

    The probability of the label WEAK_COVID19 is (1 - NOISE_RATE) P(COVID-19) + NOISE_RATE P(NP): the label is corrected
    on the way forward (Patrini et al., CVPR 2017), so that a slice without disease may be called so at little cost.

    Args:
        scores: `(batch, class)`.
        target: index into CLASSES, or WEAK_COVID19, `(batch,)`.
        gamma: Eq. 1's.
    """
    log_class = scores.float().log_softmax(1)
    weak = torch.logaddexp(
        log_class[:, COVID19] + float(np.log(1 - NOISE_RATE)), log_class[:, NP] + float(np.log(NOISE_RATE))
    )
    log_label = torch.cat([log_class, weak[:, None]], 1).gather(1, target[:, None])[:, 0]
    # The best that a weak label can be told is 1 - NOISE_RATE, and counts as 1.
    best = torch.where(target == WEAK_COVID19, 1 - NOISE_RATE, 1.0)
    focal = (1.0 - log_label.exp() / best).clamp(1e-8, 1.0) ** gamma
    return -(focal * log_label).mean()


def last_scale_loss(scores: Tensor, target: Tensor) -> Tensor:
    """The loss of the last scale alone; arguments as of `scale_loss`."""
    return weak_label_loss(scores[:, -1], target)


def scale_loss(scores: Tensor, target: Tensor) -> Tensor:
    """The loss of the aggregated scores, and the mean of those of each scale alone, half each.

    With the aggregated scores alone Conv5 learns to balance the other two and sees nothing by itself.

    Args:
        scores: `(batch, scale, class)`.
        target: as of `weak_label_loss`.
    """
    each = torch.stack([weak_label_loss(scores[:, scale], target) for scale in range(scores.shape[1])]).mean()
    return (weak_label_loss(scores.sum(1), target) + each) / 2
