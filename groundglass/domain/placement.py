"""Places tilted or unevenly spaced slices on a regular grid, and maps findings back to the slices.

No pixel is interpolated: each slice lies on the grid at whole pixels, within half a pixel of its true place, and where
slices are unevenly far apart each slice of the grid shows the nearest one. So what is found on the grid lies on the
pixels of the sources.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from groundglass.domain.arrays import Coordinates, Indices, Scalar
from groundglass.domain.findings import Box, Findings, Region
from groundglass.domain.volume import CTVolume


@dataclass(frozen=True)
class Placement:
    """Where the slices of a series lie on a regular grid.

    Attributes:
        shape, spacing_mm, origin_mm: of the grid, `(slice, row, col)`; its directions are those of the sources.
        slices: for each slice of the grid the source that it shows, int `(grid slice,)`.
        homes: for each source its slice of the grid, int `(source,)`.
        offsets: row and column of the grid at which each source begins, int `(source, 2)`.
        source_shape, source_spacing_mm, source_origin_mm: of the sources.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: Coordinates
    slices: Indices
    homes: Indices
    offsets: Indices
    source_shape: tuple[int, int, int]
    source_spacing_mm: tuple[float, float, float]
    source_origin_mm: Coordinates

    def window(self, source: int) -> tuple[slice, slice]:
        """The rows and columns of the grid that a source covers."""
        (row, column), (_, rows, columns) = self.offsets[source], self.source_shape
        return slice(int(row), int(row) + rows), slice(int(column), int(column) + columns)

    def to_sources(self, volume: CTVolume, findings: Findings) -> tuple[CTVolume, Findings]:
        """A volume and what was found in it, from the grid back to the sources.

        Volumes stay what they are on the grid, where alone they can be measured. The volume's slice
        spacing is the usual one. All that is said of a source comes from one slice of the grid, so that it agrees.
        """
        return replace(self, homes=self._told_by(findings))._to_sources(volume, findings)

    def _told_by(self, findings: Findings) -> Indices:
        """The slice of the grid to ask about each source: its home, or the nearest that is explained."""
        homes = self.homes.copy()
        for source, home in enumerate(self.homes):
            explained = [index for index in np.flatnonzero(self.slices == source) if int(index) in findings.saliency]
            if explained:
                homes[source] = min(explained, key=lambda index: abs(index - home))
        return homes

    def _to_sources(self, volume: CTVolume, findings: Findings) -> tuple[CTVolume, Findings]:
        boxes = self._boxes(findings)
        regions = tuple(
            moved for region in findings.regions if (moved := self._moved_region(region, boxes)) is not None
        )
        by_slice = {item.index: item for item in findings.slices}
        return (
            CTVolume(self._crop(volume.hu), self.source_spacing_mm, self.source_origin_mm, volume.directions),
            replace(
                findings,
                lungs=self._crop(findings.lungs),
                slices=tuple(
                    replace(by_slice[int(home)], index=source)
                    for source, home in enumerate(self.homes)
                    if int(home) in by_slice
                ),
                saliency={
                    source: findings.saliency[int(home)][self.window(source)]
                    for source, home in enumerate(self.homes)
                    if int(home) in findings.saliency
                },
                salient=None if findings.salient is None else self._crop(findings.salient),
                boxes=boxes,
                regions=regions,
            ),
        )

    @staticmethod
    def _moved_region(region: Region, boxes: Sequence[Box]) -> Region | None:
        """A region on the sources; its box is where the sources show it largest. None where none shows it."""
        own = [box for box in boxes if box.region == region.number]
        if not own:
            return None
        on_slice = {
            index: [box for box in own if box.slice_index == index] for index in {box.slice_index for box in own}
        }
        best = max(sorted(on_slice), key=lambda index: sum(box.share * box.score for box in on_slice[index]))
        return replace(region, slices=tuple(sorted(on_slice)), box=Box.around(on_slice[best]))

    def _crop(self, array: NDArray[Scalar]) -> NDArray[Scalar]:
        """`(slice, row, col)` of the sources, from an array on the grid."""
        cropped = np.empty(self.source_shape, array.dtype)
        for source, home in enumerate(self.homes):
            cropped[source] = array[home][self.window(source)]
        return cropped

    def _boxes(self, findings: Findings) -> tuple[Box, ...]:
        """The boxes on the sources."""
        moved = [
            self._moved(box, source)
            for source, home in enumerate(self.homes)
            for box in findings.boxes
            if box.slice_index == home
        ]
        return tuple(box for box in moved if box is not None)

    def _moved(self, box: Box, source: int) -> Box | None:
        """A box in the pixels of a source; None where it lies beyond them."""
        (row, column), (_, rows, columns) = self.offsets[source], self.source_shape
        row_min, row_max = max(box.row_min - int(row), 0), min(box.row_max - int(row), rows - 1)
        column_min, column_max = max(box.column_min - int(column), 0), min(box.column_max - int(column), columns - 1)
        if row_min > row_max or column_min > column_max:
            return None
        return replace(
            box, slice_index=source, row_min=row_min, row_max=row_max, column_min=column_min, column_max=column_max
        )
