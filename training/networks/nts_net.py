"""NTS-Net, the baseline row of Tables 3 and 4: a Navigator, a Teacher and a Scrutinizer that learn together.

Yang et al., "Learning to Navigate for Fine-grained Classification", ECCV 2018, written anew from the paper and small
enough for a CPU. Where it differs from the original:

- From scratch: no ImageNet weights, one channel, 224 instead of 448 pixels.
- The backbone is MONAI's ResNet-10 (or ResNet-18), not ResNet-50. Parts are 96 instead of 224 pixels wide.
- The Navigator starts from the last stage but one, whose 14 x 14 grid is the one that the original has at 448 pixels.
- Anchors measure 32, 64 and 96 pixels on grids of 14, 7 and 3 cells a side. The original's 48, 96 and 192 pixels on 14,
  7 and 4 cells would be 24, 48 and 96 in an image of half the size.
- The ranking loss stops at the Navigator; the backbone learns from the classifications alone.
- No dropout: every random choice of a training comes from the samples, so that it resumes to the same weights.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from groundglass.method.classifier_network import INPUT_SIZE, classification_loss
from training.networks.monai_parts import ResNet

PROPOSALS = 6
"""M: regions that the Teacher scores in training."""
PARTS = 4
"""K: the most informative of them, which the Scrutinizer sees beside the whole image."""
PART_SIZE = 96
"""Rows and columns to which a region is resized."""
OVERLAP = 0.25
"""Intersection over union above which the less informative of two regions is dropped."""
_GRIDS = ((14, 16, 32), (7, 32, 64), (3, 64, 96))
"""Cells a side, pixels from cell to cell, and the side of an anchor of each of the Navigator's grids."""
_RATIOS = (2 / 3, 1.0, 3 / 2)
"""Height over width of the anchors of one cell; all have the same area."""


class NTSOutput(NamedTuple):
    """What the loss needs of a training step.

    Attributes:
        raw: logits of the whole image, `(batch, class)`.
        concat: the Scrutinizer's logits, of the whole image and its parts together, `(batch, class)`.
        parts: the Teacher's logits of each proposal, `(batch, proposal, class)`.
        informativeness: the Navigator's score of each proposal, float32 `(batch, proposal)`, highest first.
    """

    raw: Tensor
    concat: Tensor
    parts: Tensor
    informativeness: Tensor


class Navigator(nn.Module):
    """From features on the 14 x 14 grid to the informativeness of every anchor, on three grids ever coarser.

    Args:
        channels: of the features.
        width: of its own convolutions.
    """

    def __init__(self, channels: int, width: int = 128) -> None:
        super().__init__()
        # Strides with no padding leave each cell's anchors in the middle of what the cell is computed from.
        self.grids = nn.ModuleList(
            (
                nn.Conv2d(channels, width, 3, padding=1),
                nn.Conv2d(width, width, 2, stride=2),
                nn.Conv2d(width, width, 3, stride=2),
            )
        )
        self.scores = nn.ModuleList(nn.Conv2d(width, len(_RATIOS), 1) for _ in _GRIDS)

    def forward(self, features: Tensor) -> Tensor:
        """`(batch, channel, 14, 14)` to `(batch, anchor)`, in the order of `make_anchors`."""
        scores = []
        for grid, score in zip(self.grids, self.scores, strict=True):
            features = grid(features).relu()
            scores.append(score(features).permute(0, 2, 3, 1).flatten(1))
        return torch.cat(scores, 1)


class NTSNet(nn.Module):
    """The three networks on one backbone.

    In training mode it gives an `NTSOutput`, in evaluation mode the Scrutinizer's logits, as other classifiers do.

    Args:
        classes: number of classes.
        blocks: residual blocks of each stage: one each is ResNet-10, two each ResNet-18.
        width: channels of the first stage; each further one doubles them.
    """

    anchors: Tensor

    def __init__(self, classes: int = 3, blocks: Sequence[int] = (1, 1, 1, 1), width: int = 64) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width]
        resnet = ResNet(
            "basic",
            list(blocks),
            widths,
            spatial_dims=2,
            n_input_channels=1,
            conv1_t_stride=2,
            feed_forward=False,
            bias_downsample=False,
        )
        self.early = nn.Sequential(
            resnet.conv1, resnet.bn1, resnet.act, resnet.maxpool, resnet.layer1, resnet.layer2, resnet.layer3
        )
        self.late = nn.Sequential(resnet.layer4, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.navigator = Navigator(widths[2])
        self.teacher = nn.Linear(widths[3], classes)
        self.raw = nn.Linear(widths[3], classes)
        self.scrutinizer = nn.Linear(widths[3] * (PARTS + 1), classes)
        self.register_buffer("anchors", make_anchors(), persistent=False)

    def forward(self, images: Tensor) -> NTSOutput | Tensor:
        """`(batch, 1, 224, 224)` in [0, 1] to an `NTSOutput`, or in evaluation mode to logits `(batch, class)`."""
        early = self.early(images)
        whole = self.late(early)
        # Only its ranking teaches the Navigator, and ranking teaches only the Navigator. Scores and boxes need the full
        # precision: in bfloat16 many anchors tie, and corners are off by a pixel.
        with torch.autocast(images.device.type, enabled=False):
            scores = self.navigator(early.detach().float())
            chosen = suppress_overlaps(self.anchors, scores.detach(), PROPOSALS if self.training else PARTS)
            crops = crop(images.float(), self.anchors[chosen])
        parts = self.late(self.early(crops)).unflatten(0, chosen.shape)
        concat = self.scrutinizer(torch.cat((parts[:, :PARTS].flatten(1), whole), 1))
        if not self.training:
            return concat
        return NTSOutput(self.raw(whole), concat, self.teacher(parts), scores.gather(1, chosen))


def nts_loss(output: NTSOutput, target: Tensor, class_weight: Tensor) -> Tensor:
    """Navigator's, Teacher's and Scrutinizer's loss, equally weighted as in the paper; the mean over the batch.

    Args:
        output: of the network in training mode, of any precision.
        target: class index, `(batch,)`.
        class_weight: weight of each class in the cross-entropies, `(class,)`.
    """
    weight = class_weight.to(target.device)
    parts = output.parts.float()
    every_target = target[:, None].expand(parts.shape[:2])
    confidence = parts.detach().softmax(2).gather(2, every_target[..., None])[..., 0]
    teacher = classification_loss(parts.flatten(0, 1), every_target.flatten(), weight, gamma=0.0) * parts.shape[1]
    raw = classification_loss(output.raw.float(), target, weight, gamma=0.0)
    scrutinizer = classification_loss(output.concat.float(), target, weight, gamma=0.0)
    return ranking_loss(output.informativeness.float(), confidence) + teacher + raw + scrutinizer


def ranking_loss(informativeness: Tensor, confidence: Tensor) -> Tensor:
    """Hinge loss of every pair of proposals: the more confident one is to be more informative, by at least 1.

    Args:
        informativeness: the Navigator's, `(batch, proposal)`.
        confidence: the Teacher's probability of the true class, same shape.

    Returns:
        Its sum over the pairs, mean of the batch.
    """
    lead = informativeness[:, :, None] - informativeness[:, None, :]
    should_lead = confidence[:, :, None] > confidence[:, None, :]
    return ((1.0 - lead).clamp_min(0.0) * should_lead).sum((1, 2)).mean()


def make_anchors() -> Tensor:
    """Every anchor's first row, first column, last row and last column, in pixels, `(anchor, 4)`.

    The tall and wide ones reach over the border of the image by a few pixels.
    """
    boxes = []
    for cells, step, side in _GRIDS:
        centre = (torch.arange(cells) - (cells - 1) / 2) * step + INPUT_SIZE / 2
        half = torch.tensor([(ratio**0.5, ratio**-0.5) for ratio in _RATIOS]) * side / 2
        middle = torch.stack(torch.meshgrid(centre, centre, indexing="ij"), -1)[:, :, None]
        boxes.append(torch.cat((middle - half, middle + half), -1).flatten(0, 2))
    return torch.cat(boxes)


def suppress_overlaps(boxes: Tensor, scores: Tensor, count: int) -> Tensor:
    """Non-maximum suppression of every image of a batch at once.

    Args:
        boxes: `(box, 4)`, the same for every image.
        scores: `(batch, box)`.
        count: how many to keep; not more than there are boxes that overlap little.

    Returns:
        Indices `(batch, count)` of those kept, the best first.
    """
    kept = []
    for _ in range(count):
        best = scores.argmax(1)
        kept.append(best)
        scores = scores.masked_fill(_overlap(boxes[best][:, None], boxes) > OVERLAP, -torch.inf)
    return torch.stack(kept, 1)


def _overlap(one: Tensor, other: Tensor) -> Tensor:
    """Intersection over union of boxes `(..., 4)` that broadcast."""
    low = torch.maximum(one[..., :2], other[..., :2])
    high = torch.minimum(one[..., 2:], other[..., 2:])
    shared = (high - low).clamp_min(0.0).prod(-1)
    area_one, area_other = ((box[..., 2:] - box[..., :2]).prod(-1) for box in (one, other))
    return shared / (area_one + area_other - shared)


def crop(images: Tensor, boxes: Tensor) -> Tensor:
    """Cut the regions out and resize them, linearly; what lies outside the image is black.

    Args:
        images: `(batch, 1, row, col)`.
        boxes: `(batch, region, 4)` in pixels.

    Returns:
        `(batch * region, 1, PART_SIZE, PART_SIZE)`.
    """
    size = torch.tensor(images.shape[2:], device=boxes.device).repeat(2)
    low, high = (boxes / size * 2 - 1).flatten(0, 1).chunk(2, 1)
    along = (torch.arange(PART_SIZE, device=boxes.device) + 0.5) / PART_SIZE
    rows, columns = (low[..., None] + (high - low)[..., None] * along).unbind(1)
    grid = torch.stack(torch.broadcast_tensors(columns[:, None, :], rows[:, :, None]), -1)
    # The regions of an image lie below each other in one grid, so that no image is copied.
    below = grid.reshape(len(images), -1, PART_SIZE, 2)
    parts = nn.functional.grid_sample(images, below, align_corners=False)
    return parts.reshape(-1, images.shape[1], PART_SIZE, PART_SIZE)
