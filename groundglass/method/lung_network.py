"""II-C: the U-Net that sees one plane of the volume together with its neighbours.

Every plane is encoded once. At the bottleneck the centre plane attends to itself and its neighbours, place by place:
the sequential information attention. The decoder works on the centre plane alone.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn


class DoubleConv(nn.Sequential):
    """Two 3x3 convolutions, each with BatchNorm and ReLU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )


class SequentialAttention(nn.Module):
    """Attention of each centre plane over its `neighbours` planes, at every place of the feature map.

    The query comes from the centre plane; keys and values from the whole sequence, with a learned embedding of the
    offset. The result is added to the centre plane's features.
    """

    def __init__(self, channels: int, neighbours: int, heads: int = 4) -> None:
        super().__init__()
        self.neighbours = neighbours
        self.heads = heads
        self.offset = nn.Parameter(torch.zeros(neighbours, channels))
        self.query = nn.Conv2d(channels, channels, 1)
        self.key_value = nn.Conv2d(channels, 2 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """`(batch, planes, channels, height, width)` to `(batch, planes - neighbours + 1, channels, height, width)`."""
        batch, planes, channels, height, width = features.shape
        centres = planes - self.neighbours + 1
        half = self.neighbours // 2
        centre = features[:, half : half + centres]
        query = self.query(centre.flatten(0, 1)).view(batch, centres, 1, self.heads, -1, height, width)
        # (batch, centres, neighbours, channels, height, width)
        sequence = features.unfold(1, self.neighbours, 1).permute(0, 1, 5, 2, 3, 4)
        sequence = sequence + self.offset[None, None, :, :, None, None]
        key, value = (
            self.key_value(sequence.flatten(0, 2))
            .view(batch, centres, self.neighbours, 2, self.heads, -1, height, width)
            .unbind(3)
        )
        weight = (query * key).sum(4, keepdim=True) * (channels // self.heads) ** -0.5
        mixed = (weight.softmax(2) * value).sum(2).flatten(2, 3)
        attended: Tensor = centre + self.out(mixed.flatten(0, 1)).view_as(centre)
        return attended


class LungUNet(nn.Module):
    """2D U-Net with sequential attention; the same weights serve the axial, coronal and sagittal planes.

    Args:
        channels: feature maps at each level; every level halves the size.
        neighbours: odd number k of planes that the bottleneck sees.
    """

    def __init__(self, channels: tuple[int, ...] = (16, 32, 64, 128, 192), neighbours: int = 3) -> None:
        super().__init__()
        if neighbours % 2 == 0:
            raise ValueError(f"The number of neighbouring planes must be odd, not {neighbours}.")
        self.neighbours = neighbours
        self.size_multiple = 2 ** (len(channels) - 1)
        self.encoder = nn.ModuleList(
            DoubleConv(before, after) for before, after in zip((1, *channels[:-1]), channels, strict=True)
        )
        self.attention = SequentialAttention(channels[-1], neighbours)
        rising = channels[::-1]
        self.up = nn.ModuleList(nn.ConvTranspose2d(deep, shallow, 2, stride=2) for deep, shallow in pairwise(rising))
        self.decoder = nn.ModuleList(DoubleConv(2 * shallow, shallow) for shallow in rising[1:])
        self.head = nn.Conv2d(channels[0], 1, 1)

    def forward(self, planes: Tensor) -> Tensor:
        """Logits of "lung" for the planes that have all their neighbours.

        Args:
            planes: `(batch, planes, height, width)`, consecutive planes normalised to [0, 1]; height and width
                multiples of `size_multiple`.

        Returns:
            `(batch, planes - neighbours + 1, height, width)`.
        """
        batch, count = planes.shape[:2]
        half = self.neighbours // 2
        centres = count - 2 * half
        features = planes.reshape(batch * count, 1, *planes.shape[2:])
        skips = []
        for level, block in enumerate(self.encoder):
            if level:
                features = nn.functional.max_pool2d(features, 2)
            features = block(features)
            skips.append(features)
        deep = self.attention(features.view(batch, count, *features.shape[1:]))
        decoded = deep.flatten(0, 1)
        for up, block, skip in zip(self.up, self.decoder, skips[-2::-1], strict=True):
            own = skip.view(batch, count, *skip.shape[1:])[:, half : half + centres].flatten(0, 1)
            decoded = block(torch.cat([up(decoded), own], dim=1))
        scores: Tensor = self.head(decoded).view(batch, centres, *planes.shape[2:])
        return scores
