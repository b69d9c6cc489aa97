"""II-F.1: the class scores of the three scales and their gradients with respect to the input, for one class.

The operations that integrated gradients spend their time on, and no others: BatchNorm is folded into the convolutions,
one forward pass serves the three scales, features are computed where they differ from those of a black image
(`method.changed_window`), a scale is followed down only from images whose gradient can be non-zero, and from the
deepest scale upwards all gradients travel as one batch.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights

from method.changed_window import Window, changed_windows
from method.classifier_network import INPUT_SIZE, SCALES, MultiScaleClassifier

Reading = Literal["score", "score_map"]

_FIRST_LEVEL = 2
"""Blocks below the first that has a score map."""


def backward_precision(network: MultiScaleClassifier) -> torch.dtype:
    """The gradients' precision: bfloat16 for a float32 network where the device computes with it, else the network's.

    The forward pass keeps the network's precision: rounding there would switch ReLUs, which costs the map a correlation
    of .003 with float64; rounding on the way back costs .00001 (`python -m benchmarks.saliency`).
    """
    own = next(network.parameters()).dtype
    if own != torch.float32:
        return own
    if next(network.parameters()).is_cuda:
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = torch.ops.mkldnn._is_mkldnn_bf16_supported() and torch.backends.cpu.get_cpu_capability() == "AVX512"
    return torch.bfloat16 if fast else own


class _Convolution:
    """3x3 convolution with BatchNorm folded in: its weights forward, and turned round for the way back."""

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
        self.weight = weight.detach().contiguous(memory_format=torch.channels_last)
        self.bias = bias.detach()
        turned = self.weight.flip(2, 3).transpose(0, 1).to(backward)
        self.turned_weight = turned.contiguous(memory_format=torch.channels_last)


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
        self._black, self._black_maps = self._features_of_black()

    @torch.inference_mode()
    def scores(self, images: Tensor) -> Tensor:
        """S of the class, `(scale, batch)`, of images `(batch, 224, 224)`."""
        return torch.stack([self._score(score_map) for score_map in self._forward(images, self._windows(images))])

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of S with respect to the images, and S itself.

        Args:
            images: `(batch, 224, 224)`, in the network's precision.

        Returns:
            Gradients `(scale, batch, row, col)`, 0 outside the box around all pixels that aren't black, and S
            `(scale, batch)`, in the same precision.
        """
        active: list[list[Tensor]] = []
        pooled: list[Tensor] = []
        windows = self._windows(images)
        maps = self._forward(images, windows, active, pooled)
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
            for convolution, mask in zip(reversed(self._blocks[level]), reversed(active[level]), strict=True):
                # At the window's border gradients from outside are missing: such cells reach no pixel that counts.
                gradient = functional.conv2d(gradient * _of_images(mask, image_of), convolution.turned_weight, padding=1)
            if level:
                gradient = windows[level - 1].halved().inside(windows[level]).of(gradient)
                gradient = functional.interpolate(gradient, scale_factor=2.0) * _of_images(pooled[level - 1], image_of)
        result = images.new_zeros(len(SCALES), *images.shape)
        if len(gradient):
            windows[0].of(result)[scale_of, image_of] = gradient[:, 0].to(images.dtype)
        return result, torch.stack([self._score(score_map) for score_map in maps])

    def _windows(self, images: Tensor) -> list[Window]:
        if images.shape[1:] != (INPUT_SIZE, INPUT_SIZE):
            raise ValueError(f"Images are {INPUT_SIZE} x {INPUT_SIZE}, not {images.shape[1]} x {images.shape[2]}.")
        return changed_windows(images, [len(block) for block in self._blocks])

    def _forward(
        self,
        images: Tensor,
        windows: list[Window],
        active: list[list[Tensor]] | None = None,
        pooled: list[Tensor] | None = None,
    ) -> list[Tensor]:
        """Score maps of the class, each `(batch, row, col)`.

        Args:
            images: `(batch, row, col)`.
            windows: of each level, outside which the features are those of the black image.
            active: filled, block by block, with what each ReLU lets through: 1 or 0 in the gradients' precision.
            pooled: filled with what each pooling lets through.
        """
        maps = []
        features, known = windows[0].of(images)[:, None], windows[0]
        for level, (block, window) in enumerate(zip(self._blocks, windows, strict=True)):
            if level:
                features, chosen = functional.max_pool2d(features, 2, return_indices=True)
                known = windows[level - 1].halved()
                if pooled is not None:
                    pooled.append(functional.max_unpool2d(torch.ones_like(features), chosen, [2, 2]).to(self.backward))
            masks = []
            for convolution, black in zip(block, self._black[level], strict=True):
                features = functional.conv2d(
                    _framed(features, known, black, window), convolution.weight, convolution.bias
                ).relu_()
                known = window
                if active is not None:
                    masks.append((features > 0).to(self.backward))
            if active is not None:
                active.append(masks)
            if level >= _FIRST_LEVEL:
                scale = level - _FIRST_LEVEL
                channels = self._head_weights[scale][None, :, None, None]
                score_map = self._black_maps[scale].repeat(len(images), 1, 1)
                window.of(score_map)[:] = (features * channels).sum(dim=1) + self._head_biases[scale]
                maps.append(score_map)
        return maps

    @torch.inference_mode()
    def _features_of_black(self) -> tuple[list[list[Tensor]], list[Tensor]]:
        """Of a black image: what each convolution sees, by level, with the zeros around it, and the score maps."""
        weight = self._blocks[0][0].weight
        features = weight.new_zeros(1, 1, INPUT_SIZE, INPUT_SIZE)
        seen: list[list[Tensor]] = []
        maps = []
        for level, block in enumerate(self._blocks):
            if level:
                features = functional.max_pool2d(features, 2)
            seen.append([])
            for convolution in block:
                seen[-1].append(functional.pad(features, (1, 1, 1, 1)).contiguous(memory_format=torch.channels_last))
                features = functional.conv2d(seen[-1][-1], convolution.weight, convolution.bias).relu_()
            if level >= _FIRST_LEVEL:
                scale = level - _FIRST_LEVEL
                channels = self._head_weights[scale][None, :, None, None]
                maps.append((features * channels).sum(dim=1) + self._head_biases[scale])
        return seen, maps

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
