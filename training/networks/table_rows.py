"""The network of each row of Tables 3 and 4: the classifier, one of its scales, or NTS-Net."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from groundglass.domain.class_names import CLASSES
from groundglass.method.classifier_network import SCALES, MultiScaleClassifier, classification_loss
from training.networks.nts_net import NTSNet, nts_loss

TASKS: tuple[tuple[str, ...], ...] = (CLASSES, ("np", "cap"), ("np", "covid19"), ("cap", "covid19"))


@dataclass(frozen=True)
class Row:
    """One row of the tables.

    Attributes:
        name: as in `Predictions.row`.
        scales: the classifier's scales; none for the NTS-Net baseline.
        contrast: with contrast augmentation.
    """

    name: str
    scales: tuple[str, ...]
    contrast: bool = True


ROWS = (
    *(Row(scale, (scale,)) for scale in SCALES),
    Row("joint", SCALES),
    Row("nca", SCALES, contrast=False),
    Row("nts_net", ()),
)


class SingleScaleClassifier(nn.Module):
    """The classifier cut after one scale, with that scale's score map alone."""

    def __init__(self, network: MultiScaleClassifier, scale: str) -> None:
        super().__init__()
        level = SCALES.index(scale)
        self.blocks = nn.ModuleList(network.blocks[: level + 3])
        self.head = network.heads[level]

    def forward(self, images: Tensor) -> Tensor:
        """Scores `(batch, class)`."""
        features = images
        for level, block in enumerate(self.blocks):
            features = block(nn.functional.max_pool2d(features, 2) if level else features)
        scores: Tensor = self.head(features).amax(dim=(2, 3))
        return scores


CLASS_LAYERS = ("heads", "teacher", "raw", "scrutinizer")
"""Those of both networks that have an output for each class; the Navigator's three outputs are ratios of anchors."""


def keep_classes(network: nn.Module, task: Sequence[str]) -> nn.Module:
    """A copy of a three-way network that scores the classes of `task` only."""
    network = copy.deepcopy(network).requires_grad_(True)
    kept = [CLASSES.index(name) for name in task]
    for name, layer in network.named_modules():
        if name.split(".")[0] in CLASS_LAYERS and isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight = nn.Parameter(layer.weight.detach()[kept].clone())
            if layer.bias is not None:
                layer.bias = nn.Parameter(layer.bias.detach()[kept].clone())
            setattr(layer, "out_channels" if isinstance(layer, nn.Conv2d) else "out_features", len(kept))
    return network


def build(row: Row, task: Sequence[str], pretrained: nn.Module | None) -> nn.Module:
    """The network of a row: from `pretrained`, or from scratch."""
    if not row.scales:
        return NTSNet(len(task)) if pretrained is None else keep_classes(pretrained, task)
    network = MultiScaleClassifier(len(task)) if pretrained is None else keep_classes(pretrained, task)
    return network if row.scales == SCALES else SingleScaleClassifier(network, row.scales[0])  # type: ignore[arg-type]


def loss_of(row: Row, class_weight: Tensor) -> Callable[..., Tensor]:
    """Eq. 1, or NTS-Net's own loss."""
    if not row.scales:
        return lambda output, target: nts_loss(output, target, class_weight.to(target.device))
    return lambda scores, target: classification_loss(scores.float(), target, class_weight.to(target.device))
