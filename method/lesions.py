"""II-F.2 over the volume: boxes that overlap on neighbouring slices are one lesion."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from method.types import LEFT_LUNG, RIGHT_LUNG, Box, CTVolume, Lesion

MAXIMUM_GAP_MM = 10.0
"""Explained slices farther apart than this are no neighbours; the widest distance of slices that is analysed."""
BOTH_LUNGS_PART = 0.1
"""A lesion with this part of its area in either lung is in both."""


def _overlap(one: Box, other: Box) -> bool:
    return (
        one.column_min <= other.column_max
        and other.column_min <= one.column_max
        and one.row_min <= other.row_max
        and other.row_min <= one.row_max
    )


def group_boxes(boxes: Sequence[Box], explained: Sequence[int], spacing_mm: float) -> np.ndarray:
    """Number of the lesion of each box, from 0: boxes are linked where they overlap on neighbouring explained slices.

    Args:
        boxes: of one study.
        explained: indices of the explained slices.
        spacing_mm: between slices.
    """
    order = sorted(explained)
    following = {index: later for index, later in pairwise(order) if (later - index) * spacing_mm <= MAXIMUM_GAP_MM}
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
    boxes: Sequence[Box], explained: Sequence[int], salient: np.ndarray, lungs: np.ndarray, volume: CTVolume
) -> tuple[tuple[Lesion, ...], tuple[int, ...]]:
    """The lesions of a study, largest first, numbered from 1.

    Args:
        boxes: of all explained slices.
        explained: indices of the explained slices.
        salient: bool `(slice, row, col)`, the regions the boxes enclose.
        lungs: uint8 labels of the same shape.
        volume: the CT.

    Returns:
        The lesions, and the lesion's number of each box.
    """
    if not boxes:
        return (), ()
    spacing_mm = volume.spacing_mm[0]
    groups = group_boxes(boxes, explained, spacing_mm)
    lungs_ml = float((lungs > 0).sum()) * volume.voxel_volume_ml
    unnumbered = []
    for group in range(groups.max() + 1):
        members = [box for box, of in zip(boxes, groups, strict=True) if of == group]
        slices = sorted({box.slice_index for box in members})
        areas = np.array([sum(box.area_mm2 for box in members if box.slice_index == index) for index in slices])
        # Each slice stands for what lies halfway to its neighbours, and for its own thickness at the ends.
        half_mm = np.diff(slices) * spacing_mm / 2
        height_mm = np.append(half_mm, spacing_mm / 2) + np.insert(half_mm, 0, spacing_mm / 2)
        extent_mm = (
            float(slices[-1] - slices[0] + 1) * spacing_mm,
            (max(box.row_max for box in members) - min(box.row_min for box in members) + 1) * volume.spacing_mm[1],
            (max(box.column_max for box in members) - min(box.column_min for box in members) + 1)
            * volume.spacing_mm[2],
        )
        volume_ml = float((areas * height_mm).sum()) / 1000
        lung = _lung_of(members, salient, lungs)
        part = volume_ml / lungs_ml if lungs_ml else 0.0
        unnumbered.append((volume_ml, group, Lesion(0, tuple(slices), extent_mm, volume_ml, part, lung)))
    unnumbered.sort(key=lambda item: (-item[0], item[1]))
    number_of = {group: number for number, (_, group, _) in enumerate(unnumbered, start=1)}
    lesions = tuple(
        Lesion(number_of[group], found.slices, found.extent_mm, found.volume_ml, found.lung_fraction, found.lung)
        for _, group, found in unnumbered
    )
    return lesions, tuple(number_of[int(group)] for group in groups)


def _lung_of(members: Sequence[Box], salient: np.ndarray, lungs: np.ndarray) -> str:
    counts = np.zeros(3)
    for box in members:
        place = (
            box.slice_index, slice(box.row_min, box.row_max + 1), slice(box.column_min, box.column_max + 1),
        )  # fmt: skip
        counts += np.bincount(lungs[place][salient[place]], minlength=3)[:3]
    right, left = counts[RIGHT_LUNG], counts[LEFT_LUNG]
    if min(right, left) >= BOTH_LUNGS_PART * (right + left) > 0:
        return "both"
    return "right" if right >= left else "left"
