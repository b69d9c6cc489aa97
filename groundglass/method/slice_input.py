"""II-D: the classifier's input, the square around the lungs resized to 224 x 224."""

from dataclasses import dataclass, field

import numpy as np
import torch

from groundglass.domain.arrays import AnyArray, FloatMap, HounsfieldUnits, Indices, LabelMap, Mask
from groundglass.domain.volume import CTVolume
from groundglass.method.area_means import area_means
from groundglass.method.classifier_network import INPUT_SIZE
from groundglass.method.normalisation import SlidingWindow, scale_to_window

AIR_HU = -1024
"""What lies beyond the image."""


@dataclass(frozen=True)
class LungSquare:
    """A square in pixel coordinates of an image; it may reach over the image's border.

    It is square in mm: where rows and columns have different spacings, it has a different number of each.
    """

    row: int
    column: int
    rows: int
    columns: int

    @classmethod
    def around(cls, lungs: AnyArray, spacing_mm: tuple[float, float], margin: float = 0.04) -> "LungSquare":
        """The square around all lungs of a volume.

        Args:
            lungs: bool or labels, `(slice, row, col)` or `(row, col)`.
            spacing_mm: `(row, col)`.
            margin: added on each side, as a part of the larger extent.

        Raises:
            ValueError: `lungs` is empty.
        """
        plane = np.asarray(lungs.any(axis=0)) if lungs.ndim == 3 else lungs
        if not plane.any():
            raise ValueError("There is no square around lungs where there are no lungs.")
        rows, columns = np.nonzero(plane.any(axis=1))[0], np.nonzero(plane.any(axis=0))[0]
        extent = (rows[-1] - rows[0] + 1) * spacing_mm[0], (columns[-1] - columns[0] + 1) * spacing_mm[1]
        side_mm = max(extent) * (1 + 2 * margin)
        size = max(round(side_mm / spacing_mm[0]), 1), max(round(side_mm / spacing_mm[1]), 1)
        centre = (rows[0] + rows[-1] + 1) / 2, (columns[0] + columns[-1] + 1) / 2
        return cls(round(centre[0] - size[0] / 2), round(centre[1] - size[1] / 2), size[0], size[1])

    def cut(self, plane: AnyArray, outside: float) -> AnyArray:
        """The square's pixels; `outside` fills what lies beyond the image."""
        result = np.full((self.rows, self.columns), outside, dtype=plane.dtype)
        source, target = self._overlap(plane.shape)
        result[target] = plane[source]
        return result

    def resize(self, plane: AnyArray, outside: float) -> FloatMap:
        """The square as float32 of 224 x 224, averaged over areas where it shrinks."""
        square, size = self.cut(plane, outside).astype(np.float32), (INPUT_SIZE, INPUT_SIZE)
        if min(self.rows, self.columns) >= INPUT_SIZE:
            return area_means(square, size)
        tensor = torch.from_numpy(square)[None, None]
        return torch.nn.functional.interpolate(tensor, size, mode="bilinear")[0, 0].numpy()

    def paste(self, square: AnyArray, shape: tuple[int, int], smooth: bool) -> FloatMap:
        """The inverse of `resize`: 224 x 224 values on a plane of `shape`, zero outside the square.

        Args:
            square: `(224, 224)`.
            shape: rows and columns of the plane.
            smooth: interpolate; otherwise each pixel takes the nearest value, as labels must.
        """
        tensor = torch.from_numpy(np.ascontiguousarray(square, dtype=np.float32))[None, None]
        mode = "bilinear" if smooth else "nearest-exact"
        full = torch.nn.functional.interpolate(tensor, (self.rows, self.columns), mode=mode)[0, 0].numpy()
        result = np.zeros(shape, dtype=square.dtype)
        target, source = self._overlap(shape)
        result[target] = full[source].astype(square.dtype)
        return result

    def _overlap(self, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Where the square and the image meet: in the image, and in the square."""
        in_image, in_square = [], []
        for first, size, length in zip((self.row, self.column), (self.rows, self.columns), shape, strict=True):
            low, high = max(first, 0), min(first + size, length)
            in_image.append(slice(low, max(high, low)))
            in_square.append(slice(low - first, max(high, low) - first))
        return (in_image[0], in_image[1]), (in_square[0], in_square[1])


def normalise_square(hu: FloatMap, lung: Mask, window: tuple[float, float], masked: bool) -> FloatMap:
    """The classifier's input from a 224 x 224 square: scaled to [0, 1]; with `masked`, 0 outside the lungs."""
    image = scale_to_window(hu, *window)
    return image * lung if masked else image


@dataclass(frozen=True)
class SliceInputs:
    """Every slice of one volume as the classifier sees it: one square, one window, canonical orientation.

    Attributes:
        hu, lungs: canonical views of the volume and of its lung labels, `(slice, row, col)`.
        square: the square around the lungs of the whole volume.
        window: low and high end of the normalisation in HU.
        masked: whether pixels outside the lungs are hidden.
    """

    hu: HounsfieldUnits
    lungs: LabelMap
    square: LungSquare
    window: tuple[float, float]
    masked: bool
    _lung_squares: dict[int, Mask] = field(default_factory=dict, repr=False, compare=False)
    """Those that were asked for: 50 kB each, and both classification and saliency ask."""

    @classmethod
    def of_volume(cls, volume: CTVolume, lungs: LabelMap, window: SlidingWindow, masked: bool) -> "SliceInputs":
        """Prepare a volume and its lung labels, both on the source grid."""
        labels = volume.to_canonical(lungs)
        square = LungSquare.around(labels, volume.canonical_spacing_mm[1:])
        return cls(volume.to_canonical(volume.hu), labels, square, window.place(volume.hu), masked)

    def lung(self, index: int) -> Mask:
        """The slice's lungs, bool `(row, col)`."""
        return np.asarray(self.lungs[index] > 0)

    def lung_pixels(self) -> Indices:
        """How many pixels of each slice are lung, `(slice,)`."""
        return np.array([np.count_nonzero(plane) for plane in self.lungs])

    def lung_square(self, index: int) -> Mask:
        """The slice's lungs, bool `(224, 224)`."""
        if index not in self._lung_squares:
            self._lung_squares[index] = self.square.resize(self.lung(index), 0.0) > 0.5
        return self._lung_squares[index]

    def image(self, index: int, lung: Mask) -> FloatMap:
        """The slice's input, float32 `(224, 224)` in [0, 1]; `lung` is its `lung_square`."""
        return normalise_square(self.square.resize(self.hu[index], AIR_HU), lung, self.window, self.masked)
