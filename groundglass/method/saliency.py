"""II-F.1: category-specific saliency by integrated gradients at three scales, and their joint map."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from scipy import ndimage
from scipy.special import roots_jacobi
from torch import Tensor

from groundglass.domain.arrays import FloatMap, Floats, Numbers
from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.method.score_gradients import Reading, ScoreGradients

Factor = Literal["attribution", "gradient"]
Part = Literal["absolute", "positive"]
Rule = Literal["riemann_right", "midpoint", "gauss_legendre", "gauss_jacobi"]

PROOF_STEPS = 12
"""Nodes of the midpoint rule by which Eq. 3's completeness is proved: benchmarks/results/saliency.md."""


@dataclass(frozen=True)
class IntegratedGradients:
    """Eq. 3 for each of the three scales' class score, from a zero baseline.

    Attributes:
        reading: what the class score of one scale is; see `ScoreGradients`.
        rule: how the integral is approximated; `riemann_right` is Eq. 3. `gauss_jacobi` is made for the mean of the
            gradients with `gradient_power`, and takes a third of the nodes for it; the plain mean of Eq. 3 it gives
            only roughly, so that no completeness error is told.
        steps: m of Eq. 3, or the number of nodes of the other rules.
        gradient_power: in the mean of the gradients each counts with this power of its place on the path; 0 gives the
            mean that Eq. 3 multiplies with the input.
        batch: interpolated images at a time, up to 100 MB each; None takes one on a CPU, whose cache holds no more, and
            sixteen on a GPU.
    """

    reading: Reading
    rule: Rule
    steps: int
    gradient_power: float
    batch: int | None = None

    def nodes(self) -> tuple[Numbers, Numbers]:
        """Positions on the path from 0 to 1 and their weights, float64."""
        if self.rule == "riemann_right":
            return np.arange(1, self.steps + 1) / self.steps, np.full(self.steps, 1 / self.steps)
        if self.rule == "midpoint":
            return (np.arange(self.steps) + 0.5) / self.steps, np.full(self.steps, 1 / self.steps)
        if self.rule == "gauss_legendre":
            positions, weights = np.polynomial.legendre.leggauss(self.steps)
            return (positions + 1) / 2, weights / 2
        if self.rule == "gauss_jacobi":
            positions, weights = roots_jacobi(self.steps, 0.0, self.gradient_power)
            places = (positions + 1) / 2
            # `weights` integrate what is multiplied with the power of the place; so that is divided out again.
            return places, weights / weights.sum() / (self.gradient_power + 1) / places**self.gradient_power
        raise ValueError(
            f"There is no integration rule '{self.rule}': use riemann_right, midpoint, gauss_legendre or gauss_jacobi."
        )

    def proving(self) -> "IntegratedGradients":
        """The same integral by a rule that also proves the completeness of Eq. 3; itself where it does."""
        return replace(self, rule="midpoint", steps=PROOF_STEPS) if self.rule == "gauss_jacobi" else self

    def prepare(self, network: MultiScaleClassifier, target: int) -> ScoreGradients:
        """What `attribute` asks for the gradients of class `target`; one serves all slices of a study."""
        return ScoreGradients(network, target, self.reading)

    def attribute(self, gradients: ScoreGradients, image: Tensor) -> "PathIntegrals":
        """Integrated gradients of one image at the three scales, and their mean gradients.

        Args:
            gradients: of the class to explain.
            image: `(224, 224)` in [0, 1], on the network's device, in its precision.
        """
        places, parts = self.nodes()
        shares = parts * places**self.gradient_power
        positions, weights, mean_weights = (
            image.new_tensor(values)[:, None, None] for values in (places, parts, shares / shares.sum())
        )
        batch = self.batch or (16 if image.is_cuda else 1)
        total, mean = image.new_zeros(2, 3, *image.shape)
        proves = self.rule != "gauss_jacobi"
        scores = [gradients.scores(image[None]), gradients.score_of_black()] if proves else []
        for first in range(0, self.steps, batch):
            part = slice(first, first + batch)
            found, at_nodes = gradients(positions[part] * image)
            total += (found * weights[part]).sum(dim=1)
            mean += (found * mean_weights[part]).sum(dim=1)
            scores.append(at_nodes)
        attribution = total * image
        errors = None
        if proves:
            attributed = attribution.double().sum(dim=(1, 2)).cpu().numpy()
            errors = completeness_errors(attributed, torch.cat(scores, dim=1).double().cpu().numpy())
        return PathIntegrals(attribution.cpu().numpy(), (mean * (image > 0)).cpu().numpy(), errors)


@dataclass(frozen=True)
class PathIntegrals:
    """What the path from black to one image tells of the three scales.

    Attributes:
        attributions: Eq. 3, `(3, row, col)`.
        gradients: their mean along the path, `(3, row, col)`: Eq. 3 without its last factor, the input; 0 where the
            image is black, where nothing is attributed either. That factor favours what is bright. With a black
            baseline a vessel is as dark as ground glass somewhere on the path, is taken for it there, and being twice
            as bright in the end it outshines the lesion: most peaks of the joint saliency outside lesions lay on
            vessels. For the same reason places near the image may count for more (`gradient_power`,
            benchmarks/results/localisation.md).
        completeness_errors: of the attributions, `(3,)`; None by a rule that is not made for them.
    """

    attributions: Floats
    gradients: Floats
    completeness_errors: Numbers | None


def completeness_errors(attributed: Numbers, scores: Numbers) -> Numbers:
    """How far attributions miss their sum, S(x) - S(0), relative to how far S moves away from S(0) on the path.

    Not relative to S(x) - S(0): a score that rises and falls again ends near where it began, and the ratio would say
    nothing about the map.

    Args:
        attributed: sums of the attributions, `(scale,)`.
        scores: S, `(scale, image)`, of x, of the black image, and of images between them.

    Returns:
        `(scale,)`; absolute errors in place of relative ones where S does not move.
    """
    moved = scores - scores[:, 1:2]
    furthest = np.abs(moved).max(axis=1)
    return np.abs(attributed - moved[:, 0]) / np.where(furthest > 0, furthest, 1.0)


def joint_saliency(attributions: Floats, blur_pixels: float = 0.0, part: Part = "absolute") -> FloatMap:
    """The joint saliency: the pixel-wise product of the three scales' maps.

    Each map is first divided by its largest value: the product is unchanged up to a factor, and can't underflow.

    Args:
        attributions: `(3, row, col)`, or mean gradients.
        blur_pixels: standard deviation of a Gaussian over each map before the product; 0 is the paper's. The three
            scales agree on a place sooner than on a pixel (benchmarks/results/localisation.md).
        part: of each map: its magnitude, which is the paper's, or what raises the class score alone.

    Returns:
        float32 `(row, col)`, not negative; all zero where one scale attributes nothing.
    """
    maps = np.abs(attributions) if part == "absolute" else np.maximum(attributions, 0)
    if blur_pixels > 0:
        maps = np.stack([ndimage.gaussian_filter(values, blur_pixels) for values in maps])
    peaks = maps.max(axis=(1, 2), keepdims=True)
    if not np.all(peaks > 0):
        return np.zeros(maps.shape[1:], dtype=np.float32)
    joint: FloatMap = np.prod(maps / peaks, axis=0).astype(np.float32)
    return joint


def geometric_mean(joint: FloatMap) -> FloatMap:
    """The joint saliency on the scale of one map: its cube root.

    The order of the pixels stays that of the product, but a threshold no longer cuts off all but the highest peaks
    (benchmarks/results/localisation.md, "product" against "geometric mean").
    """
    return np.cbrt(joint)
