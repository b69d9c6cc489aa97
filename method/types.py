"""The plain types that every layer shares: a CT volume with its geometry, and what the method finds in it.

Arrays are `(slice, row, col)` on the grid of the source images. Patient coordinates are DICOM's: millimetres, x to the
patient's left, y to the back, z to the head (PS3.3 C.7.6.2.1.1).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

CLASSES = ("np", "cap", "covid19")
"""Class order of every probability vector: no pneumonia, community-acquired pneumonia, COVID-19."""

BACKGROUND, RIGHT_LUNG, LEFT_LUNG = 0, 1, 2
"""Values of a lung label array; right and left are the patient's."""

_CANONICAL_AXES = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
"""Axes of the canonical view: slices run from head to feet, rows from front to back, columns to the patient's left."""


class Unsuitable(ValueError):
    """The volume is sound, but the method can't give an answer for it.

    Attributes:
        code: a stable upper-case word for programs.
        reason: full sentences with the figures, and what to do; no patient's data.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


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

    hu: np.ndarray
    spacing_mm: tuple[float, float, float]
    origin_mm: np.ndarray
    directions: np.ndarray

    @property
    def affine(self) -> np.ndarray:
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
        alignment = _CANONICAL_AXES @ self.directions.T
        order = [int(axis) for axis in np.abs(alignment).argmax(axis=1)]
        if sorted(order) != [0, 1, 2]:
            raise ValueError(
                "The volume is rotated by about 45 degrees: no axis order is nearest to the patient's axes."
            )
        flipped = [position for position, axis in enumerate(order) if alignment[position, axis] < 0]
        return order, flipped

    def to_canonical(self, array: np.ndarray) -> np.ndarray:
        """A view of `array` with slices from head to feet, rows from front to back, columns from right to left."""
        order, flipped = self._canonical_order()
        return np.flip(array.transpose(order), tuple(flipped))

    def from_canonical(self, array: np.ndarray) -> np.ndarray:
        """The inverse of `to_canonical`: a view on the source's own grid."""
        order, flipped = self._canonical_order()
        return np.flip(array, tuple(flipped)).transpose(np.argsort(order))

    @property
    def canonical_directions(self) -> np.ndarray:
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


@dataclass(frozen=True)
class Box:
    """The minimal upright rectangle of one salient region on one source slice (II-F.2).

    Columns and rows are pixel indices of the source image; minimum and maximum are the first and last pixel covered.
    """

    slice_index: int
    label: str
    column_min: int
    row_min: int
    column_max: int
    row_max: int
    area_mm2: float
    """Area of the salient region inside the box, not of the rectangle."""
    score: float
    """The slice's probability of `label`."""
    lesion: int = 0
    """Number of the lesion it belongs to, from 1; 0 before boxes are grouped over the volume."""

    @property
    def place(self) -> tuple[slice, slice]:
        """Its pixels in the source slice, as indices of `(row, col)`."""
        return slice(self.row_min, self.row_max + 1), slice(self.column_min, self.column_max + 1)


@dataclass(frozen=True)
class Lesion:
    """Boxes that overlap on neighbouring slices: one place in the lungs that drove the classification.

    Attributes:
        number: from 1, largest volume first.
        slices: indices of the slices with its boxes.
        extent_mm: of the box around all its boxes, along `(slice, row, col)` of the source.
        volume_ml: of its salient regions.
        lung_fraction: volume over that of both lungs.
        lung: `right`, `left` or `both`.
    """

    number: int
    slices: tuple[int, ...]
    extent_mm: tuple[float, float, float]
    volume_ml: float
    lung_fraction: float
    lung: str

    @property
    def largest_extent_mm(self) -> float:
        return max(self.extent_mm)


WhyNotExplained = Literal["study_np", "slice_np", "budget"]
"""The study's class is NP; the slice is not diseased enough; more probable slices used up `maximum_slices`."""


@dataclass(frozen=True)
class SliceFinding:
    """What the classifier says of one slice, and how the saliency explains it."""

    index: int
    lung_area_mm2: float
    probabilities: tuple[float, float, float]
    """In the order of CLASSES."""
    explained: bool = False
    completeness_error: tuple[float, float, float] | None = None
    """Relative completeness error of the integrated gradients at Conv3, Conv4 and Conv5, where explained."""
    why_not_explained: WhyNotExplained | None = None
    """None where explained."""


@dataclass(frozen=True)
class Findings:
    """Everything the method finds in one CT volume.

    Attributes:
        lungs: uint8 `(slice, row, col)`: BACKGROUND, RIGHT_LUNG or LEFT_LUNG.
        right_ml, left_ml: lung volumes.
        label: the study's class, one of CLASSES.
        probabilities: the study's, in the order of CLASSES.
        infected_fraction: salient lung volume over lung volume, an estimate from saliency, not a lesion segmentation;
            None where nothing was explained although the study, or a slice, is more probably diseased than not.
        slices: the classified slices, in slice order.
        saliency: magnitude of the joint saliency (its geometric mean) of each explained slice, float32 `(row, col)`
            scaled to the slice's maximum of 1, by slice index; zero outside the lungs.
        salient: bool `(slice, row, col)`, the regions the boxes enclose.
        boxes: in slice order, largest first within a slice.
        lesions: what the boxes are over the volume, largest first.
        reach_border: whether the images cut the lungs, so that volumes and fractions are of what they show.
    """

    lungs: np.ndarray
    right_ml: float
    left_ml: float
    label: str
    probabilities: tuple[float, float, float]
    infected_fraction: float | None
    slices: tuple[SliceFinding, ...]
    saliency: Mapping[int, np.ndarray] = field(default_factory=dict)
    salient: np.ndarray | None = None
    boxes: tuple[Box, ...] = ()
    lesions: tuple[Lesion, ...] = ()
    reach_border: bool = False

    @property
    def volume_ml(self) -> float:
        return self.right_ml + self.left_ml


@dataclass(frozen=True)
class SoftwareIdentity:
    """Who made a result: written into every DICOM object and into result.json."""

    name: str
    version: str
    weights_sha256: dict[str, str]
    """SHA-256 of each weight file by model name."""
    device: str
    """`cpu` or `cuda`."""
    settings_sha256: str
    """Of the settings that shape a result."""
