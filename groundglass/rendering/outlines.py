"""Salient regions as closed lines around their pixels, for pictures and for graphics on the source images."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from skimage.measure import find_contours

from groundglass.domain.arrays import Coordinates, Mask
from groundglass.domain.findings import UNLISTED_REGION, Box, Findings


@dataclass(frozen=True)
class Outline:
    """One closed line around salient pixels of one slice.

    Attributes:
        region: number of the listed region; 0 where it is not listed.
        points: `(point, 2)` column and row, the last point the first again. They count from the outer edge of the first
            pixel, so that the centre of pixel (0, 0) is at (0.5, 0.5).
    """

    region: int
    points: Coordinates


def trace_outlines(mask: Mask) -> list[Coordinates]:
    """The lines around a mask `(row, col)`, those around its holes as well; points as `Outline` has them.

    They cut each corner from the middle of one pixel edge to the middle of the next, and reach as far as the pixels do.
    """
    found = find_contours(np.pad(mask, 1).astype(np.uint8), 0.5, fully_connected="high")  # type: ignore[no-untyped-call]
    return [_without_straight_points(line)[:, ::-1] - 0.5 for line in found]


def region_outlines(findings: Findings, index: int) -> Iterator[Outline]:
    """The outlines of all salient regions of one slice, on the grid of the source, listed regions in order first."""
    if findings.salient is None:
        return
    boxes: dict[int, list[Box]] = {}
    for box in findings.boxes:
        if box.slice_index == index:
            boxes.setdefault(box.region, []).append(box)
    for region in sorted(boxes, key=lambda number: number or UNLISTED_REGION):
        around = Box.around(boxes[region])
        mask = findings.salient[index][around.place] == (region or UNLISTED_REGION)
        for points in trace_outlines(mask):
            yield Outline(region, points + np.array([around.column_min, around.row_min]))


def _without_straight_points(line: Coordinates) -> Coordinates:
    """A closed line without the points at which it does not turn."""
    step = np.diff(line, axis=0)
    before = np.roll(step, 1, axis=0)
    turns = np.abs(step[:, 0] * before[:, 1] - step[:, 1] * before[:, 0]) > 1e-6
    corners = line[:-1][turns]
    return np.concatenate([corners, corners[:1]])
