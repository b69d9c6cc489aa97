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
from method.normalisation import SlidingWindow, scale_to_window
from method.types import BACKGROUND, LEFT_LUNG, RIGHT_LUNG, CTVolume

VIEWS: dict[str, tuple[int, int, int]] = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}
"""Axis order that turns a canonical volume into planes of each view."""


class NoLungsFound(ValueError):
    """The segmentation holds no region that can be a pair of lungs."""


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
        return [scale_to_window(image, *window.place(image)) for window in self.windows]


@torch.inference_mode()
def predict_planes(
    network: LungUNet,
    planes: np.ndarray,
    windows: MultiWindow,
    batch: int = 8,
    on_planes: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Probability of lung on consecutive planes, averaged over the windows.

    Args:
        network: in evaluation mode, on the device to use.
        planes: `(plane, row, col)` in HU, or in the units of `windows`.
        windows: the windows that vote.
        batch: planes at a time; bounds the memory.
        on_planes: called with the number of planes done, for progress.

    Returns:
        float32, the shape of `planes`.
    """
    parameter = next(network.parameters())
    half = network.neighbours // 2
    pads = [-length % network.size_multiple for length in planes.shape[1:]]
    total = np.zeros(planes.shape, dtype=np.float32)
    for view in windows.views_of(planes):
        padded = np.pad(view, ((half, half), (0, pads[0]), (0, pads[1])), mode="edge")
        for first in range(0, len(planes), batch):
            last = min(first + batch, len(planes))
            block = torch.from_numpy(padded[first : last + 2 * half]).to(parameter.device)[None]
            with torch.autocast(parameter.device.type, torch.bfloat16):
                probability = network(block).float().sigmoid()[0]
            total[first:last] += probability[:, : planes.shape[1], : planes.shape[2]].cpu().numpy()
            if on_planes is not None:
                on_planes(last - first)
    return total / len(windows.windows)


def resize_volume(volume: np.ndarray, shape: Sequence[int], mode: str = "linear") -> np.ndarray:
    """Resize `(slice, row, col)`, corners aligned to voxel edges: `area` when it shrinks, `linear` when it grows.

    Works plane by plane and then along the slices, so that no more than one extra copy is held.
    """
    in_plane = "area" if mode == "area" else "bilinear"
    planes = np.empty((volume.shape[0], *shape[1:]), dtype=np.float32)
    for index, plane in enumerate(volume):
        tensor = torch.from_numpy(np.ascontiguousarray(plane, dtype=np.float32))[None, None]
        planes[index] = torch.nn.functional.interpolate(tensor, size=tuple(shape[1:]), mode=in_plane)[0, 0].numpy()
    if planes.shape[0] == shape[0]:
        return planes
    position = np.clip((np.arange(shape[0]) + 0.5) * planes.shape[0] / shape[0] - 0.5, 0, planes.shape[0] - 1)
    below = np.floor(position).astype(int)
    above = np.minimum(below + 1, planes.shape[0] - 1)
    weight = (position - below).astype(np.float32)[:, None, None]
    return planes[below] * (1 - weight) + planes[above] * weight


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
        NoLungsFound: nothing in the volume can be a pair of lungs.
    """
    source = volume.to_canonical(volume.hu)
    spacing_mm = volume.canonical_spacing_mm
    shape = [max(round(length * step / grid_mm), 1) for length, step in zip(source.shape, spacing_mm, strict=True)]
    cubes = resize_volume(source, shape, "area")
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
    labels = label_lungs(probability, (grid_mm,) * 3)
    return volume.from_canonical(_to_source_grid(probability, labels, source.shape))


def lung_volumes_ml(lungs: np.ndarray, volume: CTVolume) -> tuple[float, float]:
    """Volumes of the right and of the left lung in ml, from labels on the source grid."""
    voxels = np.bincount(lungs.ravel(), minlength=3) * volume.voxel_volume_ml
    return float(voxels[RIGHT_LUNG]), float(voxels[LEFT_LUNG])


def label_lungs(probability: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """Keep what can be a lung, fill holes, tell right from left.

    Args:
        probability: of lung, canonical `(slice, row, col)`: columns run from the patient's right to the left.
        spacing_mm: `(slice, row, col)`.

    Returns:
        uint8 labels, same shape.

    Raises:
        NoLungsFound: no region of at least 100 ml.
    """
    mask = probability > 0.5
    regions, count = ndimage.label(mask)
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    sizes_ml = np.bincount(regions.ravel(), minlength=count + 1) * voxel_ml
    sizes_ml[0] = 0.0
    if count == 0 or sizes_ml.max() < 100.0:
        raise NoLungsFound(
            f"No lungs were found: the largest region is {sizes_ml.max():.0f} ml, and a lung has at least 100 ml. "
            "Check that the series shows the chest."
        )
    # Small separate regions are bowel gas or noise.
    mask = (sizes_ml >= 0.08 * float(sizes_ml.max()))[regions]
    labels = _separate_sides(mask, spacing_mm)
    for side in (RIGHT_LUNG, LEFT_LUNG):
        labels[_close(labels == side, spacing_mm) & (labels == BACKGROUND)] = side
    return labels


def _close(lung: np.ndarray, spacing_mm: Sequence[float], radius_mm: float = 6.0) -> np.ndarray:
    """Close gaps narrower than twice the radius and fill the holes of every plane: dense disease is lung too."""
    margin = [int(np.ceil(radius_mm / step)) + 1 for step in spacing_mm]
    padded = np.pad(lung, [(width, width) for width in margin])
    grown = ndimage.distance_transform_edt(~padded, sampling=spacing_mm) <= radius_mm
    closed = (ndimage.distance_transform_edt(grown, sampling=spacing_mm) > radius_mm) | padded
    closed = closed[tuple(slice(width, -width) for width in margin)]
    for axis in range(3):
        for plane in np.moveaxis(closed, axis, 0):
            plane[:] = ndimage.binary_fill_holes(plane)
    return closed


def _separate_sides(mask: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """Name the voxels of `mask` by side: cores from an erosion, then every voxel goes to the nearest core.

    Where the lungs touch, in front of the heart or behind it, the erosion parts them. How far to erode is found by
    trying: until the two largest cores lie on either side of the middle.
    """
    depth = ndimage.distance_transform_edt(mask, sampling=spacing_mm)
    columns = np.nonzero(mask.any(axis=(0, 1)))[0]
    middle = (columns[0] + columns[-1]) / 2
    for erosion_mm in (0.0, 2.0, 4.0, 7.0, 10.0, 14.0):
        cores, count = ndimage.label(depth > erosion_mm)
        if count == 0:
            break
        sizes = np.bincount(cores.ravel())
        sizes[0] = 0
        centres = np.array(ndimage.center_of_mass(cores > 0, cores, range(1, count + 1)))[:, 2]
        on_right = np.concatenate([[False], centres < middle])
        side_sizes = [sizes * on_right, sizes * ~on_right]
        largest = [int(side.argmax()) for side in side_sizes]
        amounts = [int(side.max()) for side in side_sizes]
        spans_middle = any(
            _spans(cores == core, middle, 0.25) for core, amount in zip(largest, amounts, strict=True) if amount
        )
        if min(amounts) >= 0.1 * max(amounts) and not spans_middle:
            break
    else:
        cores = None  # type: ignore[assignment]
    if cores is None or not cores.any():
        # One lung alone, or lungs that no erosion parts: the middle of the body decides.
        names = np.where(np.arange(mask.shape[2]) < middle, RIGHT_LUNG, LEFT_LUNG).astype(np.uint8)
        return mask * names[None, None, :]
    side_of_core = np.where(on_right, RIGHT_LUNG, LEFT_LUNG).astype(np.uint8)
    side_of_core[0] = 0
    named = side_of_core[cores]
    nearest = ndimage.distance_transform_edt(
        named == 0, sampling=spacing_mm, return_distances=False, return_indices=True
    )
    return np.where(mask, named[tuple(nearest)], 0).astype(np.uint8)


def _spans(core: np.ndarray, middle: float, part: float) -> bool:
    """Whether more than `part` of a core lies beyond the middle, seen from its larger side."""
    right = int(core[..., : int(middle)].sum())
    total = int(core.sum())
    return min(right, total - right) > part * total


def _to_source_grid(probability: np.ndarray, labels: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Bring probability and sides to the source grid: the border from the interpolated probability, the side from the
    nearest labelled cube."""
    nearest = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    side = labels[tuple(nearest)]
    # Probability outside the kept regions must not come back: one cube around them is enough for the border.
    near = ndimage.binary_dilation(labels > 0, iterations=1)
    filled = np.where(labels > 0, np.maximum(probability, 0.5 + 1e-3), probability) * near
    slices = np.minimum((np.arange(shape[0]) + 0.5) * labels.shape[0] / shape[0], labels.shape[0] - 1).astype(int)
    rows = np.minimum((np.arange(shape[1]) + 0.5) * labels.shape[1] / shape[1], labels.shape[1] - 1).astype(int)
    columns = np.minimum((np.arange(shape[2]) + 0.5) * labels.shape[2] / shape[2], labels.shape[2] - 1).astype(int)
    result = np.zeros(tuple(shape), dtype=np.uint8)
    position = np.clip((np.arange(shape[0]) + 0.5) * labels.shape[0] / shape[0] - 0.5, 0, labels.shape[0] - 1)
    below = np.floor(position).astype(int)
    above = np.minimum(below + 1, labels.shape[0] - 1)
    for index in range(shape[0]):
        weight = np.float32(position[index] - below[index])
        plane = filled[below[index]] * (1 - weight) + filled[above[index]] * weight
        if not plane.any():
            continue
        tensor = torch.from_numpy(np.ascontiguousarray(plane, dtype=np.float32))[None, None]
        fine = torch.nn.functional.interpolate(tensor, size=tuple(shape[1:]), mode="bilinear")[0, 0].numpy()
        result[index] = (fine > 0.5) * side[slices[index]][rows[:, None], columns[None, :]]
    return result
