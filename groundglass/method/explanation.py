"""II-F on a whole volume: which slices are explained, their saliency, salient regions and boxes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from groundglass.domain.arrays import FloatMap, Indices, LabelMap, Mask, Regions
from groundglass.domain.class_names import CLASSES
from groundglass.domain.findings import THIRDS, Box, Prediction, Region, SliceFinding, Zone
from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG, CTVolume
from groundglass.method.boxes import boxes_of_regions, salient_regions, shares_of_regions
from groundglass.method.classifier_network import INPUT_SIZE, MultiScaleClassifier
from groundglass.method.regions import RegionRules, find_regions, thirds_of_lungs
from groundglass.method.saliency import Factor, IntegratedGradients, Part, PathIntegrals, geometric_mean, joint_saliency
from groundglass.method.slice_input import SliceInputs

Errors = tuple[float, float, float]
"""Completeness errors at Conv3, Conv4 and Conv5."""


@dataclass(frozen=True)
class ExplanationRules:
    """Which slices are explained, and what becomes a box.

    Attributes:
        maximum_slices: the budget; the most probable diseased slices come first.
        minimum_disease_probability: of a slice, for it to count as diseased.
        minimum_area_mm2: of a salient region, for it to get a box.
        closing_mm: side of the square of the morphological closing.
        regions: what boxes are over the volume.
        spacing_mm: of the slices whose saliency is computed; those between take it from their neighbours. 0: each.
        proved_slices: slices of a study on which the completeness of Eq. 3 is proved, evenly spread, where the rule of
            the gradients doesn't prove it on each; their saliency is that of the rule that proves it.
        joint_factor: what of each scale is multiplied; `attribution` is the paper's.
        joint_blur_mm: blur of each scale's map before their product; 0 is the paper's.
        joint_part: which part of each scale's map; `absolute` is the paper's.
    """

    maximum_slices: int
    minimum_disease_probability: float
    minimum_area_mm2: float
    closing_mm: float
    regions: RegionRules
    spacing_mm: float
    proved_slices: int
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
    salient: LabelMap
    boxes: tuple[Box, ...]
    regions: tuple[Region, ...]
    unlisted_regions: int
    zones: tuple[Zone, ...]
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
    if prediction.state == "absent":
        unexplained = tuple(replace(item, why_not_explained="study_np") for item in slices)
        return Explanation(unexplained, {}, np.zeros(volume.hu.shape, np.uint8), (), (), 0, (), 0.0)
    label = prediction.explained_class
    target = CLASSES.index(label)
    diseased = [item for item in slices if item.pneumonia_probability >= rules.minimum_disease_probability]
    chosen = sorted(diseased, key=lambda item: (item.probabilities[0], item.index))[: rules.maximum_slices]
    pixel_mm = inputs.square.rows * volume.canonical_spacing_mm[1] / INPUT_SIZE
    plane_shape = inputs.hu.shape[1:]
    saliency = SaliencyMaps(volume, inputs)
    found: list[tuple[Box, Mask]] = []
    explained: dict[int, SliceFinding] = {}
    by_index = {item.index: item for item in chosen}
    maps = _JointMaps(network, target, inputs, gradients, rules, pixel_mm)
    step = max(int(rules.spacing_mm / volume.canonical_spacing_mm[0] + 0.01), 1)  # distances are seldom whole numbers
    computed = spread(sorted(by_index), step)
    for done, (index, joint, errors) in enumerate(maps.of_slices(sorted(by_index), computed), start=1):
        item, lung = by_index[index], inputs.lung_square(index)
        joint = joint * lung
        regions = rules.salient_regions(joint, lung, pixel_mm)
        explained[index] = replace(item, explained=True, completeness_error=errors)
        peak = float(joint.max()) or 1.0
        saliency.add(index, joint / peak)
        # Regions stay inside the lungs on the source's own grid too, where the outline is finer.
        numbers = inputs.square.paste(regions, plane_shape, smooth=False) * inputs.lung(index)
        found += boxes_of_regions(
            volume.from_canonical(numbers[None])[0],
            index,
            label,
            item.probabilities[target],
            volume.pixel_area_mm2,
            shares_of_regions(joint, regions),
        )
        if on_slices is not None:
            on_slices(done, len(chosen))
    diseased_indices = {item.index for item in diseased}
    updated = tuple(
        explained.get(item.index)
        or replace(item, why_not_explained="budget" if item.index in diseased_indices else "slice_np")
        for item in slices
    )
    probability_of = {index: item.pneumonia_probability for index, item in explained.items()}
    thirds = thirds_of_lungs(lungs)
    of_volume = find_regions(
        found, probability_of, set(computed), sorted(diseased_indices), lungs, thirds, volume, rules.regions
    )
    fraction, zones = _salient_fractions(lungs, thirds, of_volume.salient, sorted(diseased_indices), sorted(explained))
    return Explanation(
        updated,
        saliency,
        of_volume.salient,
        of_volume.boxes,
        of_volume.listed,
        of_volume.unlisted,
        zones,
        fraction,
    )


class _JointMaps:
    """The joint saliency of slices, computed or from neighbours."""

    def __init__(
        self,
        network: MultiScaleClassifier,
        target: int,
        inputs: SliceInputs,
        gradients: IntegratedGradients,
        rules: ExplanationRules,
        pixel_mm: float,
    ) -> None:
        self._inputs, self._rules, self._pixel_mm = inputs, rules, pixel_mm
        self._gradients = gradients
        self._device = next(network.parameters()).device
        self._scores = gradients.prepare(network, target)

    def of_slices(
        self, indices: Sequence[int], computed: Sequence[int]
    ) -> Iterator[tuple[int, FloatMap, Errors | None]]:
        """Index, joint saliency `(224, 224)` and completeness errors of each slice.

        Args:
            indices: ascending.
            computed: those whose saliency is computed, as `spread` chooses them.
        """
        proved = {computed[int(place)] for place in _evenly(len(computed), self._rules.proved_slices)}
        skipped: list[int] = []
        before, joint_before = -1, np.zeros(0, np.float32)
        for index in indices:
            if index not in computed:
                skipped.append(index)
                continue
            joint, errors = self._compute(index, index in proved)
            for other in skipped:
                yield other, between(joint_before, joint, (other - before) / (index - before)), None
            skipped.clear()
            yield index, joint, errors
            before, joint_before = index, joint

    def _compute(self, index: int, is_proved: bool) -> tuple[FloatMap, Errors | None]:
        lung = self._inputs.lung_square(index)
        image = self._inputs.image(index, lung)
        gradients = self._gradients.proving() if is_proved else self._gradients
        found = gradients.attribute(self._scores, torch.from_numpy(image).to(self._device))
        joint = self._rules.joint_saliency(found, self._pixel_mm) * lung
        if np.ptp(image[lung]) == 0:
            joint = np.zeros_like(joint)  # nothing is to be seen in these lungs: only their outline is salient
        errors = found.completeness_errors
        return joint, None if errors is None else (float(errors[0]), float(errors[1]), float(errors[2]))


def between(before: FloatMap, after: FloatMap, part: float) -> FloatMap:
    """The joint saliency of a slice that lies between two whose own is known: their harmonic mean.

    The arithmetic mean hits lesions as well, but more of the lungs becomes salient than by each slice's own saliency:
    two blurred peaks beside each other are wider than one (benchmarks/results/saliency_spacing.md).

    Args:
        before, after: joint saliency, not negative, same shape.
        part: of the way from `before` to `after`, between 0 and 1.

    Returns:
        float32, the same shape; zero where one of them is.
    """
    nearer = (1 - part) * after + part * before
    mean: FloatMap = np.zeros(before.shape, np.float32)
    np.divide(before * after, nearer, out=mean, where=nearer > 0)
    return mean


def spread(indices: Sequence[int], step: int) -> list[int]:
    """Those of ascending indices that lie as far apart as `step` allows: each other one lies between two of them.

    >>> spread([3, 4, 5, 6, 7, 20, 21], 3)
    [3, 6, 7, 20, 21]
    """
    found: list[int] = []
    for place, index in enumerate(indices):
        following = indices[place + 1] if place + 1 < len(indices) else None
        if not found or following is None or following - found[-1] > step:
            found.append(index)
    return found


def _evenly(length: int, count: int) -> Indices:
    """At most `count` of `length` places, evenly spread, without the very ends."""
    count = min(count, length)
    return ((np.arange(count) + 0.5) * length / max(count, 1)).astype(int)


def _salient_fractions(
    lungs: LabelMap, thirds: Indices, salient: LabelMap, diseased: Sequence[int], explained: Sequence[int]
) -> tuple[float | None, tuple[Zone, ...]]:
    """Salient lung volume over lung volume: of both lungs, and of each third of each lung.

    Diseased slices beyond the budget take the salient part of each lung from the nearest explained slices, linearly
    between two of them; slices that are not diseased count as free.
    """
    if not explained:
        return (None if diseased else 0.0), ()
    lung_pixels = np.zeros((len(lungs), 3))
    for lung in (RIGHT_LUNG, LEFT_LUNG):
        lung_pixels[:, lung] = [np.count_nonzero(plane == lung) for plane in lungs]
    salient_pixels = np.zeros_like(lung_pixels)
    for index in explained:
        salient_pixels[index] = np.bincount(lungs[index][salient[index] > 0], minlength=3)[:3]
    estimated = np.zeros_like(lung_pixels)
    for lung in (RIGHT_LUNG, LEFT_LUNG):
        parts = salient_pixels[explained, lung] / np.maximum(lung_pixels[explained, lung], 1.0)
        estimated[diseased, lung] = np.interp(diseased, explained, parts) * lung_pixels[diseased, lung]
    zones = []
    for lung, side in ((RIGHT_LUNG, "right"), (LEFT_LUNG, "left")):
        for number, third in enumerate(THIRDS):
            inside = thirds[lung] == number
            pixels = lung_pixels[inside, lung].sum()
            fraction = float(estimated[inside, lung].sum() / pixels) if pixels else None
            zones.append(Zone(side, third, fraction))  # type: ignore[arg-type]
    in_lungs = [RIGHT_LUNG, LEFT_LUNG]
    return float(estimated[:, in_lungs].sum() / lung_pixels[:, in_lungs].sum()), tuple(zones)
