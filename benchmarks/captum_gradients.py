"""captum called as Eq. 3 has it: once a scale, with each scale's own score."""

from functools import partial

import numpy as np
from captum.attr import IntegratedGradients
from torch import Tensor

from groundglass.method.classifier_network import SCALES, MultiScaleClassifier
from groundglass.presets import PAPER

PAPERS_RULE = (PAPER.gradients.rule, PAPER.gradients.steps)
"""Eq. 3's rule and m."""
BATCH = 5
"""Images at a time on a CPU: the fastest of 1, 2, 5 and 25 on two cores. A GPU takes all at once."""


def score_of_scale(network: MultiScaleClassifier, target: int, scale: int, images: Tensor) -> Tensor:
    """S of one class at one scale, `(batch,)`: what captum is given."""
    return network.score_maps(images)[scale][:, target].clamp_min(0).sum(dim=(1, 2))


def captum_attributions(network: MultiScaleClassifier, target: int, rule: str, steps: int, image: Tensor) -> np.ndarray:
    """Attributions of the three scales, `(3, 224, 224)`, of one image `(224, 224)`."""
    maps = []
    for scale in range(len(SCALES)):
        found = IntegratedGradients(partial(score_of_scale, network, target, scale)).attribute(
            image[None, None], n_steps=steps, method=rule, internal_batch_size=None if image.is_cuda else BATCH
        )
        maps.append(found[0, 0].detach().cpu().numpy())
    return np.stack(maps)
