"""II-F.2 over the volume: boxes that overlap on neighbouring slices are one lesion."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from groundglass.domain.arrays import LabelMap, Mask, Regions
from groundglass.domain.findings import Box, Lesion
from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG, CTVolume

MAXIMUM_GAP_MM = 10.0
"""Explained slices farther apart than this are no neighbours, unless no slice lies between them."""
BOTH_LUNGS_PART = 0.1
"""A lesion with this part of its area in either lung is in both."""


def _overlap(one: Box, other: Box) -> bool:
    return (
        one.column_min <= other.column_max
        and other.column_min <= one.column_max
        and one.row_min <= other.row_max
        and other.row_min <= one.row_max
    )


def group_boxes(boxes: Sequence[Box], explained: Sequence[int], spacing_mm: float) -> Regions:
    """Number of the lesion of each box, from 0: boxes are linked where they overlap on neighbouring explained slices.

    Args:
        boxes: of one study.
        explained: indices of the explained slices.
        spacing_mm: between slices.
    """
    order = sorted(explained)
    most = max(int(MAXIMUM_GAP_MM / spacing_mm + 0.01), 1)  # distances of slices are seldom whole numbers
    following = {index: later for index, later in pairwise(order) if later - index <= most}
    pairs = [
        (one, other)
        for one, box in enumerate(boxes)
        for other, candidate in enumerate(boxes)
        if following.get(box.slice_index) == candidate.slice_index and _overlap(box, candidate)
    ]
    rows, columns = (np.array([pair[end] for pair in pairs], dtype=int) for end in (0, 1))
    graph = coo_array((np.ones(len(pairs)), (rows, columns)), shape=(len(boxes), len(boxes)))
    return np.asarray(connected_components(graph, directed=False)[1])


def find_lesions(
    found: Sequence[tuple[Box, Mask]],
    explained: Sequence[int],
    diseased: Sequence[int],
    lungs: LabelMap,
    volume: CTVolume,
    minimum_ml: float,
) -> tuple[tuple[Lesion, ...], tuple[int, ...]]:
    """The lesions of a study, largest first, numbered from 1.

    Args:
        found: boxes of all explained slices with their regions, as `boxes_of_regions` gives them.
        explained: indices of the explained slices.
        diseased: indices of all diseased slices, explained or beyond the budget. A lesion takes up no volume in the
            others, though it may reach past one: the salient fraction of the lungs counts them as free.
        lungs: uint8 labels, `(slice, row, col)`.
        volume: the CT.
        minimum_ml: smaller ones are left out: what the next slice does not confirm is mostly noise.

    Returns:
        The lesions, and the lesion's number of each box, 0 where it was left out.
    """
    if not found:
        return (), ()
    groups = group_boxes([box for box, _ in found], explained, volume.spacing_mm[0])
    lungs_ml = np.count_nonzero(lungs) * volume.voxel_volume_ml
    unnumbered = []
    for group in range(groups.max() + 1):
        members = [item for item, of in zip(found, groups, strict=True) if of == group]
        lesion = _measure(members, diseased, lungs, lungs_ml, volume.spacing_mm)
        if lesion.volume_ml >= minimum_ml:
            unnumbered.append((group, lesion))
    unnumbered.sort(key=lambda item: (-item[1].volume_ml, item[0]))
    number_of = {group: number for number, (group, _) in enumerate(unnumbered, start=1)}
    lesions = tuple(replace(lesion, number=number_of[group]) for group, lesion in unnumbered)
    return lesions, tuple(number_of.get(int(group), 0) for group in groups)


def _measure(
    members: Sequence[tuple[Box, Mask]],
    diseased: Sequence[int],
    lungs: LabelMap,
    lungs_ml: float,
    spacing_mm: Sequence[float],
) -> Lesion:
    boxes = [box for box, _ in members]
    slice_mm, row_mm, column_mm = spacing_mm
    slices = sorted({box.slice_index for box in boxes})
    areas_mm2 = np.array([sum(box.area_mm2 for box in boxes if box.slice_index == index) for index in slices])
    # Each slice stands for itself, and for half of the diseased ones up to the lesion's next slice.
    half_mm = np.diff(np.searchsorted(sorted({*diseased, *slices}), slices)) * slice_mm / 2
    height_mm = np.append(half_mm, slice_mm / 2) + np.insert(half_mm, 0, slice_mm / 2)
    volume_ml = float((areas_mm2 * height_mm).sum()) / 1000
    extent_mm = (
        (slices[-1] - slices[0] + 1) * slice_mm,
        (max(box.row_max for box in boxes) - min(box.row_min for box in boxes) + 1) * row_mm,
        (max(box.column_max for box in boxes) - min(box.column_min for box in boxes) + 1) * column_mm,
    )
    part = volume_ml / lungs_ml if lungs_ml else 0.0
    return Lesion(0, tuple(slices), extent_mm, volume_ml, part, _lung_of(members, lungs))


def _lung_of(members: Sequence[tuple[Box, Mask]], lungs: LabelMap) -> str:
    counts = np.zeros(3)
    for box, region in members:
        counts += np.bincount(lungs[box.slice_index][box.place][region], minlength=3)[:3]
    right, left = counts[RIGHT_LUNG], counts[LEFT_LUNG]
    if min(right, left) >= BOTH_LUNGS_PART * (right + left) > 0:
        return "both"
    return "right" if right >= left else "left"
