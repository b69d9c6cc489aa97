"""A CT volume with its geometry, and the labels of lungs on its grid.

Arrays are `(slice, row, col)` on the grid of the source images. Patient coordinates are DICOM's: millimetres, x to the
patient's left, y to the back, z to the head (PS3.3 C.7.6.2.1.1).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groundglass.domain.arrays import AnyArray, Coordinates, HounsfieldUnits, Scalar
from groundglass.domain.errors import UsageError
from groundglass.domain.hounsfield import as_hounsfield_units

BACKGROUND, RIGHT_LUNG, LEFT_LUNG = 0, 1, 2
"""Values of a lung label array; right and left are the patient's."""

Face = tuple[int, int]
"""One of the six outer planes of a volume: the axis, and the index on it, 0 or -1."""
LOWEST_SLICE: Face = (0, -1)
"""Of a volume whose slices run from head to feet."""

CANONICAL_AXES = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
"""Axes of the canonical view: slices run from head to feet, rows from front to back, columns to the patient's left."""

_CHEST_MM = (100.0, 1500.0)
"""Between these lie width and depth of any image of a chest, and no volume is higher."""


def check_extent(shape: Sequence[int], spacing_mm: Sequence[float]) -> None:
    """Refuse a volume that can't be a chest by its size, as where lengths are in cm or the spacing was made up.

    Args:
        shape: `(slice, row, col)`.
        spacing_mm: the same.

    Raises:
        UsageError: it says how large the volume is.
    """
    height, depth, width = (count * step for count, step in zip(shape, spacing_mm, strict=True))
    least, most = _CHEST_MM
    if min(depth, width) < least or max(height, depth, width) > most:
        raise UsageError(
            f"By its spacing the volume is {height:.4g} mm high, {depth:.4g} mm deep and {width:.4g} mm wide, which is "
            "no chest. Give the spacing in mm along (slice, row, col)."
        )


@dataclass(frozen=True)
class CTVolume:
    """One CT series as an array in Hounsfield units.

    Attributes:
        hu: int16 `(slice, row, col)`, the source pixels after the rescale; row and column as in the source images.
        spacing_mm: distance between neighbouring voxel centres along `(slice, row, col)`.
        origin_mm: patient position of the centre of voxel (0, 0, 0), shape `(3,)`.
        directions: unit vectors in patient coordinates along which the slice, row and column index grow, one vector a
            line, shape `(3, 3)`. Note that the row index grows along DICOM's "column direction cosine", and so on.
    """

    hu: HounsfieldUnits
    spacing_mm: tuple[float, float, float]
    origin_mm: Coordinates
    directions: Coordinates

    @classmethod
    def from_array(cls, hu: AnyArray, spacing_mm: Sequence[float] | None = None) -> "CTVolume":
        """A volume from an array alone, of a patient who lies on the back: as `to_canonical` orders it.

        >>> CTVolume.from_array(volume.hu.astype(float), volume.spacing_mm).hu.dtype
        dtype('int16')

        Args:
            hu: `(slice, row, col)` in Hounsfield units; slices from head to feet, rows from front to back, columns from
                the patient's right to the left. Values below -1024 HU are taken for air.
            spacing_mm: distance between neighbouring voxel centres along `(slice, row, col)`. It has to be given: from
                voxels alone no size can be told.

        Raises:
            UsageError: not three axes, no spacing in mm, or values that are no numbers.
            Refusal: NOT_HU, the values are no Hounsfield units of a chest, but scaled to [0, 1] for example.
        """
        array = np.asarray(hu)
        if array.ndim != 3 or 0 in array.shape:
            raise UsageError(f"A volume has the axes (slice, row, col); this array has the shape {array.shape}.")
        if spacing_mm is None:
            raise UsageError(
                "The spacing is missing. Give the distances between voxels in mm along (slice, row, col), for example "
                "(1.5, 0.7, 0.7): without them neither sizes nor lungs can be found."
            )
        try:
            steps_mm = tuple(float(step) for step in spacing_mm)
        except (TypeError, ValueError):  # one number, or none at all
            steps_mm = ()
        if len(steps_mm) != 3 or not all(0 < step < np.inf for step in steps_mm):
            raise UsageError(
                f"The spacing must be three lengths in mm above 0, along (slice, row, col), not {spacing_mm}."
            )
        slice_mm, row_mm, col_mm = steps_mm
        check_extent(array.shape, (slice_mm, row_mm, col_mm))
        return cls(as_hounsfield_units(array), (slice_mm, row_mm, col_mm), np.zeros(3), CANONICAL_AXES.copy())

    @property
    def affine(self) -> Coordinates:
        """4x4 matrix from homogeneous `(slice, row, col)` indices to patient coordinates in mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = (self.directions * np.asarray(self.spacing_mm)[:, None]).T
        matrix[:3, 3] = self.origin_mm
        return matrix

    @property
    def pixel_area_mm2(self) -> float:
        return self.spacing_mm[1] * self.spacing_mm[2]

    @property
    def voxel_volume_ml(self) -> float:
        return float(np.prod(self.spacing_mm)) / 1000.0

    def _canonical_order(self) -> tuple[list[int], list[int]]:
        alignment = CANONICAL_AXES @ self.directions.T
        order = [int(axis) for axis in np.abs(alignment).argmax(axis=1)]
        if sorted(order) != [0, 1, 2]:
            raise ValueError(
                "The volume is rotated by about 45 degrees: no axis order is nearest to the patient's axes."
            )
        flipped = [position for position, axis in enumerate(order) if alignment[position, axis] < 0]
        return order, flipped

    def to_canonical(self, array: NDArray[Scalar]) -> NDArray[Scalar]:
        """A view of `array` with slices from head to feet, rows from front to back, columns from right to left."""
        order, flipped = self._canonical_order()
        return np.flip(array.transpose(order), tuple(flipped))

    def from_canonical(self, array: NDArray[Scalar]) -> NDArray[Scalar]:
        """The inverse of `to_canonical`: a view on the source's own grid."""
        order, flipped = self._canonical_order()
        return np.flip(array, tuple(flipped)).transpose(np.argsort(order))

    @property
    def canonical_directions(self) -> Coordinates:
        """Unit vectors along which the canonical view's slice, row and column index grow, `(3, 3)`."""
        order, flipped = self._canonical_order()
        directions = self.directions[order]
        directions[flipped] *= -1
        return directions

    @property
    def canonical_spacing_mm(self) -> tuple[float, float, float]:
        order, _ = self._canonical_order()
        first, second, third = (self.spacing_mm[axis] for axis in order)
        return first, second, third


def on_grid(array: NDArray[Scalar], affine: Coordinates, other_affine: Coordinates) -> NDArray[Scalar]:
    """A view of `array` on another grid with the same voxels, whatever its order and directions of axes.

    Args:
        array: three axes, whose indices `affine` turns into patient coordinates.
        affine, other_affine: 4x4, from homogeneous indices to millimetres.

    Raises:
        ValueError: if the voxels of the two grids lie more than a hundredth of a millimetre apart.
    """
    view, view_affine = _turned(array, affine, other_affine)
    corners = np.array([[0, 0, 0], [count - 1 for count in view.shape]])
    apart_mm = np.abs(_placed(corners, view_affine) - _placed(corners, other_affine)).max()
    if apart_mm > _SAME_PLACE_MM:
        raise ValueError(f"The two grids lie {apart_mm:.2f} mm apart.")
    return view


def on_larger_grid(
    array: NDArray[Scalar], affine: Coordinates, other_affine: Coordinates, shape: tuple[int, ...]
) -> NDArray[Scalar]:
    """A copy of `array` on a grid that holds all of its voxels and more, with 0 in the others.

    Args:
        array: three axes, whose indices `affine` turns into patient coordinates.
        affine, other_affine: 4x4, from homogeneous indices to millimetres.
        shape: of the other grid.

    Raises:
        ValueError: if a voxel lies outside the other grid, or more than a hundredth of a millimetre from its voxels.
    """
    view, view_affine = _turned(array, affine, other_affine)
    corners = np.array([[0, 0, 0], [count - 1 for count in view.shape]])
    first = np.rint(np.linalg.inv(other_affine) @ view_affine[:, 3])[:3].astype(int)
    apart_mm = np.abs(_placed(corners, view_affine) - _placed(corners + first, other_affine)).max()
    if apart_mm > _SAME_PLACE_MM:
        raise ValueError(f"The two grids lie {apart_mm:.2f} mm apart.")
    if (first < 0).any() or (first + view.shape > shape).any():
        raise ValueError("The grid doesn't hold all voxels of the other one.")
    larger = np.zeros(shape, array.dtype)
    larger[tuple(slice(start, start + count) for start, count in zip(first, view.shape, strict=True))] = view
    return larger


_SAME_PLACE_MM = 0.01


def _turned(
    array: NDArray[Scalar], affine: Coordinates, other_affine: Coordinates
) -> tuple[NDArray[Scalar], Coordinates]:
    """A view whose axes run as the other grid's, and its affine."""
    step = np.rint(np.linalg.inv(affine) @ other_affine)[:3, :3].astype(int)
    axes = np.abs(step).argmax(axis=0)
    flipped = [axis for axis in range(3) if step[axes[axis], axis] < 0]
    if sorted(axes.tolist()) != [0, 1, 2]:
        raise ValueError("The two grids are turned against each other.")
    view = np.flip(array.transpose(axes), tuple(flipped))
    view_affine = np.array(affine[:, [*axes, 3]], float)
    for axis in flipped:
        view_affine[:, 3] += (view.shape[axis] - 1) * view_affine[:, axis]
        view_affine[:, axis] *= -1
    return view, view_affine


def _placed(indices: Coordinates, affine: Coordinates) -> Coordinates:
    """Patient coordinates of `(point, 3)` indices."""
    return indices @ affine[:3, :3].T + affine[:3, 3]
