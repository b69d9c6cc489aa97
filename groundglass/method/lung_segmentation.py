"""II-C: multi-view, multi-window lung segmentation of a volume.

The volume is resampled to cubes and segmented in axial, coronal and sagittal planes under every sliding window. The
probabilities of windows are averaged, those of views fused, brought back to the source grid and thresholded. Then only
what can be a lung is kept, and right is told from left.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from groundglass.domain.arrays import AnyArray, FloatMap, LabelMap, Numbers
from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG, CTVolume, Face
from groundglass.method.area_means import area_means
from groundglass.method.lung_network import LungUNet
from groundglass.method.lung_regions import find_densities, find_walled_gas, label_lungs
from groundglass.method.morphology import box_around, grow_labels, within
from groundglass.method.normalisation import Histogram, SlidingWindow
from groundglass.method.precision import images_at_a_time, mixed_precision

VIEWS: dict[str, tuple[int, int, int]] = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}
"""Axis order that turns a canonical volume into planes of each view."""
CHEST_MM = 260.0
"""No field of view narrower than this shows both lungs of an adult."""
WHOLE_LUNGS_MM = 180.0
"""A volume less high than this cuts the lungs. Then the axial planes alone vote, where they vote at all: coronal and
sagittal ones show half lungs, which the network has never seen, and lose what lies at the cut (`lesion_masks`, 170 mm:
Dice .98 for .94)."""
CUT_MM2 = 1000.0
"""Lungs count as cut if an outer plane of the volume shows more than this. Less is normally the tip of a recess:
P001's last slice has 7 cm2."""


@dataclass(frozen=True)
class MultiWindow:
    """The sliding windows whose predictions vote.

    Attributes:
        windows: `(Q, S)` pairs in HU.
        range_fractions: Q as a fraction of the range, for images with no HU.
    """

    windows: tuple[SlidingWindow, ...]
    range_fractions: tuple[float, ...] = (0.8, 1.0)

    def for_range_of(self, image: AnyArray) -> "MultiWindow":
        """The windows for an image with no HU."""
        return replace(self, windows=tuple(SlidingWindow.for_range(image, part, 0.01) for part in self.range_fractions))

    def fixed_on(self, image: AnyArray) -> "MultiWindow":
        """The windows placed on `image`, to stay there for parts of it."""
        histograms = {step: Histogram.of(image, step) for step in {window.step for window in self.windows}}
        return replace(self, windows=tuple(window.fixed_on(histograms[window.step]) for window in self.windows))


@torch.inference_mode()
def predict_planes(
    network: LungUNet,
    planes: AnyArray,
    windows: MultiWindow,
    batch: int | None = None,
    on_planes: Callable[[int], None] | None = None,
) -> FloatMap:
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
    values = torch.from_numpy(np.asarray(planes, dtype=np.float32)).to(parameter.device)
    pads = [-length % network.size_multiple for length in planes.shape[1:]]
    total = torch.zeros_like(values)
    for low, high in (window.place(planes) for window in windows.windows):
        for first in range(0, len(values), batch):
            last = min(first + batch, len(values))
            # The outer planes are their own neighbours.
            seen = torch.arange(first - half, last + half, device=values.device).clamp_(0, len(values) - 1)
            block = values[seen].sub_(low).mul_(1.0 / (high - low)).clamp_(0.0, 1.0)[None]
            if any(pads):
                block = torch.nn.functional.pad(block, (0, pads[1], 0, pads[0]), mode="replicate")
            with mixed_precision(parameter.device):
                probability = network(block.to(parameter.dtype)).float().sigmoid()[0]
            total[first:last] += probability[:, : planes.shape[1], : planes.shape[2]]
            if on_planes is not None:
                on_planes(last - first)
    return total.div_(len(windows.windows)).cpu().numpy()


def _centres(length: int, of: int) -> Numbers:
    """Where the centres of `length` voxels lie among `of` voxels over the same extent, as fractional indices."""
    return np.clip((np.arange(length) + 0.5) * of / length - 0.5, 0, of - 1)


def _plane_at(volume: AnyArray, position: float) -> FloatMap:
    """The plane at a fractional slice index, float32, linear between its two neighbours."""
    below = int(position)
    weight = np.float32(position - below)
    plane: FloatMap
    if weight == 0:
        plane = volume[below].astype(np.float32)
    else:
        plane = volume[below] * (1 - weight) + volume[below + 1] * weight
    return plane


def _resize_plane(plane: FloatMap, shape: Sequence[int]) -> FloatMap:
    """Resize float32 `(row, col)`: averages over areas where it shrinks, linear where it grows."""
    if shape[0] < plane.shape[0]:
        return area_means(plane, shape)
    tensor = torch.from_numpy(np.ascontiguousarray(plane))[None, None]
    return torch.nn.functional.interpolate(tensor, size=tuple(shape), mode="bilinear")[0, 0].numpy()


def to_cubes(volume: AnyArray, spacing_mm: Sequence[float], grid_mm: float) -> FloatMap:
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
) -> LabelMap:
    """Find the two lungs of a chest CT.

    Args:
        network: in evaluation mode.
        volume: the CT.
        windows: sliding windows that vote.
        grid_mm: size of the cubes on which the network works.
        views: planes that vote, names of VIEWS; the axial ones alone where the volume is low (WHOLE_LUNGS_MM).
        on_planes: called with planes done and planes in all.

    Returns:
        uint8 labels on the source grid: BACKGROUND, RIGHT_LUNG, LEFT_LUNG.

    Raises:
        Refusal: NO_LUNGS, nothing in the volume can be a pair of lungs.
    """
    source = volume.to_canonical(volume.hu)
    cubes = to_cubes(source, volume.canonical_spacing_mm, grid_mm)
    windows = windows.fixed_on(cubes)
    if len(cubes) * grid_mm < WHOLE_LUNGS_MM and "axial" in views:
        views = ("axial",)
    total = len(windows.windows) * sum(cubes.shape[VIEWS[view][0]] for view in views)
    done = 0

    def count(planes: int) -> None:
        nonlocal done
        done += planes
        if on_planes is not None:
            on_planes(done, total)

    votes = {}
    for view in views:
        axes = VIEWS[view]
        planes = predict_planes(network, cubes.transpose(axes), windows, on_planes=count)
        votes[view] = planes.transpose(np.argsort(axes))
    probability = fuse_views(votes, cubes)
    walled = find_walled_gas(probability, cubes, grid_mm)
    labels = label_lungs(probability, grid_mm, _midline(volume, cubes.shape[2]), walled)
    probability[walled] = 0.0
    return volume.from_canonical(_to_source_grid(probability, labels, source.shape))


def fuse_views(votes: Mapping[str, FloatMap], cubes: FloatMap) -> FloatMap:
    """From the probability of lung in each view to one, by what each can tell.

    An axial plane shows the dome of the diaphragm as it would a consolidation, an island in the lung. So where tissue
    holds no air the mean of the planes along the body decides, which show that the dome goes on into the liver. These
    in turn lose the bases of lungs with disease all over (cap001). So where it holds air the mean of all views decides,
    or the axial one alone, whichever is higher. Dice on four volumes that trained nothing, but were in view when this
    was settled (`lesion_volumes`): .971, for .968 of the mean alone.

    The mean alone is taken of one view, without an axial one, and where lungs and tissue have no densities to tell.

    Args:
        votes: by view, a name of VIEWS, `(slice, row, col)`, all of one shape.
        cubes: the image, same shape, in HU or any other unit that grows with density.

    Returns:
        float32, same shape.
    """
    mean: FloatMap = sum(votes.values(), np.zeros_like(cubes)) / np.float32(len(votes))
    densities = find_densities(mean, cubes)
    if "axial" not in votes or len(votes) == 1 or densities is None:
        return mean
    along = (mean * len(votes) - votes["axial"]) / np.float32(len(votes) - 1)
    return np.where(cubes < densities.airless, np.maximum(mean, votes["axial"]), along)


def lung_volumes_ml(lungs: LabelMap, volume: CTVolume) -> tuple[float, float]:
    """Volumes of the right and of the left lung in ml, from labels on the source grid."""
    right, left = (sum(np.count_nonzero(plane == side) for plane in lungs) for side in (RIGHT_LUNG, LEFT_LUNG))
    return float(right * volume.voxel_volume_ml), float(left * volume.voxel_volume_ml)


def faces_that_cut(lungs: LabelMap, volume: CTVolume) -> tuple[Face, ...]:
    """Where the images cut the lungs: outer planes of the volume on which labels on the source grid have some area."""
    return tuple(
        (axis, end)
        for axis, spacing_mm in enumerate(volume.spacing_mm)
        for end in (0, -1)
        if np.count_nonzero(np.take(lungs, end, axis=axis)) * np.prod(volume.spacing_mm) / spacing_mm > CUT_MM2
    )


def _midline(volume: CTVolume, columns: int) -> float | None:
    """Where the patient's x is 0 in a field of view too narrow for a chest, as a column of `columns` cubes.

    In a wider one it is None: the middle of the image is near enough to the patient's, wherever a converter has put
    the origin.
    """
    width_mm = volume.to_canonical(volume.hu).shape[2] * volume.canonical_spacing_mm[2]
    if width_mm >= CHEST_MM:
        return None
    centre = volume.affine @ [*((length - 1) / 2 for length in volume.hu.shape), 1.0]
    to_the_left = volume.canonical_directions[2][0] * width_mm / columns
    return float((columns - 1) / 2 - centre[0] / to_the_left)


def _to_source_grid(probability: FloatMap, labels: LabelMap, shape: Sequence[int]) -> LabelMap:
    """Bring probability and sides to the source grid: the border from the interpolated probability, the side from the
    nearest labelled cube."""
    side = grow_labels(labels)
    lungs = labels > 0
    place = box_around(lungs, 1)
    inside, found = lungs[place], probability[place]
    filled = np.zeros_like(probability)
    # Probability outside the kept regions must not come back: one cube around them is enough for the border.
    filled[place] = np.where(inside, np.maximum(found, 0.5 + 1e-3), found) * within(inside, 1.0)
    slices, rows, columns = (
        np.rint(_centres(*lengths)).astype(int) for lengths in zip(shape, labels.shape, strict=True)
    )
    # Nothing lies where the nearest cube is outside of the box.
    near_rows, near_columns = (
        slice(*np.searchsorted(nearest, (part.start, part.stop)))
        for nearest, part in ((rows, place[1]), (columns, place[2]))
    )
    result = np.zeros(tuple(shape), dtype=np.uint8)
    for index, position in enumerate(_centres(shape[0], labels.shape[0])):
        plane = _plane_at(filled, position)
        if plane.any():
            lung = _resize_plane(plane, shape[1:])[near_rows, near_columns] > 0.5
            nearest = side[slices[index]].take(rows[near_rows], axis=0).take(columns[near_columns], axis=1)
            result[index, near_rows, near_columns] = lung * nearest
    return result
