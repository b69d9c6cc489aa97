"""II-F.2 over the volume: salient regions that overlap on neighbouring slices are one, ranked by contribution."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from groundglass.domain.arrays import Indices, LabelMap, Mask
from groundglass.domain.findings import THIRDS, UNLISTED_REGION, Box, Region, Side
from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG, CTVolume

MAXIMUM_GAP_MM = 10.0
"""Explained slices farther apart than this are no neighbours, unless no slice lies between them."""
ROUNDING_MM = 0.01
"""Distances of slices are seldom whole numbers."""
BOTH_LUNGS_PART = 0.1
"""A region with this part of its area in either lung is in both."""


@dataclass(frozen=True)
class RegionRules:
    """Which regions are kept, and which are listed.

    Attributes:
        minimum_ml: smaller ones are left out with their boxes: mostly noise.
        minimum_mm: those that reach no farther along the body are left out too: what the next slices do not confirm is
            mostly a vessel that runs through, or partial volume over a dome of the diaphragm.
        maximum: so many are listed, those that contribute most.
    """

    minimum_ml: float
    minimum_mm: float
    maximum: int


@dataclass(frozen=True)
class FoundRegions:
    """Attributes:
    listed: as `Findings.regions`.
    unlisted: how many more there are.
    boxes: those of all regions, listed or not, each with its region's number.
    salient: as `Findings.salient`.
    """

    listed: tuple[Region, ...]
    unlisted: int
    boxes: tuple[Box, ...]
    salient: LabelMap


def find_regions(
    found: Sequence[tuple[Box, Mask]],
    explained: Mapping[int, float],
    computed: Set[int],
    diseased: Sequence[int],
    lungs: LabelMap,
    thirds: Indices,
    volume: CTVolume,
    rules: RegionRules,
) -> FoundRegions:
    """The regions of a study.

    Args:
        found: boxes of all explained slices with their regions, as `boxes_of_regions` gives them.
        explained: index of each explained slice, and its probability of pneumonia.
        computed: indices of those whose saliency is their own; the others have that of their neighbours.
        diseased: indices of all diseased slices, explained or beyond the budget. A region takes up no volume in the
            others, though it may reach past one: the salient fraction of the lungs counts them as free.
        lungs: uint8 labels, `(slice, row, col)`.
        thirds: `thirds_of_lungs` of them.
        volume: the CT.
        rules: which are kept and listed.
    """
    salient = np.zeros(lungs.shape, np.uint8)
    slice_mm = volume.spacing_mm[0]
    measured = [
        (_measure(members, explained, diseased, lungs, thirds, volume.spacing_mm), members)
        for members in _held_together(found, sorted(explained), slice_mm)
    ]
    beyond_budget = set(diseased) - set(explained)
    ranked = sorted(
        (
            (region, members)
            for region, members in measured
            if region.volume_ml >= rules.minimum_ml
            and _reach(region.slices, computed, beyond_budget) * slice_mm > rules.minimum_mm + ROUNDING_MM
        ),
        key=lambda item: (-item[0].contribution, item[0].slices, item[0].box.column_min, item[0].box.row_min),
    )
    listed: list[Region] = []
    boxes: list[Box] = []
    for number, (region, members) in enumerate(ranked, start=1):
        is_listed = number <= rules.maximum
        if is_listed:
            listed.append(replace(region, number=number, box=replace(region.box, region=number)))
        for box, mask in members:
            boxes.append(replace(box, region=number if is_listed else 0))
            salient[box.slice_index][box.place][mask] = number if is_listed else UNLISTED_REGION
    boxes.sort(key=lambda box: (box.slice_index, -box.area_mm2, box.row_min, box.column_min))
    return FoundRegions(tuple(listed), len(ranked) - len(listed), tuple(boxes), salient)


def _reach(slices: Sequence[int], computed: Set[int], beyond_budget: Set[int]) -> int:
    """How many slices a region reaches over for certain, or may reach over where nobody looked.

    One where a single slice of it has a saliency of its own: those beside it take over what that one shows. And on over
    those next to it that the budget left out.

    >>> _reach((6, 7, 8), computed={7}, beyond_budget=set()), _reach((6, 7, 8), computed={6, 8}, beyond_budget=set())
    (1, 3)
    >>> _reach((6, 7, 8), computed={7}, beyond_budget={4, 5})
    4
    """
    own = [index for index in slices if index in computed]
    first, last = slices[0], slices[-1]
    if len(own) < 2:
        first = last = own[0] if own else slices[0]
    if slices[0] - 1 in beyond_budget:
        first = slices[0]
        while first - 1 in beyond_budget:
            first -= 1
    if slices[-1] + 1 in beyond_budget:
        last = slices[-1]
        while last + 1 in beyond_budget:
            last += 1
    return last - first + 1


def thirds_of_lungs(lungs: LabelMap) -> Indices:
    """Which third of the height of each lung a slice is in: index into THIRDS, `(3, slice)` by lung label and slice.

    Args:
        lungs: uint8 labels, `(slice, row, col)`, slices from head to feet.
    """
    thirds = np.zeros((3, len(lungs)), int)
    for lung in (RIGHT_LUNG, LEFT_LUNG):
        heights = np.flatnonzero([(plane == lung).any() for plane in lungs])
        if len(heights):
            place = (np.arange(len(lungs)) - heights[0]) * len(THIRDS) // (heights[-1] - heights[0] + 1)
            thirds[lung] = np.clip(place, 0, len(THIRDS) - 1)
    return thirds


def _held_together(
    found: Sequence[tuple[Box, Mask]], explained: Sequence[int], spacing_mm: float
) -> list[list[tuple[Box, Mask]]]:
    """Groups of those that share a pixel with one on the next explained slice."""
    if not found:
        return []
    most = max(int(MAXIMUM_GAP_MM / spacing_mm + 0.01), 1)  # distances of slices are seldom whole numbers
    following = {index: later for index, later in pairwise(explained) if later - index <= most}
    on_slice: dict[int, list[int]] = {}
    for number, (box, _) in enumerate(found):
        on_slice.setdefault(box.slice_index, []).append(number)
    # By hand: SciPy's components of a graph take a fifth of a second of every start to import, for some hundred boxes.
    group_of = list(range(len(found)))  # the first of each group stands for it

    def first_of(one: int) -> int:
        while group_of[one] != one:
            group_of[one] = one = group_of[group_of[one]]
        return one

    for one, (box, _) in enumerate(found):
        for other in on_slice.get(following.get(box.slice_index, -1), ()):
            if _overlap(found[one], found[other]):
                ends = first_of(one), first_of(other)
                group_of[max(ends)] = min(ends)
    groups: dict[int, list[tuple[Box, Mask]]] = {}
    for number, item in enumerate(found):
        groups.setdefault(first_of(number), []).append(item)
    return list(groups.values())


def _overlap(one: tuple[Box, Mask], other: tuple[Box, Mask]) -> bool:
    """Whether two regions, on two slices, share a pixel."""
    (box, mask), (box_other, mask_other) = one, other
    top, bottom = max(box.row_min, box_other.row_min), min(box.row_max, box_other.row_max) + 1
    left, right = max(box.column_min, box_other.column_min), min(box.column_max, box_other.column_max) + 1
    if top >= bottom or left >= right:
        return False
    first = mask[top - box.row_min : bottom - box.row_min, left - box.column_min : right - box.column_min]
    second = mask_other[
        top - box_other.row_min : bottom - box_other.row_min,
        left - box_other.column_min : right - box_other.column_min,
    ]
    return bool((first & second).any())


def _measure(
    members: list[tuple[Box, Mask]],
    explained: Mapping[int, float],
    diseased: Sequence[int],
    lungs: LabelMap,
    thirds: Indices,
    spacing_mm: Sequence[float],
) -> Region:
    boxes = [box for box, _ in members]
    slice_mm = spacing_mm[0]
    slices = sorted({box.slice_index for box in boxes})
    areas_mm2 = np.array([sum(box.area_mm2 for box in boxes if box.slice_index == index) for index in slices])
    # Each slice stands for itself, and for half of the diseased ones up to the region's next slice.
    half_mm = np.diff(np.searchsorted(sorted({*diseased, *slices}), slices)) * slice_mm / 2
    height_mm = np.append(half_mm, slice_mm / 2) + np.insert(half_mm, 0, slice_mm / 2)
    volume_ml = float((areas_mm2 * height_mm).sum()) / 1000
    contributions = [explained[index] * sum(box.share for box in boxes if box.slice_index == index) for index in slices]
    contribution = sum(contributions) / (sum(explained.values()) or 1.0)
    best = slices[int(np.argmax(contributions))]
    box = Box.around([box for box in boxes if box.slice_index == best])

    in_third = np.zeros((3, len(THIRDS)))
    height_of = dict(zip(slices, height_mm, strict=True))
    for item, mask in members:
        in_lung = np.bincount(lungs[item.slice_index][item.place][mask], minlength=3)[:3]
        in_third[np.arange(3), thirds[:, item.slice_index]] += height_of[item.slice_index] * in_lung
    third = THIRDS[int(np.argmax(in_third[[RIGHT_LUNG, LEFT_LUNG]].sum(axis=0)))]
    side = _side(float(in_third[RIGHT_LUNG].sum()), float(in_third[LEFT_LUNG].sum()))
    return Region(0, contribution, tuple(slices), side, third, volume_ml, box)


def _side(right: float, left: float) -> Side:
    if min(right, left) >= BOTH_LUNGS_PART * (right + left) > 0:
        return "both"
    return "right" if right >= left else "left"
