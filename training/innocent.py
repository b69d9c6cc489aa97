"""Findings that must not count as pneumonia: dependent density, plate atelectasis, single nodules, breathing blur.

They are painted into slices of every class alike, so that the network learns to look past them.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from validation.lesions import Lesion, paint_lesion


def add_innocent_findings(hu: np.ndarray, lung: np.ndarray, pixel_mm: float, rng: np.random.Generator) -> None:
    """Change one slice in place, or leave it as it is.

    Args:
        hu: int16 `(row, col)` in HU.
        lung: bool, same shape.
        pixel_mm: pixel size.
        rng: random source.
    """
    if not lung.any():
        return
    if rng.random() < 0.4:
        _dependent_density(hu, lung, rng)
    if rng.random() < 0.15:
        _plate_atelectasis(hu, lung, pixel_mm, rng)
    if rng.random() < 0.12:
        _nodule(hu, lung, pixel_mm, rng)
    if rng.random() < 0.1:
        _breathing_blur(hu, pixel_mm, rng)


def _dependent_density(hu: np.ndarray, lung: np.ndarray, rng: np.random.Generator) -> None:
    """The haze at the back of the lungs of anyone who lies down, on either side of the table."""
    rows = np.nonzero(lung.any(axis=1))[0]
    depth = (np.arange(lung.shape[0]) - rows[0]) / max(rows[-1] - rows[0], 1)
    if rng.random() < 0.1:
        depth = 1 - depth
    band = np.clip((depth - rng.uniform(0.6, 0.9)) / 0.15, 0, 1)[:, None] * rng.uniform(30.0, 160.0)
    hu[:] = np.rint(hu + band * lung * (hu < -500)).astype(hu.dtype)


def _plate_atelectasis(hu: np.ndarray, lung: np.ndarray, pixel_mm: float, rng: np.random.Generator) -> None:
    """A thin straight band of collapsed lung."""
    centre = _somewhere(lung, rng)
    angle = rng.uniform(0.0, np.pi)
    rows, columns = np.indices(hu.shape)
    along = ((rows - centre[0]) * np.sin(angle) + (columns - centre[1]) * np.cos(angle)) * pixel_mm
    across = ((rows - centre[0]) * np.cos(angle) - (columns - centre[1]) * np.sin(angle)) * pixel_mm
    band = np.clip(1.5 - np.abs(across) / rng.uniform(0.8, 1.8), 0, 1) * (np.abs(along) < rng.uniform(8.0, 30.0))
    part = ndimage.gaussian_filter(band * rng.uniform(0.4, 0.9), 0.5) * lung
    hu[:] = np.rint(hu + part * np.maximum(0.0 - hu, 0.0)).astype(hu.dtype)


def _nodule(hu: np.ndarray, lung: np.ndarray, pixel_mm: float, rng: np.random.Generator) -> None:
    """One round solid nodule: a granuloma or a tumour, not an infection."""
    row, column = _somewhere(lung, rng)
    centre_mm = (0.0, float(row) * pixel_mm, float(column) * pixel_mm)
    radius = float(rng.uniform(2.0, 9.0))
    spacing_mm = (1.0, pixel_mm, pixel_mm)
    paint_lesion(hu[None], lung[None], spacing_mm, Lesion(centre_mm, (radius, radius, radius), "nodule"), rng)


def _breathing_blur(hu: np.ndarray, pixel_mm: float, rng: np.random.Generator) -> None:
    """Vessels seen twice, a few millimetres apart."""
    shift = rng.normal(0.0, 2.0 / pixel_mm, 2)
    moved = ndimage.shift(hu.astype(np.float32), shift, order=1, mode="nearest")
    hu[:] = np.rint((hu + moved) / 2).astype(hu.dtype)


def _somewhere(lung: np.ndarray, rng: np.random.Generator) -> Sequence[int]:
    inside = np.argwhere(lung)
    return inside[rng.integers(len(inside))]
