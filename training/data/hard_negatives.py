"""What looks like pneumonia and is none, painted into healthy slices: the class stays NP.

Dependent density, emphysema, a mass and a breath during the scan are common, and few healthy slices of the public data
show them. Each is prior knowledge, like the painted diseases; what it brings is measured on real patients.
"""

import numpy as np
from scipy import ndimage

from groundglass.phantom.painted_lesions import Lesion, paint_lesion

SLICE_MM = 5.0
"""Thickness that a single slice is painted with."""


def add_dependent_density(hu: np.ndarray, lung: np.ndarray, rng: np.random.Generator) -> None:
    """The haze at the back of the lungs of anyone who lies down.

    Args:
        hu: int16 `(1, row, col)` in HU, changed in place.
        lung: bool, same shape.
        rng: random source.
    """
    rows = np.nonzero(lung.any(axis=(0, 2)))[0]
    if not len(rows):
        return
    depth = (np.arange(lung.shape[1]) - rows[0]) / max(rows[-1] - rows[0], 1)
    band = np.clip((depth - rng.uniform(0.6, 0.9)) / 0.15, 0, 1)[None, :, None] * rng.uniform(30.0, 160.0)
    hu[:] = np.rint(hu + band * lung * (hu < -500)).astype(np.int16)


def add_emphysema(hu: np.ndarray, lung: np.ndarray, pixel_mm: float, rng: np.random.Generator) -> None:
    """Holes of air in the lung, a few millimetres to centimetres wide, with lung of usual density between them.

    Args:
        hu: int16 `(1, row, col)` in HU, changed in place.
        lung: bool, same shape.
        pixel_mm: pixel size.
        rng: random source.
    """
    noise = ndimage.gaussian_filter(
        rng.standard_normal(hu.shape[1:], dtype=np.float32), rng.uniform(1.5, 5.0) / pixel_mm
    )
    noise /= max(float(noise.std()), 1e-6)
    hole = np.clip((noise - rng.uniform(0.2, 1.2)) / 0.3, 0, 1)[None] * lung * (hu < -700)
    target = rng.uniform(-1000.0, -950.0)
    hu[:] = np.rint(hu + hole * np.minimum(target - hu, 0.0)).astype(np.int16)


def add_mass(hu: np.ndarray, lung: np.ndarray, pixel_mm: float, rng: np.random.Generator) -> None:
    """One or two dense, sharply bordered nodules or masses, without a ground-glass rim.

    Args:
        hu: int16 `(1, row, col)` in HU, changed in place.
        lung: bool, same shape.
        pixel_mm: pixel size.
        rng: random source.
    """
    places = np.argwhere(lung)
    if not len(places):
        return
    spacing_mm = (SLICE_MM, pixel_mm, pixel_mm)
    for _ in range(int(rng.integers(1, 3))):
        centre = tuple(places[rng.integers(len(places))] * spacing_mm)
        radius_mm = float(rng.uniform(3.0, 18.0))
        radii = (radius_mm, *(radius_mm * rng.uniform(0.8, 1.25, 2)))
        paint_lesion(hu, lung, spacing_mm, Lesion(centre, radii, "mass"), rng)


def add_motion(hu: np.ndarray, pixel_mm: float, rng: np.random.Generator) -> None:
    """A breath during the scan: the slice and itself a few millimetres away, one over the other.

    Args:
        hu: int16 `(1, row, col)` in HU, changed in place.
        pixel_mm: pixel size.
        rng: random source.
    """
    shift = rng.normal(0.0, 2.5, 2) / pixel_mm
    moved = ndimage.shift(hu[0].astype(np.float32), shift, order=1, mode="nearest")
    hu[0] = np.rint((hu[0] + moved) / 2).astype(np.int16)


def add_what_is_no_pneumonia(hu: np.ndarray, lung: np.ndarray, pixel_mm: float, rng: np.random.Generator) -> None:
    """One or more of the four, in place; arguments as of `add_mass`."""
    kinds = rng.random(3) < (0.35, 0.45, 0.3)
    if kinds[0]:
        add_emphysema(hu, lung, pixel_mm, rng)
    if kinds[1]:
        add_mass(hu, lung, pixel_mm, rng)
    if kinds[2]:
        add_motion(hu, pixel_mm, rng)
    if not kinds.any():
        add_dependent_density(hu, lung, rng)
