"""Augmented samples for the lung network, with consolidations and pneumonia painted in."""

import numpy as np
from scipy import ndimage

from groundglass.phantom.painted_lesions import Lesion, paint_lesion, paint_pattern
from training.data.augmentation import turn, warp
from training.data.drawing import Draw
from training.data.lung_images import PLANE_SIZE, LungImages
from training.data.normalisation import Normalisation


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


def _pad_to_square(planes: np.ndarray, value: float) -> np.ndarray:
    size = max(planes.shape[1:])
    margins = [(0, 0)] + [((size - length) // 2, size - length - (size - length) // 2) for length in planes.shape[1:]]
    return np.pad(planes, margins, constant_values=value)


def _warp(planes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rotation, zoom, stretch, mirror and shift, the same for all planes, resampled to PLANE_SIZE."""
    matrix = turn(rng.uniform(-20.0, 20.0), rng.uniform(0.75, 1.25))
    matrix *= rng.uniform(0.88, 1.12, 2)[:, None]
    if rng.random() < 0.5:
        matrix[0] *= -1
    if rng.random() < 0.15:
        matrix[1] *= -1
    return warp(planes, matrix, rng.uniform(-0.15, 0.15, (2, 1)), PLANE_SIZE)
