"""Patients for the lung network, to train on and held out, with the lungs marked.

Three sources with lungs marked on every image: `lung_slices` (single slices in HU), the lungs of `lesion_masks` (four
patients with COVID-19, 8-bit; their lesion masks are never read here), and the volumes of the two patients without
pneumonia, whose lungs a threshold finds rightly. Consolidations painted into all of them keep the masks right where a
threshold would fail. Patients held out for validation never train.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from groundglass.presets import SHIPPED
from training.data.thresholding import AIR_HU, air_limit, threshold_lungs

PLANE_SIZE = 192
"""Pixels of a training plane; with `GRID_MM` about the whole chest."""
GRID_MM = SHIPPED.lungs.grid_mm
"""Pixel size at which volumes are segmented."""
HELD_OUT_SLICES = slice(0, None, 5)
"""Every fifth of the 197 single-slice patients is held out."""
HELD_OUT_CASE = "case_03"
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


def threshold_images(item: LungImages) -> np.ndarray:
    """Lungs by plain thresholding, bool; 8-bit values are shifted so that Otsu's threshold falls on AIR_HU."""
    image = item.image
    hu = image if image.dtype != np.uint8 else np.rint(image - air_limit(image) + AIR_HU).astype(np.int16)
    if len(hu) > 1:
        return threshold_lungs(hu, item.spacing_mm)
    return threshold_lungs(np.repeat(hu, 3, axis=0), item.spacing_mm)[1:2]  # the airway is followed from plane to plane


def consolidated_planes(item: LungImages, lesion: np.ndarray) -> np.ndarray:
    """Planes on which lesion as bright as tissue takes more than CONSOLIDATED_PART of the lung; bool."""
    dense = (lesion & item.lung & (item.image > air_limit(item.image))).sum(axis=(1, 2))
    return dense > CONSOLIDATED_PART * np.maximum(item.lung.sum(axis=(1, 2)), 1)


def resample(array: np.ndarray, spacing_mm: tuple[float, float, float], order: int) -> np.ndarray:
    """Resample `(slice, row, col)` to cubes of GRID_MM."""
    factors = [step / GRID_MM for step in spacing_mm]
    return ndimage.zoom(array, factors, order=order, grid_mode=True, mode="nearest")


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
