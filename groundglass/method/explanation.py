"""II-F on a whole volume: which slices are explained, their saliency, salient regions and boxes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from groundglass.domain.arrays import FloatMap, Indices, LabelMap, Mask, Regions
from groundglass.domain.class_names import CLASSES
from groundglass.domain.findings import Box, Lesion, Prediction, SliceFinding
from groundglass.domain.volume import CTVolume
from groundglass.method.boxes import boxes_of_regions, salient_regions
from groundglass.method.classifier_network import INPUT_SIZE, MultiScaleClassifier
from groundglass.method.lesions import find_lesions
from groundglass.method.saliency import Factor, IntegratedGradients, Part, PathIntegrals, geometric_mean, joint_saliency
from groundglass.method.slice_input import SliceInputs


@dataclass(frozen=True)
class ExplanationRules:
    """Which slices are explained, and what becomes a box.

    Attributes:
        maximum_slices: the budget; the most probable diseased slices come first.
        minimum_disease_probability: of a slice, for it to count as diseased.
        minimum_area_mm2: of a salient region, for it to get a box.
        closing_mm: side of the square of the morphological closing.
        minimum_lesion_ml: smallest lesion over the volume; boxes of smaller ones are left out.
        joint_factor: what of each scale is multiplied; `attribution` is the paper's.
        joint_blur_mm: blur of each scale's map before their product; 0 is the paper's.
        joint_part: which part of each scale's map; `absolute` is the paper's.
    """

    maximum_slices: int
    minimum_disease_probability: float
    minimum_area_mm2: float
    closing_mm: float
    minimum_lesion_ml: float
    joint_factor: Factor
    joint_blur_mm: float
    joint_part: Part

    def joint_saliency(self, found: PathIntegrals, pixel_mm: float) -> FloatMap:
        """The joint saliency of one image on the scale of one map, `(row, col)`."""
        maps = found.gradients if self.joint_factor == "gradient" else found.attributions
        return geometric_mean(joint_saliency(maps, self.joint_blur_mm / pixel_mm, self.joint_part))

    def salient_regions(self, saliency: FloatMap, lung: Mask, pixel_mm: float) -> Regions:
        """The numbered salient regions of one slice's saliency inside the lung, `(row, col)` all three."""
        closing_pixels = max(round(self.closing_mm / pixel_mm), 1)
        return salient_regions(saliency * lung, lung, self.minimum_area_mm2 / pixel_mm**2, closing_pixels)


class SaliencyMaps(Mapping[int, FloatMap]):
    """Saliency by slice index, float32 `(row, col)` on the source's own grid, zero outside the lungs.

    It is kept as the network saw it and brought to the grid when it is asked for: on the grid, that of 150 slices would
    take as much memory as a CT of 300.
    """

    def __init__(self, volume: CTVolume, inputs: SliceInputs) -> None:
        self._volume = volume
        self._inputs = inputs
        self._squares: dict[int, FloatMap] = {}

    def add(self, index: int, square: FloatMap) -> None:
        """The saliency of one slice, `(224, 224)`."""
        self._squares[index] = square

    def __getitem__(self, index: int) -> FloatMap:
        full = self._inputs.square.paste(self._squares[index], self._inputs.hu.shape[1:], smooth=True)
        saliency: FloatMap = self._volume.from_canonical((full * self._inputs.lung(index))[None])[0]
        return saliency

    def __iter__(self) -> Iterator[int]:
        return iter(self._squares)

    def __len__(self) -> int:
        return len(self._squares)


@dataclass(frozen=True)
class Explanation:
    """What `explain_slices` found; the fields are those of `groundglass.domain.findings.Findings`."""

    slices: tuple[SliceFinding, ...]
    saliency: Mapping[int, FloatMap]
    salient: Mask
    boxes: tuple[Box, ...]
    lesions: tuple[Lesion, ...]
    salient_fraction: float | None


def explain_slices(
    network: MultiScaleClassifier,
    volume: CTVolume,
    lungs: LabelMap,
    inputs: SliceInputs,
    slices: Sequence[SliceFinding],
    prediction: Prediction,
    gradients: IntegratedGradients,
    rules: ExplanationRules,
    on_slices: Callable[[int, int], None] | None = None,
) -> Explanation:
    """Explain the diseased slices of a study for the more probable kind of pneumonia.

    A study in which pneumonia is absent has nothing to explain and gets no boxes.

    Args:
        network: in evaluation mode, on the device to use.
        volume: the CT.
        lungs: its lung labels, on the source grid.
        inputs: its slices as the classifier saw them.
        slices: the classified slices.
        prediction: the study's.
        gradients: how to integrate.
        rules: which slices and which regions.
        on_slices: called with slices done and slices in all.
    """
    salient = np.zeros(volume.hu.shape, dtype=bool)
    if prediction.state == "absent":
        unexplained = tuple(replace(item, why_not_explained="study_np") for item in slices)
        return Explanation(unexplained, {}, salient, (), (), 0.0)
    label = prediction.explained_class
    target = CLASSES.index(label)
    device = next(network.parameters()).device
    scores = gradients.prepare(network, target)
    diseased = [item for item in slices if 1 - item.probabilities[0] >= rules.minimum_disease_probability]
    chosen = sorted(diseased, key=lambda item: (item.probabilities[0], item.index))[: rules.maximum_slices]
    pixel_mm = inputs.square.rows * volume.canonical_spacing_mm[1] / INPUT_SIZE
    plane_shape = inputs.hu.shape[1:]
    saliency = SaliencyMaps(volume, inputs)
    found: list[tuple[Box, Mask]] = []
    explained: dict[int, SliceFinding] = {}
    for done, item in enumerate(sorted(chosen, key=lambda item: item.index), start=1):
        lung = inputs.lung_square(item.index)
        image = inputs.image(item.index, lung)
        found_on_path = gradients.attribute(scores, torch.from_numpy(image).to(device))
        errors = found_on_path.completeness_errors
        joint = rules.joint_saliency(found_on_path, pixel_mm) * lung
        if np.ptp(image[lung]) == 0:
            joint = np.zeros_like(joint)  # nothing is to be seen in these lungs: only their outline is salient
        regions = rules.salient_regions(joint, lung, pixel_mm)
        explained[item.index] = replace(
            item, explained=True, completeness_error=(float(errors[0]), float(errors[1]), float(errors[2]))
        )
        peak = float(joint.max()) or 1.0
        saliency.add(item.index, joint / peak)
        # Regions stay inside the lungs on the source's own grid too, where the outline is finer.
        numbers = inputs.square.paste(regions, plane_shape, smooth=False) * inputs.lung(item.index)
        found += boxes_of_regions(
            volume.from_canonical(numbers[None])[0],
            item.index,
            label,
            item.probabilities[target],
            volume.pixel_area_mm2,
        )
        if on_slices is not None:
            on_slices(done, len(chosen))
    diseased_indices = {item.index for item in diseased}
    updated = tuple(
        explained.get(item.index)
        or replace(item, why_not_explained="budget" if item.index in diseased_indices else "slice_np")
        for item in slices
    )
    lesions, lesion_of = find_lesions(
        found, sorted(explained), sorted(diseased_indices), lungs, volume, rules.minimum_lesion_ml
    )
    boxes = []
    for (box, region), number in zip(found, lesion_of, strict=True):
        if number:
            boxes.append(replace(box, lesion=number))
            salient[box.slice_index][box.place] |= region
    fraction = _salient_fraction(inputs.lung_pixels(), salient, diseased, sorted(explained))
    return Explanation(updated, saliency, salient, tuple(boxes), lesions, fraction)


def _salient_fraction(
    lung_pixels: Indices,
    salient: Mask,
    diseased: Sequence[SliceFinding],
    explained: Sequence[int],
) -> float | None:
    """Salient lung volume over lung volume.

    Diseased slices beyond the budget take the salient part of their lung from the nearest explained slices, linearly
    between two of them; slices that are not diseased count as free.
    """
    if not explained:
        return None if diseased else 0.0
    parts = [float(salient[index].sum()) / max(lung_pixels[index], 1.0) for index in explained]
    indices = [item.index for item in diseased]
    estimated = np.interp(indices, explained, parts)
    return float((estimated * lung_pixels[indices]).sum() / lung_pixels.sum())
