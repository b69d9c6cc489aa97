"""Shapes for drawing anatomy: signed distances in millimetres, negative inside, and smooth random fields."""

from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np
from scipy.interpolate import PchipInterpolator

from groundglass.domain.arrays import Floats

Sphere = tuple[float, float, float, float]
"""x, y, z, radius in mm."""
Tube = tuple[Sphere, ...]
"""A polyline whose radius changes along the way."""


def profile(*knots: tuple[float, float]) -> Callable[[float], float]:
    """A smooth curve through (position, value) points, constant beyond them."""
    positions, values = np.array(knots, dtype=float).T
    curve = PchipInterpolator(positions, values)
    return lambda position: float(curve(np.clip(position, positions[0], positions[-1])))


def ellipse(
    x: Floats, y: Floats, centre: tuple[float, float], radii: tuple[float, float], power: float = 2.0
) -> Floats:
    """Distance to a (super)ellipse along the ray from its centre, in mm."""
    # The small offset keeps the ray defined at the centre itself.
    dx, dy = np.abs(x - centre[0]) + 1e-3, np.abs(y - centre[1]) + 1e-3
    if power == 2.0:
        relative = np.hypot(dx / radii[0], dy / radii[1])
    else:
        relative = ((dx / radii[0]) ** power + (dy / radii[1]) ** power) ** (1.0 / power)
    distance: Floats = np.hypot(dx, dy) * (1.0 - 1.0 / relative)
    return distance


def capsule(x: Floats, y: Floats, z: float | Floats, start: Sphere, end: Sphere) -> Floats:
    """Distance to the cone with rounded ends between two spheres, in mm."""
    ax, ay, az, radius = start
    dx, dy, dz = end[0] - ax, end[1] - ay, end[2] - az
    length_squared = max(dx * dx + dy * dy + dz * dz, 1e-6)
    along = np.clip(((x - ax) * dx + (y - ay) * dy + (z - az) * dz) / length_squared, 0.0, 1.0)
    square = (x - ax - along * dx) ** 2 + (y - ay - along * dy) ** 2 + (z - az - along * dz) ** 2
    distance: Floats = np.sqrt(square) - (radius + along * (end[3] - radius))
    return distance


def tubes(x: Floats, y: Floats, z: float, group: Iterable[Tube], reach_mm: float = 2.0) -> Floats | None:
    """Distance to the nearest of the tubes that come within `reach_mm` of the section `z`; None where none does."""
    nearest: Floats | None = None
    for tube in group:
        for start, end in pairwise(tube):
            reach = max(start[3], end[3]) + reach_mm
            if min(start[2], end[2]) - reach <= z <= max(start[2], end[2]) + reach:
                distance = capsule(x, y, z, start, end)
                nearest = distance if nearest is None else np.minimum(nearest, distance)
    return nearest


def union(a: Floats, b: Floats, blend_mm: float) -> Floats:
    """Union of two shapes with a rounded seam (polynomial smooth minimum)."""
    h = np.clip(0.5 + 0.5 * (b - a) / blend_mm, 0.0, 1.0)
    return b + (a - b) * h - blend_mm * h * (1.0 - h)


def common(a: Floats, b: Floats, blend_mm: float) -> Floats:
    """Intersection of two shapes with a rounded edge."""
    return -union(-a, -b, blend_mm)


class Noise:
    """A smooth random field over the scan, of about unit deviation, to be read at any section and pixel position."""

    def __init__(self, rng: np.random.Generator, detail_mm: float, length_mm: float, width_mm: float) -> None:
        self.detail_mm, self.width_mm = detail_mm, width_mm
        shape = [int(np.ceil(extent / detail_mm)) + 3 for extent in (length_mm, width_mm, width_mm)]
        # Linear interpolation between grid points takes a third of the deviation away.
        self.values = 1.5 * rng.standard_normal(shape, dtype=np.float32)

    def _weights(self, position_mm: Floats, size: int) -> Floats:
        place = np.clip(position_mm / self.detail_mm + 1.0, 0.0, size - 1.0)
        weights: Floats = np.maximum(1.0 - np.abs(place[:, None] - np.arange(size)), 0.0).astype(np.float32)
        return weights

    def plane(self, z: float, rows_mm: Floats, cols_mm: Floats) -> Floats:
        """The field on one section, shape `(row, col)`; rows and columns are measured from the middle of the field."""
        depth, height, width = self.values.shape
        plane = np.tensordot(self._weights(np.array([z]), depth)[0], self.values, axes=1)
        half = self.width_mm / 2
        return self._weights(rows_mm + half, height) @ plane @ self._weights(cols_mm + half, width).T
