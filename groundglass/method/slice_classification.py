"""II-D on a whole volume: the class of every slice with enough lung, and of the study."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from groundglass.domain.arrays import Floats
from groundglass.domain.errors import Refusal
from groundglass.domain.findings import SliceFinding
from groundglass.domain.refusals import RefusalCode
from groundglass.domain.volume import CTVolume
from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.method.precision import images_at_a_time, mixed_precision
from groundglass.method.slice_input import SliceInputs


@torch.inference_mode()
def classify_slices(
    network: MultiScaleClassifier,
    volume: CTVolume,
    inputs: SliceInputs,
    minimum_lung_mm2: float,
    neighbours_mm: float,
    batch: int | None = None,
    on_slices: Callable[[int, int], None] | None = None,
) -> tuple[SliceFinding, ...]:
    """Probabilities of every slice with enough lung: the mean over the slice and its mirror image, and its neighbours.

    Args:
        network: in evaluation mode, on the device to use.
        volume: the CT.
        inputs: its slices as the classifier sees them.
        minimum_lung_mm2: slices with less lung are not classified.
        neighbours_mm: as of `with_neighbours`.
        batch: slices at a time; None for what suits the device.
        on_slices: called with slices done and slices in all.

    Returns:
        Findings in slice order.

    Raises:
        Refusal: TOO_LITTLE_LUNG, no slice has `minimum_lung_mm2`.
    """
    device = next(network.parameters()).device
    batch = batch or images_at_a_time(device)
    areas_mm2 = inputs.lung_pixels() * volume.pixel_area_mm2
    indices = np.nonzero(areas_mm2 >= minimum_lung_mm2)[0]
    if not len(indices):
        raise Refusal(
            RefusalCode.TOO_LITTLE_LUNG,
            f"No slice shows {minimum_lung_mm2 / 100:.0f} cm2 of lung, the least that is classified "
            f"(largest: {areas_mm2.max() / 100:.1f} cm2). Check that the series covers the chest.",
        )
    parts = []
    for first in range(0, len(indices), batch):
        part = indices[first : first + batch]
        prepared = np.stack([inputs.image(index, inputs.lung_square(index)) for index in part])
        images = torch.from_numpy(prepared)[:, None].to(device).contiguous(memory_format=torch.channels_last)
        with mixed_precision(device):
            both = [network(images), network(images.flip(3))]
        parts.append(sum(scores.float().softmax(1) for scores in both).cpu().numpy() / 2)
        if on_slices is not None:
            on_slices(min(first + batch, len(indices)), len(indices))
    heights_mm = indices * volume.canonical_spacing_mm[0]
    probabilities = with_neighbours(np.concatenate(parts), heights_mm, neighbours_mm)
    return tuple(
        SliceFinding(int(index), float(areas_mm2[index]), (float(np_), float(cap), float(covid19)))
        for index, (np_, cap, covid19) in zip(indices, probabilities, strict=True)
    )


def with_neighbours(probabilities: Floats, heights_mm: Floats, reach_mm: float) -> Floats:
    """Probabilities of slices, each with a say of those near it: their geometric mean, with Gaussian weights.

    Pneumonia goes on. What looks like it over a few millimetres alone is mostly a vessel that runs through, or the dome
    of the diaphragm, of which a slice shows the mean with the lung above. The paper has each slice for itself.

    Args:
        probabilities: `(slice, class)`.
        heights_mm: where the slices lie, `(slice,)`; a slice whose height is not a number stands for itself.
        reach_mm: standard deviation of the weights; 0 leaves the slices as they are.

    Returns:
        float64, same shape; each line sums to 1.

    >>> alone = np.array([[0.9, 0.1], [0.2, 0.8], [0.9, 0.1]])
    >>> with_neighbours(alone, np.array([0.0, 4.0, 8.0]), 4.0).round(2).tolist()
    [[0.76, 0.24], [0.6, 0.4], [0.76, 0.24]]
    """
    kept = probabilities.astype(np.float64)
    kept /= kept.sum(axis=1, keepdims=True)
    placed = np.flatnonzero(np.isfinite(heights_mm))
    if reach_mm <= 0 or not len(placed):
        return kept
    distances = heights_mm[placed, None] - heights_mm[None, placed]
    weights = np.exp(-((distances / reach_mm) ** 2) / 2)
    # Where float32 has rounded a probability to 0, its logarithm would drag all neighbours with it.
    logarithms = np.log(np.maximum(kept[placed], np.finfo(np.float32).tiny))
    means = np.exp(weights @ logarithms / weights.sum(axis=1, keepdims=True))
    kept[placed] = means / means.sum(axis=1, keepdims=True)
    return kept


@dataclass(frozen=True)
class StudyRule:
    """From slices to the study: the mean probabilities of the slices that look most diseased.

    Attributes:
        top_part: part of the classified slices that is averaged.
        minimum_slices: at least so many.
    """

    top_part: float
    minimum_slices: int

    def count(self, slices: int) -> int:
        """How many of so many classified slices are averaged."""
        return min(max(round(self.top_part * slices), self.minimum_slices), slices)

    def apply(self, slices: Sequence[SliceFinding]) -> tuple[float, float, float]:
        """The study's probabilities `(np, cap, covid19)`."""
        probabilities = np.array([finding.probabilities for finding in slices])
        top = np.argsort(probabilities[:, 0], kind="stable")[: self.count(len(slices))]
        mean = probabilities[top].mean(axis=0)
        mean /= mean.sum()
        return float(mean[0]), float(mean[1]), float(mean[2])
