"""II-F.1: the class scores of the three scales and their gradients with respect to the input, for one class.

The operations that integrated gradients spend their time on, and no others: BatchNorm is folded into the convolutions,
one forward pass serves the three scales, features are computed where they differ from those of a black image
(`changed_window`), a scale is followed down only from images whose gradient can be non-zero, and from the
deepest scale upwards all gradients travel as one batch.
"""

from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

from groundglass.method.changed_window import Window, changed_windows
from groundglass.method.classifier_network import INPUT_SIZE, SCALES, MultiScaleClassifier
from groundglass.method.precision import exact_float32, fast_precision

Reading = Literal["score", "score_map"]

_FIRST_LEVEL = 2
"""Blocks below the first that has a score map."""


def backward_precision(network: MultiScaleClassifier) -> torch.dtype:
    """The gradients' precision: bfloat16 for a float32 network where the device computes with it, else the network's.

    The forward pass keeps the network's precision, on a GPU too: rounding there would switch ReLUs and poolings, which
    costs single maps a correlation of .006 with float64 even where only Conv3 and above are rounded, and .05 where all
    is; rounding on the way back costs .00001 (`python -m benchmarks.saliency`).
    """
    parameter = next(network.parameters())
    return fast_precision(parameter.device) if parameter.dtype == torch.float32 else parameter.dtype


class _Convolution:
    """3x3 convolution with BatchNorm folded in, and ReLU; turned round for the way back."""

    def __init__(self, convolution: nn.Conv2d, norm: nn.BatchNorm2d, backward: torch.dtype) -> None:
        weight, bias = fuse_conv_bn_weights(
            convolution.weight,
            convolution.bias,
            norm.running_mean,  # type: ignore[arg-type]
            norm.running_var,  # type: ignore[arg-type]
            norm.eps,
            norm.weight,
            norm.bias,
        )
        self._weight = weight.detach().contiguous(memory_format=torch.channels_last)
        self._bias = bias.detach()
        turned = self._weight.flip(2, 3).transpose(0, 1).to(backward)
        self._turned_weight = turned.contiguous(memory_format=torch.channels_last)
        self.channels_in = weight.shape[1]

    def __call__(self, framed: Tensor) -> Tensor:
        """Features of `framed`, which has a border of one cell."""
        return functional.conv2d(framed, self._weight, self._bias).relu_()

    def back(self, gradient: Tensor) -> Tensor:
        """From the gradient behind the convolution, the ReLU's mask applied, to the gradient before it."""
        if self.channels_in > 1:
            return functional.conv2d(gradient, self._turned_weight, padding=1)
        # To the image's one channel: a product for the nine places and their sum, 2.6 times as fast.
        rows, columns = gradient.shape[2:]
        places = gradient.permute(0, 2, 3, 1) @ self._turned_weight[0].flatten(1)
        places = functional.pad(places, (0, 0, 1, 1, 1, 1)).to(self._weight.dtype)
        nine = product(range(3), range(3))
        shifted = [places[:, i : i + rows, j : j + columns, 3 * i + j] for i, j in nine]
        return torch.stack(shifted).sum(dim=0)[:, None]


@dataclass
class _Passed:
    """What a forward pass lets through, by level.

    Attributes:
        active: by each ReLU, 1 or 0 in the gradients' precision.
        pooled: by each pooling.
    """

    active: list[list[Tensor]] = field(default_factory=list)
    pooled: list[Tensor] = field(default_factory=list)


class ScoreGradients:
    """S of one class at Conv3, Conv4 and Conv5 and their gradients, for batches of images.

    Args:
        network: in evaluation mode, on the device to use.
        target: class index.
        reading: what the class score of one scale is: `score`, its score map after Global Max Pooling (Eq. 2 read
            literally), or `score_map`, the sum of the map's positive cells, so that every lesion counts.
        backward: precision of the gradients; None for `backward_precision`.
    """

    def __init__(
        self, network: MultiScaleClassifier, target: int, reading: Reading, backward: torch.dtype | None = None
    ) -> None:
        if reading not in ("score", "score_map"):
            raise ValueError(f"There is no reading '{reading}' of the score: use score or score_map.")
        self._reading = reading
        self.backward = backward or backward_precision(network)
        self._blocks = []
        for block in network.blocks:
            layers: list[Any] = list(block.children())
            pairs = zip(layers[0::3], layers[1::3], strict=True)  # every third is the ReLU
            self._blocks.append([_Convolution(conv, norm, self.backward) for conv, norm in pairs])
        heads: list[Any] = list(network.heads)
        self._head_weights = [head.weight[target, :, 0, 0].detach() for head in heads]
        self._head_biases = [head.bias[target].detach() for head in heads]
        self._see_black()

    def score_of_black(self) -> Tensor:
        """S of the class of a black image, `(scale, 1)`."""
        return torch.stack([self._score(score_map) for score_map in self._black_maps])

    @torch.inference_mode()
    @exact_float32()
    def scores(self, images: Tensor) -> Tensor:
        """S of the class, `(scale, batch)`, of images `(batch, 224, 224)`, in the network's precision."""
        return torch.stack([self._score(score_map) for score_map in self._forward(images, self._windows(images))])

    @torch.inference_mode()
    @exact_float32()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of S with respect to the images, and S itself.

        Args:
            images: `(batch, 224, 224)`, in the network's precision.

        Returns:
            Gradients `(scale, batch, row, col)`, 0 outside the box around all pixels that aren't black, and S
            `(scale, batch)`, in the same precision.
        """
        passed, windows = _Passed(), self._windows(images)
        maps = self._forward(images, windows, passed)
        gradient, image_of, scale_of = self._nothing(images)
        for level in range(len(self._blocks) - 1, -1, -1):
            if level >= _FIRST_LEVEL:
                scale = level - _FIRST_LEVEL
                cells = windows[level].of(self._counting_cells(maps[scale]))
                alive = cells.flatten(1).any(dim=1).nonzero()[:, 0]
                weight = self._head_weights[scale].to(self.backward)[None, :, None, None]
                from_head = cells[alive][:, None].to(self.backward) * weight
                gradient = torch.cat([gradient, from_head]) if len(gradient) else from_head
                image_of = torch.cat([image_of, alive])
                scale_of = torch.cat([scale_of, torch.full_like(alive, scale)])
            if not len(gradient):
                continue
            gradient = gradient.contiguous(memory_format=torch.channels_last)
            for convolution, active in zip(reversed(self._blocks[level]), reversed(passed.active[level]), strict=True):
                # At the window's border gradients from outside are missing: such cells reach no pixel that counts.
                gradient = convolution.back(gradient * _of_images(active, image_of))
            if level:
                gradient = windows[level - 1].halved().inside(windows[level]).of(gradient)
                pooled = _of_images(passed.pooled[level - 1], image_of)
                gradient = functional.interpolate(gradient, scale_factor=2.0) * pooled
        result = images.new_zeros(len(SCALES), *images.shape)
        if len(gradient):
            windows[0].of(result)[scale_of, image_of] = gradient[:, 0].to(images.dtype)
        return result, torch.stack([self._score(score_map) for score_map in maps])

    def _windows(self, images: Tensor) -> list[Window]:
        if images.shape[1:] != (INPUT_SIZE, INPUT_SIZE):
            raise ValueError(f"Images are {INPUT_SIZE} x {INPUT_SIZE}, not {images.shape[1]} x {images.shape[2]}.")
        return changed_windows(images, [len(block) for block in self._blocks])

    @torch.inference_mode()
    @exact_float32()
    def _see_black(self) -> None:
        """What each convolution sees of a black image, by level, with the zeros around it, and the score maps."""
        black = self._head_weights[0].new_zeros(1, INPUT_SIZE, INPUT_SIZE)
        sizes = [INPUT_SIZE // 2**level for level in range(len(self._blocks))]
        self._black = [
            [black.new_zeros(1, convolution.channels_in, size + 2, size + 2) for convolution in block]
            for block, size in zip(self._blocks, sizes, strict=True)
        ]
        self._black_maps = [black.new_zeros(1, size, size) for size in sizes[_FIRST_LEVEL:]]
        seen: list[list[Tensor]] = []
        self._black_maps = self._forward(black, [Window(0, size, 0, size) for size in sizes], seen=seen)
        self._black = seen

    def _forward(
        self,
        images: Tensor,
        windows: list[Window],
        passed: _Passed | None = None,
        seen: list[list[Tensor]] | None = None,
    ) -> list[Tensor]:
        """Score maps of the class, each `(batch, row, col)`.

        Args:
            images: `(batch, row, col)`.
            windows: of each level, outside which the features are those of the black image.
            passed: is filled with what the way back needs.
            seen: is filled with what each convolution sees.
        """
        maps = []
        features, known = windows[0].of(images)[:, None], windows[0]
        for level, (block, window) in enumerate(zip(self._blocks, windows, strict=True)):
            if level:
                features, chosen = functional.max_pool2d(features, 2, return_indices=True)
                known = windows[level - 1].halved()
                if passed is not None:
                    ones = torch.ones_like(features)
                    size = [2 * length for length in features.shape[2:]]
                    # Not by way of `functional`, whose check of the size loads sympy: 500 modules.
                    passed.pooled.append(torch.ops.aten.max_unpool2d(ones, chosen, size).to(self.backward))
            if passed is not None:
                passed.active.append([])
            if seen is not None:
                seen.append([])
            for convolution, black in zip(block, self._black[level], strict=True):
                framed = _framed(features, known, black, window)
                features, known = convolution(framed), window
                if passed is not None:  # none is negative; the sign is quicker than a comparison
                    passed.active[-1].append(features.sign().to(self.backward))
                if seen is not None:
                    seen[-1].append(framed)
            if level >= _FIRST_LEVEL:
                scale = level - _FIRST_LEVEL
                channels = self._head_weights[scale][None, :, None, None]
                score_map = self._black_maps[scale].repeat(len(images), 1, 1)
                window.of(score_map)[:] = (features * channels).sum(dim=1) + self._head_biases[scale]
                maps.append(score_map)
        return maps

    def _score(self, score_map: Tensor) -> Tensor:
        if self._reading == "score":
            return score_map.amax(dim=(1, 2))
        return score_map.clamp_min(0).sum(dim=(1, 2))

    def _counting_cells(self, score_map: Tensor) -> Tensor:
        """Cells on which the score depends, bool `(batch, row, col)`: the largest, or all positive ones."""
        if self._reading == "score_map":
            return score_map > 0
        cells = torch.zeros_like(score_map, dtype=torch.bool)
        flat = score_map.flatten(1)
        return cells.flatten(1).scatter(1, flat.argmax(dim=1, keepdim=True), True).view_as(score_map)

    def _nothing(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """No gradients yet, and for each of them the image and the scale it belongs to."""
        none = torch.zeros(0, dtype=torch.long, device=images.device)
        return images.new_zeros(0, dtype=self.backward), none, none


def _framed(features: Tensor, known: Window, black: Tensor, window: Window) -> Tensor:
    """What a 3x3 convolution sees that makes the cells of `window`: `features`, and the black image's around them.

    Args:
        features: of the window `known`, `(batch, channel, row, col)`.
        black: with a border of one cell, `(1, channel, row, col)`.
    """
    framed = Window(window.top, window.bottom + 2, window.left, window.right + 2)  # in the cells of `black`
    seen = framed.of(black).expand(len(features), -1, -1, -1).clone(memory_format=torch.channels_last)
    Window(*(bound + 1 for bound in known)).inside(framed).of(seen).copy_(features)
    return seen


def _of_images(values: Tensor, image_of: Tensor) -> Tensor:
    """Each gradient's own; one image's serve all without a copy."""
    return values if len(values) == 1 else values[image_of]
