"""II-C: multi-view, multi-window lung segmentation of a volume, and the post-processing.

The volume is resampled to cubes, segmented in axial, coronal and sagittal planes under every sliding window, the
probabilities are averaged, brought back to the source grid and thresholded; then only what can be a lung is kept and
right is told from left.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import ndimage

from method.lung_network import LungUNet
from method.normalisation import SlidingWindow
from method.precision import images_at_a_time, mixed_precision
from method.types import BACKGROUND, LEFT_LUNG, RIGHT_LUNG, CTVolume, Unsuitable

VIEWS: dict[str, tuple[int, int, int]] = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}
"""Axis order that turns a canonical volume into planes of each view."""
SMALL_PIECE = 0.08
"""Regions below this part of the largest are bowel gas or noise."""
GAS_HU = -955.0
GAS_ML = 4.0
WALL_HU, WALL_MM, WALL_PART = -500.0, 7.0, 0.45
"""At least `GAS_ML` of nothing but gas, darker than `GAS_HU`, is no lung where tissue denser than `WALL_HU` makes
`WALL_PART` of the `WALL_MM` around it. Measured in the lungs found in normal002, cap001 and P001: trachea, main bronchi
and colon .50 to .57; bullae and emphysema lie in lung, .1 to .2."""


@dataclass(frozen=True)
class MultiWindow:
    """The sliding windows whose predictions vote.

    Attributes:
        windows: `(Q, S)` pairs in HU.
        range_fractions: Q as a fraction of the range, for images with no HU.
    """

    windows: tuple[SlidingWindow, ...] = (SlidingWindow(1400.0, 20.0), SlidingWindow(1000.0, 20.0))
    range_fractions: tuple[float, ...] = (0.8, 1.0)

    def for_range_of(self, image: np.ndarray) -> "MultiWindow":
        """The windows for an image with no HU."""
        return replace(self, windows=tuple(SlidingWindow.for_range(image, part, 0.01) for part in self.range_fractions))

    def views_of(self, image: np.ndarray) -> list[np.ndarray]:
        """`image` normalised by each window."""
        return [window.normalise(image) for window in self.windows]


@torch.inference_mode()
def predict_planes(
    network: LungUNet,
    planes: np.ndarray,
    windows: MultiWindow,
    batch: int | None = None,
    on_planes: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Probability of lung on consecutive planes, averaged over the windows.

    Args:
        network: in evaluation mode, on the device to use; in float32 it is computed with mixed precision.
        planes: `(plane, row, col)` in HU, or in the units of `windows`.
        windows: the windows that vote.
        batch: planes at a time; bounds the memory. None for what suits the device.
        on_planes: called with the number of planes done, for progress.

    Returns:
        float32, the shape of `planes`.
    """
    parameter = next(network.parameters())
    batch = batch or images_at_a_time(parameter.device)
    half = network.neighbours // 2
    pads = [-length % network.size_multiple for length in planes.shape[1:]]
    total = np.zeros(planes.shape, dtype=np.float32)
    for view in windows.views_of(planes):
        padded = np.pad(view, ((half, half), (0, pads[0]), (0, pads[1])), mode="edge")
        for first in range(0, len(planes), batch):
            last = min(first + batch, len(planes))
            block = torch.from_numpy(padded[first : last + 2 * half]).to(parameter.device)[None]
            with mixed_precision(parameter.device):
                probability = network(block.to(parameter.dtype)).float().sigmoid()[0]
            total[first:last] += probability[:, : planes.shape[1], : planes.shape[2]].cpu().numpy()
            if on_planes is not None:
                on_planes(last - first)
    return total / len(windows.windows)


def _centres(length: int, of: int) -> np.ndarray:
    """Where the centres of `length` voxels lie among `of` voxels over the same extent, as fractional indices."""
    return np.clip((np.arange(length) + 0.5) * of / length - 0.5, 0, of - 1)


def _plane_at(volume: np.ndarray, position: float) -> np.ndarray:
    """The plane at a fractional slice index, float32, linear between its two neighbours."""
    below = int(position)
    weight = np.float32(position - below)
    if weight == 0:
        return volume[below].astype(np.float32)
    return volume[below] * (1 - weight) + volume[below + 1] * weight


def _resize_plane(plane: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Resize `(row, col)`: averages over areas where it shrinks, linear where it grows."""
    tensor = torch.from_numpy(np.ascontiguousarray(plane, dtype=np.float32))[None, None]
    mode = "area" if shape[0] < plane.shape[0] else "bilinear"
    return torch.nn.functional.interpolate(tensor, size=tuple(shape), mode=mode)[0, 0].numpy()


def to_cubes(volume: np.ndarray, spacing_mm: Sequence[float], grid_mm: float) -> np.ndarray:
    """Resample `(slice, row, col)` to cubes of `grid_mm`, float32; one plane at a time, so that no copy is held."""
    shape = [max(round(length * step / grid_mm), 1) for length, step in zip(volume.shape, spacing_mm, strict=True)]
    positions = _centres(shape[0], volume.shape[0])
    return np.stack([_resize_plane(_plane_at(volume, position), shape[1:]) for position in positions])


def segment_lungs(
    network: LungUNet,
    volume: CTVolume,
    windows: MultiWindow,
    grid_mm: float,
    views: Sequence[str] = tuple(VIEWS),
    on_planes: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Find the two lungs of a chest CT.

    Args:
        network: in evaluation mode.
        volume: the CT.
        windows: sliding windows that vote.
        grid_mm: size of the cubes on which the network works.
        views: planes that vote, names of VIEWS.
        on_planes: called with planes done and planes in all.

    Returns:
        uint8 labels on the source grid: BACKGROUND, RIGHT_LUNG, LEFT_LUNG.

    Raises:
        Unsuitable: NO_LUNGS, nothing in the volume can be a pair of lungs.
    """
    source = volume.to_canonical(volume.hu)
    cubes = to_cubes(source, volume.canonical_spacing_mm, grid_mm)
    total = len(windows.windows) * sum(cubes.shape[VIEWS[view][0]] for view in views)
    done = 0

    def count(planes: int) -> None:
        nonlocal done
        done += planes
        if on_planes is not None:
            on_planes(done, total)

    probability = np.zeros_like(cubes)
    for view in views:
        axes = VIEWS[view]
        planes = predict_planes(network, cubes.transpose(axes), windows, on_planes=count)
        probability += planes.transpose(np.argsort(axes))
    probability /= len(views)
    labels = label_lungs(drop_gas(probability, cubes, (grid_mm,) * 3), (grid_mm,) * 3)
    return volume.from_canonical(_to_source_grid(probability, labels, source.shape))


def lung_volumes_ml(lungs: np.ndarray, volume: CTVolume) -> tuple[float, float]:
    """Volumes of the right and of the left lung in ml, from labels on the source grid."""
    right, left = (sum(np.count_nonzero(plane == side) for plane in lungs) for side in (RIGHT_LUNG, LEFT_LUNG))
    return right * volume.voxel_volume_ml, left * volume.voxel_volume_ml


def drop_gas(probability: np.ndarray, hu: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """Take out gas that a wall encloses: colon and stomach below the diaphragm, trachea and main bronchi.

    The bowel lies against the diaphragm, and its wall is thinner than a cube: no shape tells it from lung. But its gas
    is pure, and surrounded by soft tissue where a bulla is surrounded by lung.

    Args:
        probability: of lung, `(slice, row, col)`.
        hu: same shape.
        spacing_mm: of both.

    Returns:
        The probability, zero in the pieces taken out.
    """
    gas, count = ndimage.label((probability > 0.5) & (ndimage.uniform_filter(hu, 3) < GAS_HU))
    sizes_ml = np.bincount(gas.ravel(), minlength=count + 1) * float(np.prod(spacing_mm)) / 1000
    reach = [int(np.ceil(WALL_MM / step)) for step in spacing_mm]
    result = probability.copy()
    for number, place in enumerate(ndimage.find_objects(gas), start=1):
        if sizes_ml[number] < GAS_ML:
            continue
        box = tuple(slice(max(side.start - r, 0), side.stop + r) for side, r in zip(place, reach, strict=True))
        distance_mm = ndimage.distance_transform_edt(gas[box] != number, sampling=spacing_mm)
        rim_mm = 1.5 * max(spacing_mm)  # the cubes that gas and wall share
        around = (distance_mm > rim_mm) & (distance_mm <= WALL_MM)
        if (hu[box][around] > WALL_HU).mean() >= WALL_PART:
            result[box][distance_mm <= rim_mm] = 0.0
    return result


def label_lungs(probability: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """Keep what can be a lung, fill holes, tell right from left.

    Args:
        probability: of lung, canonical `(slice, row, col)`: columns run from the patient's right to the left.
        spacing_mm: `(slice, row, col)`.

    Returns:
        uint8 labels, same shape.

    Raises:
        Unsuitable: NO_LUNGS, no region of at least 100 ml.
    """
    mask = probability > 0.5
    regions, count = ndimage.label(mask)
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    sizes_ml = np.bincount(regions.ravel(), minlength=count + 1) * voxel_ml
    sizes_ml[0] = 0.0
    if count == 0 or sizes_ml.max() < 100.0:
        raise Unsuitable(
            "NO_LUNGS",
            f"No lungs were found: the largest region is {sizes_ml.max():.0f} ml, and a lung has at least 100 ml. "
            "Check that the series shows the chest.",
        )
    mask = (sizes_ml >= SMALL_PIECE * float(sizes_ml.max()))[regions]
    labels = np.zeros(mask.shape, dtype=np.uint8)
    place = _slices_and_rows(mask)
    labels[place] = _separate_sides(mask[place], spacing_mm)
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        if place is not None:
            part = labels[place]  # a closing never reaches beyond the bounding box
            part[_close(part == number, spacing_mm) & (part == BACKGROUND)] = number
    return labels


def _slices_and_rows(mask: np.ndarray) -> tuple[slice, slice]:
    """Those that hold the mask, and two on each side; distances to and inside the mask are the same there."""
    bounds = []
    for axis in (0, 1):
        marked = np.nonzero(mask.any(axis=(1 - axis, 2)))[0]
        bounds.append(slice(max(marked[0] - 2, 0), marked[-1] + 3))
    return bounds[0], bounds[1]


def _close(lung: np.ndarray, spacing_mm: Sequence[float], radius_mm: float = 6.0) -> np.ndarray:
    """Close gaps narrower than twice the radius, and fill what all three planes enclose: dense disease is lung too.

    What is enclosed in one plane alone is not filled: the dome of the diaphragm is, in an axial plane.
    """
    margin = [int(np.ceil(radius_mm / step)) + 1 for step in spacing_mm]
    padded = np.pad(lung, [(width, width) for width in margin])
    grown = ndimage.distance_transform_edt(~padded, sampling=spacing_mm) <= radius_mm
    closed = (ndimage.distance_transform_edt(grown, sampling=spacing_mm) > radius_mm) | padded
    closed = closed[tuple(slice(width, -width) for width in margin)]
    enclosed = np.ones_like(closed)
    for axis in range(3):
        for plane, filled in zip(np.moveaxis(closed, axis, 0), np.moveaxis(enclosed, axis, 0), strict=True):
            filled[:] = ndimage.binary_fill_holes(plane)
    return closed | enclosed


def _separate_sides(mask: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """Name the voxels of `mask` by side: cores from an erosion, then every voxel goes to the nearest core.

    Where the lungs touch, in front of the heart or behind it, the erosion parts them. How far to erode is found by
    trying: until the largest core of each side lies on that side.
    """
    depth = ndimage.distance_transform_edt(mask, sampling=spacing_mm)
    columns = np.nonzero(mask.any(axis=(0, 1)))[0]
    middle = (columns[0] + columns[-1]) / 2
    for erosion_mm in (0.0, 2.0, 4.0, 7.0, 10.0, 14.0):
        sides = _sides_of_cores(depth > erosion_mm, middle)
        if sides is not None:
            nearest = ndimage.distance_transform_edt(
                sides == 0, sampling=spacing_mm, return_distances=False, return_indices=True
            )
            return np.where(mask, sides[tuple(nearest)], 0).astype(np.uint8)
    # One lung alone, or lungs that no erosion parts: then the middle of the image, or of the lungs, decides.
    image_middle = mask.shape[2] / 2
    if _part_beyond(mask, image_middle) > 0.25:
        names = np.where(np.arange(mask.shape[2]) < middle, RIGHT_LUNG, LEFT_LUNG).astype(np.uint8)
        return mask * names[None, None, :]
    return mask * np.uint8(RIGHT_LUNG if middle < image_middle else LEFT_LUNG)


def _sides_of_cores(cores: np.ndarray, middle: float) -> np.ndarray | None:
    """Side of every core voxel, or None where the cores are not yet one or more for each side."""
    regions, count = ndimage.label(cores)
    if count < 2:
        return None
    sizes = np.bincount(regions.ravel())[1:]
    centres = np.array(ndimage.center_of_mass(cores, regions, range(1, count + 1)))[:, 2]
    names = np.where(centres < middle, RIGHT_LUNG, LEFT_LUNG).astype(np.uint8)
    largest = [np.where(names == side, sizes, 0) for side in (RIGHT_LUNG, LEFT_LUNG)]
    if min(part.max() for part in largest) < 0.1 * sizes.max():
        return None
    if any(_part_beyond(regions == part.argmax() + 1, middle) > 0.25 for part in largest):
        return None
    return np.concatenate([[np.uint8(0)], names])[regions]


def _part_beyond(region: np.ndarray, middle: float) -> float:
    """How much of a region lies beyond the middle, seen from its larger side."""
    right = int(region[..., : int(middle)].sum())
    total = int(region.sum())
    return min(right, total - right) / total


def _to_source_grid(probability: np.ndarray, labels: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Bring probability and sides to the source grid: the border from the interpolated probability, the side from the
    nearest labelled cube."""
    place = _slices_and_rows(labels > 0)
    nearest = ndimage.distance_transform_edt(labels[place] == 0, return_distances=False, return_indices=True)
    side = np.zeros_like(labels)
    side[place] = labels[place][tuple(nearest)]
    # Probability outside the kept regions must not come back: one cube around them is enough for the border.
    near = ndimage.binary_dilation(labels > 0, iterations=1)
    filled = np.where(labels > 0, np.maximum(probability, 0.5 + 1e-3), probability) * near
    slices, rows, columns = (
        np.rint(_centres(*lengths)).astype(int) for lengths in zip(shape, labels.shape, strict=True)
    )
    result = np.zeros(tuple(shape), dtype=np.uint8)
    for index, position in enumerate(_centres(shape[0], labels.shape[0])):
        plane = _plane_at(filled, position)
        if plane.any():
            lung = _resize_plane(plane, shape[1:]) > 0.5
            result[index] = lung * side[slices[index]][rows[:, None], columns[None, :]]
    return result
