"""Synthetic lesions painted into lungs: the phantom's known truth, and disease with an image-level label for training.

The patterns follow what the paper says of the two diseases (II-E: COVID-19 is often bilateral, peripheral, ground glass
first) and the usual picture of bacterial pneumonia (one lobe consolidated, or nodules around small airways). They are
prior knowledge, not data: what they bring is measured on real patients.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from groundglass.domain.arrays import Floats, HounsfieldUnits, Indices, Mask

Kind = Literal["ground_glass", "consolidation", "crazy_paving", "nodule"]
Pattern = Literal["cap", "covid19"]

_TARGET_HU: dict[Kind, tuple[float, float]] = {
    "ground_glass": (-700.0, -400.0),
    "crazy_paving": (-650.0, -400.0),
    "consolidation": (-150.0, 60.0),
    "nodule": (-450.0, -50.0),
}


@dataclass(frozen=True)
class Lesion:
    """An ellipsoid with an irregular border.

    Attributes:
        centre_mm: distance of the centre from voxel (0, 0, 0) along `(slice, row, col)`.
        radii_mm: half axes along `(slice, row, col)`.
        kind: what fills it.
    """

    centre_mm: tuple[float, float, float]
    radii_mm: tuple[float, float, float]
    kind: Kind


def _smooth_noise(
    shape: Sequence[int], scale_mm: float, spacing_mm: Sequence[float], rng: np.random.Generator
) -> Floats:
    """Gaussian noise of unit deviation whose detail is about `scale_mm` wide."""
    sigma = [scale_mm / step if size > 1 else 0.0 for step, size in zip(spacing_mm, shape, strict=True)]
    noise = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sigma, mode="wrap")
    even: Floats = noise / max(float(noise.std()), 1e-6)
    return even


def paint_lesion(
    hu: HounsfieldUnits, inside: Mask, spacing_mm: Sequence[float], lesion: Lesion, rng: np.random.Generator
) -> Mask:
    """Paint one lesion into `hu`, in place.

    A voxel never becomes darker: vessels stay visible in ground glass, as they do in a patient.

    Args:
        hu: int16 `(slice, row, col)` in HU; one slice is enough.
        inside: bool, where the lesion may be: the lungs.
        spacing_mm: `(slice, row, col)`.
        lesion: place, size and kind.
        rng: decides border, density and texture.

    Returns:
        bool mask of the voxels painted by at least half.
    """
    painted = np.zeros(hu.shape, dtype=bool)
    reach = 1.6  # the irregular border lies within this multiple of the radii
    window = []
    for centre, radius, step, size in zip(lesion.centre_mm, lesion.radii_mm, spacing_mm, hu.shape, strict=True):
        first = max(int((centre - reach * radius) / step), 0)
        last = min(int((centre + reach * radius) / step) + 2, size)
        if first >= last:
            return painted
        window.append(slice(first, last))
    box = tuple(window)
    offsets = np.ogrid[box]
    distance = np.sqrt(
        sum(
            ((index * step - centre) / radius) ** 2
            for index, step, centre, radius in zip(offsets, spacing_mm, lesion.centre_mm, lesion.radii_mm, strict=True)
        )
    )
    smallest_mm = min(lesion.radii_mm)
    shape = distance.shape
    border = distance + 0.22 * _smooth_noise(shape, smallest_mm / 2.5, spacing_mm, rng)
    softness = rng.uniform(0.15, 0.5) if lesion.kind in ("ground_glass", "crazy_paving") else rng.uniform(0.05, 0.2)
    cover = np.clip((1.0 - border) / softness + 0.5, 0.0, 1.0) * inside[box]

    low, high = _TARGET_HU[lesion.kind]
    target = rng.uniform(low, high) + 55.0 * _smooth_noise(shape, rng.uniform(1.5, 4.0), spacing_mm, rng)
    target += 25.0 * rng.standard_normal(shape, dtype=np.float32)
    if lesion.kind == "crazy_paving":
        # Thickened septa: the zero crossings of a smooth field form a net of thin lines.
        net = np.abs(_smooth_noise(shape, 3.0, spacing_mm, rng)) < 0.18
        target = target + 220.0 * net
    old = hu[box].astype(np.float32)
    hu[box] = np.rint(old + cover * np.maximum(target - old, 0.0)).astype(hu.dtype)
    painted[box] = cover >= 0.5
    return painted


@dataclass(frozen=True)
class _Side:
    """The lung on one side of the patient, and where lesions may lie in it.

    Attributes:
        lung: bool `(slice, row, col)`.
        depth_mm: distance from the pleura within the slice, same shape.
        spacing_mm: `(slice, row, col)`.
        rng: random source.
    """

    lung: Mask
    depth_mm: Floats
    spacing_mm: Floats
    rng: np.random.Generator

    @property
    def deepest_mm(self) -> float:
        """The place farthest from the pleura."""
        return float(self.depth_mm.max())

    def pick(self, near_pleura: bool) -> Indices:
        """Index of a voxel of the lung: near the pleura, or half way from there to the deepest place."""
        depths, limit = self.depth_mm[self.lung], self.deepest_mm
        weight = np.exp(-depths / 10.0) if near_pleura else np.exp(-((depths - 0.5 * limit) ** 2) / (0.3 * limit) ** 2)
        chosen = self.rng.choice(len(depths), p=weight / weight.sum())
        index: Indices = np.argwhere(self.lung)[chosen]
        return index

    def rounded(self, index: Indices | Floats, radius_mm: float, kind: Kind) -> Lesion:
        """A lesion about as long as wide."""
        radii = radius_mm * self.rng.uniform(0.6, 1.5, 3)
        return Lesion(tuple(index * self.spacing_mm), tuple(radii), kind)

    def nodules(self) -> list[Lesion]:
        """A cluster of nodules around small airways."""
        index = self.pick(near_pleura=False)
        lesions = []
        for _ in range(int(self.rng.integers(6, 20))):
            shift_mm = self.rng.normal(0.0, 12.0, 3) * (np.asarray(self.lung.shape) > 1)
            place = index + shift_mm / self.spacing_mm
            lesions.append(self.rounded(place, float(self.rng.uniform(1.8, 4.5)), "nodule"))
        return lesions


def _sides(lungs: Mask, spacing_mm: Sequence[float], rng: np.random.Generator) -> list[_Side]:
    """Both sides in random order, without one that shows next to no lung."""
    if not lungs.any():
        return []
    middle = int(np.nonzero(lungs.any(axis=(0, 1)))[0].mean())
    sides = []
    for half in (slice(None, middle), slice(middle, None)):
        lung = np.zeros_like(lungs)
        lung[..., half] = lungs[..., half]
        if lung.sum() > 50:
            depth = np.stack([ndimage.distance_transform_edt(plane, sampling=spacing_mm[1:]) for plane in lung])
            sides.append(_Side(lung, depth, np.asarray(spacing_mm), rng))
    rng.shuffle(sides)
    return sides


def _lesions_of_covid19(sides: list[_Side], rng: np.random.Generator) -> list[Lesion]:
    affected = sides if rng.random() < 0.85 else sides[:1]
    kinds: tuple[Kind, ...] = ("ground_glass", "crazy_paving", "consolidation")
    lesions = []
    for number in range(int(rng.integers(1, 7))):
        side, kind = affected[number % len(affected)], kinds[rng.choice(3, p=[0.66, 0.2, 0.14])]
        index = side.pick(near_pleura=rng.random() < 0.85)
        lesions.append(side.rounded(index, float(rng.uniform(5.0, max(9.0, 0.9 * side.deepest_mm))), kind))
    return lesions


def _lesions_of_cap(sides: list[_Side], rng: np.random.Generator) -> list[Lesion]:
    affected = sides[:1] if rng.random() < 0.75 else sides
    form = rng.random()
    lesions: list[Lesion] = []
    for side in affected:
        if form < 0.6:
            index = side.pick(near_pleura=rng.random() < 0.5)
            radius = float(rng.uniform(0.4, 1.3) * side.deepest_mm)
            lesions.append(side.rounded(index, 1.35 * radius, "ground_glass"))
            lesions.append(side.rounded(index, radius, "consolidation"))
        if form > 0.45:
            for _ in range(int(rng.integers(1, 4))):
                lesions += side.nodules()
    return lesions


def sample_lesions(
    pattern: Pattern, lungs: Mask, spacing_mm: Sequence[float], rng: np.random.Generator
) -> list[Lesion]:
    """Draw the lesions of one disease for one or more slices.

    Args:
        pattern: `covid19`: one to six rounded lesions, mostly both sides, near the pleura, mostly ground glass.
            `cap`: mostly one side; a segment or lobe consolidated with a ground-glass rim, or clusters of nodules.
        lungs: bool `(slice, row, col)`, columns from one side of the patient to the other.
        spacing_mm: `(slice, row, col)`.
        rng: random source.

    Returns:
        Lesions centred inside the lungs; an empty list where there is no lung.
    """
    sides = _sides(lungs, spacing_mm, rng)
    if not sides:
        return []
    return _lesions_of_covid19(sides, rng) if pattern == "covid19" else _lesions_of_cap(sides, rng)


def paint_pattern(
    hu: HounsfieldUnits, lungs: Mask, spacing_mm: Sequence[float], pattern: Pattern, rng: np.random.Generator
) -> Mask:
    """Paint one disease into `hu`, in place; returns the bool mask of all painted voxels."""
    painted = np.zeros(hu.shape, dtype=bool)
    for lesion in sample_lesions(pattern, lungs, spacing_mm, rng):
        painted |= paint_lesion(hu, lungs, spacing_mm, lesion, rng)
    return painted
