"""Training and validation samples for the lung network.

Three sources with lungs marked on every image: `lung_slices` (single slices in HU), the lungs of `lesion_masks` (four
patients with COVID-19, 8-bit; their lesion masks are never read here), and the volumes of the two patients without
pneumonia, whose lungs a threshold finds rightly. Consolidations painted into all of them keep the masks right where a
threshold would fail. Patients held out for validation never train.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from scipy import ndimage
from skimage import measure, morphology
from skimage.filters import threshold_otsu

from groundglass.method.lung_network import LungUNet
from groundglass.method.lung_segmentation import MultiWindow, predict_planes
from groundglass.method.normalisation import FixedWindow, SlidingWindow
from groundglass.phantom.painted_lesions import Lesion, paint_lesion, paint_pattern
from groundglass.presets import SHIPPED
from training.augmentation import turn, warp
from training.loop import Draw

PLANE_SIZE = 192
"""Pixels of a training plane; with `GRID_MM` about the whole chest."""
GRID_MM = SHIPPED.lungs.grid_mm
"""Pixel size at which volumes are segmented."""
HELD_OUT_SLICES = slice(0, None, 5)
"""Every fifth of the 197 single-slice patients is held out."""
HELD_OUT_CASE = "case_03"
AIR_HU = -450.0
"""Parts air from tissue."""
CONSOLIDATED_PART = 0.10
"""A slice counts as consolidated where more than this part of its lung is."""


@dataclass(frozen=True)
class LungImages:
    """Consecutive planes of one patient and where the lungs are in them.

    Attributes:
        image: `(plane, row, col)`, HU (int16) or 8-bit values (uint8).
        lung: bool, same shape.
        spacing_mm: `(plane, row, col)`; a plausible one where the source states none.
    """

    image: np.ndarray
    lung: np.ndarray
    spacing_mm: tuple[float, float, float]


class Normalisation(Protocol):
    """How intensities become [0, 1], in training and in use: a row of Fig. 3."""

    def windows(self, image: np.ndarray) -> MultiWindow:
        """The windows that vote when `image`, HU or uint8, is segmented."""
        ...

    def draw_window(self, image: np.ndarray, rng: np.random.Generator) -> SlidingWindow:
        """The window of one training sample."""
        ...


class SlidingNormalisation:
    """The paper's: sliding windows that vote; training varies their width."""

    def windows(self, image: np.ndarray) -> MultiWindow:
        windows = SHIPPED.lungs.windows
        return windows.for_range_of(image) if image.dtype == np.uint8 else windows

    def draw_window(self, image: np.ndarray, rng: np.random.Generator) -> SlidingWindow:
        if image.dtype == np.uint8:
            return SlidingWindow.for_range(image, float(rng.uniform(0.6, 1.0)), 0.01)
        width, step = rng.choice(sorted((window.width, window.step) for window in SHIPPED.lungs.windows.windows))
        return SlidingWindow(round(float(width * rng.uniform(0.85, 1.2)), 0), float(step))


@dataclass(frozen=True)
class FixedNormalisation:
    """One window for every image.

    Attributes:
        ends_hu: lower and upper end for images in HU.
        ends_8_bit: the same for 8-bit images; None for each image's own minimum and maximum.
    """

    ends_hu: tuple[float, float]
    ends_8_bit: tuple[float, float] | None

    def windows(self, image: np.ndarray) -> MultiWindow:
        return MultiWindow((self._window(image),))

    def draw_window(self, image: np.ndarray, rng: np.random.Generator) -> SlidingWindow:
        return self._window(image)

    def _window(self, image: np.ndarray) -> FixedWindow:
        low, high = self.ends_hu
        if image.dtype == np.uint8:
            low, high = self.ends_8_bit or (float(image.min()), max(float(image.max()), float(image.min()) + 1.0))
        return FixedWindow(high - low, high - low, low)


NORMALISATIONS: dict[str, Normalisation] = {
    "none": FixedNormalisation((-1024.0, 3071.0), None),  # all that 12 bits hold
    "fixed": FixedNormalisation((-1350.0, 150.0), (0.0, 255.0)),  # the usual lung window: level -600, width 1500
    "sliding": SlidingNormalisation(),
}
"""The rows of Fig. 3 by the name that the command line knows."""


def air_limit(image: np.ndarray) -> float:
    """The value that parts air from tissue: AIR_HU, or Otsu's threshold of an 8-bit image."""
    return float(threshold_otsu(image)) if image.dtype == np.uint8 else AIR_HU


def threshold_lungs(hu: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """Lungs of a chest with aerated lungs: air inside the body, less the airways, vessels filled in.

    Args:
        hu: int16 `(slice, row, col)`, apex first.
        spacing_mm: `(slice, row, col)`.

    Returns:
        bool mask. Where lungs are consolidated it is wrong, by design: this is the method the network must beat.
    """
    air = hu < AIR_HU
    in_body = np.empty_like(air)
    for index, plane in enumerate(air):
        outside = morphology.flood_fill(np.pad(plane, 1, constant_values=True).astype(np.uint8), (0, 0), 2) == 2
        in_body[index] = plane & ~outside[1:-1, 1:-1]
    pixel_mm2 = spacing_mm[1] * spacing_mm[2]
    airway = _trace_airway(in_body, pixel_mm2)
    lungs = in_body & ~ndimage.binary_dilation(airway, iterations=1)
    lungs = ndimage.binary_opening(lungs, iterations=1)
    labels, count = ndimage.label(lungs)
    if not count:
        return np.zeros_like(air)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest = int(sizes.argmax())
    middle = int(np.median(np.nonzero(labels == largest)[0]))
    # Bowel gas can be as large as a lung but never reaches the height of its middle.
    keep = [label for label in np.nonzero(sizes > 0.1 * sizes[largest])[0] if (labels[: middle + 1] == label).any()]
    lungs = np.isin(labels, keep)
    disk = morphology.disk(max(round(5.0 / spacing_mm[1]), 1))
    for index, plane in enumerate(lungs):
        closed = ndimage.binary_closing(np.pad(plane, disk.shape[0]), disk)
        edge = disk.shape[0]
        lungs[index] = ndimage.binary_fill_holes(closed)[edge:-edge, edge:-edge] & ~airway[index]
    return lungs


def threshold_images(item: LungImages) -> np.ndarray:
    """Lungs by plain thresholding, bool; 8-bit values are shifted so that Otsu's threshold falls on AIR_HU."""
    image = item.image
    hu = image if image.dtype != np.uint8 else np.rint(image - air_limit(image) + AIR_HU).astype(np.int16)
    if len(hu) > 1:
        return threshold_lungs(hu, item.spacing_mm)
    return threshold_lungs(np.repeat(hu, 3, axis=0), item.spacing_mm)[1:2]  # the airway is followed from plane to plane


def _trace_airway(air: np.ndarray, pixel_mm2: float) -> np.ndarray:
    """Follow the trachea from the apex down to where the main bronchi enter the lungs."""
    airway = np.zeros_like(air)
    centre = np.array(air.shape[1:]) / 2
    followed: np.ndarray | None = None
    for index in range(int(0.75 * len(air))):
        labels = measure.label(air[index])
        found = np.zeros_like(air[index])
        for region in measure.regionprops(labels):
            area_mm2 = region.area * pixel_mm2
            if area_mm2 > 900.0:
                continue
            if followed is None:
                offset_mm = np.abs(np.array(region.centroid) - centre) * np.sqrt(pixel_mm2)
                if area_mm2 > 60.0 and offset_mm[1] < 30.0 and offset_mm[0] < 80.0 and region.eccentricity < 0.85:
                    found |= labels == region.label
            elif (followed & (labels == region.label)).any():
                found |= labels == region.label
        if found.any():
            airway[index] = found
            followed = ndimage.binary_dilation(found, iterations=2)
        elif followed is not None and index > len(air) // 3:
            break
    return airway


def consolidated_planes(item: LungImages, lesion: np.ndarray) -> np.ndarray:
    """Planes on which lesion as bright as tissue takes more than CONSOLIDATED_PART of the lung; bool."""
    dense = (lesion & item.lung & (item.image > air_limit(item.image))).sum(axis=(1, 2))
    return dense > CONSOLIDATED_PART * np.maximum(item.lung.sum(axis=(1, 2)), 1)


def resample(array: np.ndarray, spacing_mm: tuple[float, float, float], order: int) -> np.ndarray:
    """Resample `(slice, row, col)` to cubes of GRID_MM."""
    factors = [step / GRID_MM for step in spacing_mm]
    return ndimage.zoom(array, factors, order=order, grid_mode=True, mode="nearest")


def segment_planes(network: LungUNet, image: np.ndarray, windows: MultiWindow) -> np.ndarray:
    """Lungs on axial planes that make no volume, bool `(plane, row, col)`, no post-processing."""
    planes = torch.from_numpy(np.ascontiguousarray(image)).float()[:, None]
    small = torch.nn.functional.interpolate(planes, size=(PLANE_SIZE, PLANE_SIZE), mode="area")[:, 0].numpy()
    probability = torch.from_numpy(predict_planes(network, small, windows))[:, None]
    full = torch.nn.functional.interpolate(probability, size=image.shape[1:], mode="bilinear")[:, 0]
    return full.numpy() > 0.5


def load_sources(data: Path) -> tuple[dict[str, list[LungImages]], dict[str, list[LungImages]]]:
    """All patients by source, `(training, held out)`.

    Raises:
        FileNotFoundError: a part of the data folder is missing.
    """
    spacing_2d = (5.0, 1.4, 1.4)
    with np.load(data / "lung_slices.npz") as stored:
        singles = [
            LungImages(np.repeat(hu[None], 3, 0), np.repeat(lung[None], 3, 0), spacing_2d)
            for hu, lung in zip(stored["hu"], stored["lung"], strict=True)
        ]
    held_out = {"lung_slices": singles[HELD_OUT_SLICES], "lesion_masks": []}
    held_numbers = set(range(len(singles))[HELD_OUT_SLICES])
    train = {
        "lung_slices": [item for number, item in enumerate(singles) if number not in held_numbers],
        "lesion_masks": [],
        "volumes": [],
    }
    for path in sorted((data / "lesion_masks").glob("*.npz")):
        with np.load(path) as stored:
            item = LungImages(stored["image"], stored["lung"], spacing_2d)
        (held_out if path.stem == HELD_OUT_CASE else train)["lesion_masks"].append(item)
    for name in ("normal001", "normal002"):
        with np.load(data / "volumes" / f"{name}.npz") as stored:
            hu = stored["hu"]
            first, second, third = (float(step) for step in stored["spacing_mm"])
        spacing_mm = first, second, third
        lungs = threshold_lungs(hu, spacing_mm)
        cubes = resample(hu, spacing_mm, 1)
        lung_cubes = resample(lungs.astype(np.float32), spacing_mm, 1) > 0.5
        for axes in ((0, 1, 2), (1, 0, 2), (2, 0, 1)):
            planes = LungImages(cubes.transpose(axes), lung_cubes.transpose(axes), (GRID_MM, GRID_MM, GRID_MM))
            train["volumes"].append(planes)
    return train, held_out


def _pad_to_square(planes: np.ndarray, value: float) -> np.ndarray:
    size = max(planes.shape[1:])
    margins = [(0, 0)] + [((size - length) // 2, size - length - (size - length) // 2) for length in planes.shape[1:]]
    return np.pad(planes, margins, constant_values=value)


def paint_consolidation(
    hu: np.ndarray, lung: np.ndarray, spacing_mm: tuple[float, float, float], rng: np.random.Generator
) -> np.ndarray:
    """Paint one large consolidation, up to most of a lung, wherever there is lung; returns where, bool."""
    places = np.argwhere(lung)
    if not len(places):
        return np.zeros_like(lung)
    centre = places[rng.integers(len(places))] * np.asarray(spacing_mm)
    radii = rng.uniform(15.0, 70.0) * rng.uniform(0.6, 1.4, 3)
    return paint_lesion(hu, lung, spacing_mm, Lesion(tuple(centre), tuple(radii), "consolidation"), rng)


def lung_samples(
    sources: dict[str, list[LungImages]], neighbours: int, normalisation: Normalisation, seed: int
) -> Draw:
    """The samples of a run: number n of an iteration is the same whenever and wherever it is drawn."""

    def draw(iteration: int, n: int) -> tuple[np.ndarray, np.ndarray]:
        return draw_sample(sources, neighbours, normalisation, np.random.default_rng((seed, iteration, n)))

    return draw


def draw_sample(
    sources: dict[str, list[LungImages]], neighbours: int, normalisation: Normalisation, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One augmented training sample.

    Returns:
        Planes, float32 `(neighbours, row, col)` in [0, 1], and the centre plane's lungs, float32 `(row, col)`, 0 or 1.
    """
    weights = {"lung_slices": 0.4, "lesion_masks": 0.2, "volumes": 0.4}
    name = str(rng.choice(list(weights), p=list(weights.values())))
    item = sources[name][rng.integers(len(sources[name]))]
    half = neighbours // 2
    centre = 1 if name == "lung_slices" else int(rng.integers(len(item.image)))
    picks = np.clip(np.arange(centre - half, centre + half + 1), 0, len(item.image) - 1)
    image, lung = item.image[picks].copy(), item.lung[picks].copy()
    if image.dtype != np.uint8:
        fate = rng.random()
        if fate < 0.35:
            paint_consolidation(image, lung, item.spacing_mm, rng)
        elif fate < 0.6:
            paint_pattern(image, lung, item.spacing_mm, "cap" if rng.random() < 0.5 else "covid19", rng)
    planes = _pad_to_square(normalisation.draw_window(image, rng).normalise(image), 0.0)
    mask = _pad_to_square(lung[half][None].astype(np.float32), 0.0)
    warped = _warp(np.concatenate([planes, mask]), rng)
    planes, mask = warped[:-1], (warped[-1] > 0.5).astype(np.float32)
    planes = np.clip(planes, 0, 1) ** np.float32(rng.uniform(0.75, 1.35))
    planes = planes * np.float32(rng.uniform(0.8, 1.2)) + np.float32(rng.uniform(-0.08, 0.08))
    if rng.random() < 0.5:
        planes = planes + rng.standard_normal(planes.shape, dtype=np.float32) * np.float32(rng.uniform(0.0, 0.06))
    if rng.random() < 0.2:
        planes = ndimage.gaussian_filter(planes, (0, *rng.uniform(0.3, 1.2, 2)))
    return np.clip(planes, 0, 1).astype(np.float32), mask


def _warp(planes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rotation, zoom, stretch, mirror and shift, the same for all planes, resampled to PLANE_SIZE."""
    matrix = turn(rng.uniform(-20.0, 20.0), rng.uniform(0.75, 1.25))
    matrix *= rng.uniform(0.88, 1.12, 2)[:, None]
    if rng.random() < 0.5:
        matrix[0] *= -1
    if rng.random() < 0.15:
        matrix[1] *= -1
    return warp(planes, matrix, rng.uniform(-0.15, 0.15, (2, 1)), PLANE_SIZE)


@dataclass(frozen=True)
class ScoredSet:
    """Patients with known lungs, none of them trained on.

    Attributes:
        note: what it is and what was assumed, a sentence for the captions.
        patients: planes from the apex downwards; one plane where there is no volume.
        consolidated: for each patient, which planes are consolidated, bool.
    """

    note: str
    patients: tuple[LungImages, ...]
    consolidated: tuple[np.ndarray, ...]

    @property
    def is_volumes(self) -> bool:
        return all(len(item.image) > 1 for item in self.patients)


def paint_held_out(items: Sequence[LungImages], seed: int = 0, attempts: int = 30) -> ScoredSet:
    """Single slices with a consolidation painted in; those into which none of the size fits are left out."""
    painted_items = []
    for number, item in enumerate(items):
        rng = np.random.default_rng((seed, number))
        for _ in range(attempts):
            image = item.image.copy()
            painted = LungImages(image, item.lung, item.spacing_mm)
            where = paint_consolidation(image, item.lung, item.spacing_mm, rng)
            if consolidated_planes(painted, where).all():
                painted_items.append(painted)
                break
    note = "the same slices, each with a consolidation painted into the lungs by the painter that training uses too"
    return ScoredSet(note, tuple(painted_items), tuple(np.ones(1, dtype=bool) for _ in painted_items))
