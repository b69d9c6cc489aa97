"""Training the lung network (II-C)."""

from pathlib import Path

import torch
from torch import Tensor

from groundglass.method.lung_network import LungUNet
from training.data.lung_images import LungImages
from training.data.lung_samples import lung_samples
from training.data.normalisation import Normalisation
from training.engine.loop import Plan, fit


def dice_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """The sum of soft Dice loss over the batch and binary cross-entropy.

    Args:
        logits: the network's, of the centre plane alone, `(batch, 1, row, col)`.
        target: 0 or 1, `(batch, row, col)`.
    """
    logits = logits[:, 0].float()
    probability = logits.sigmoid()
    overlap = 2 * (probability * target).sum() + 1.0
    dice = 1 - overlap / (probability.sum() + target.sum() + 1.0)
    return dice + torch.nn.functional.binary_cross_entropy_with_logits(logits, target)


def train_lungs(
    out: Path, sources: dict[str, list[LungImages]], normalisation: Normalisation, plan: Plan, seed: int
) -> LungUNet:
    """Train, resuming from `out`; returns the moving average of the weights after the last iteration.

    Args:
        out: folder for checkpoint and log.
        sources: patients to train on, by source.
        normalisation: how intensities become the network's input.
        plan: length and speed.
        seed: of the first weights and of every sample.
    """
    torch.manual_seed(seed)
    network = LungUNet()
    draw = lung_samples(sources, network.neighbours, normalisation, seed)
    trained = fit(out, network, draw, dice_cross_entropy, plan, description="lungs")
    if not isinstance(trained, LungUNet):
        raise TypeError(f"The training loop returned a {type(trained).__name__}, not a lung network.")
    return trained
