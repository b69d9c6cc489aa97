"""The phantom: a synthetic chest CT whose lungs and lesions are known voxel by voxel."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

from groundglass.domain.arrays import Floats, HounsfieldUnits, LabelMap, Mask
from groundglass.domain.volume import BACKGROUND, CANONICAL_AXES, LEFT_LUNG, RIGHT_LUNG, CTVolume
from groundglass.phantom.anatomy import CAVITY_CENTRE_Y, CAVITY_X, CAVITY_Y, FIELD_OF_VIEW_MM, SCAN_LENGTH_MM, Chest
from groundglass.phantom.painted_lesions import Kind, Lesion, paint_lesion
from groundglass.phantom.tissues import AIR, BLOOD, LUMEN, SectionPainter
from groundglass.phantom.vessels import bronchial_wall, render

PRESETS = {"normal": "np", "cap": "cap", "covid19": "covid19"}
"""The study's class (groundglass.domain.class_names.CLASSES) by preset."""

MINIMUM_HU, MAXIMUM_HU = -1024, 3071
"""What 12 stored bits hold."""

_NOISE_HU = 16.0
_NOISE_DETAIL_MM = 0.55
_BLUR_MM = 0.45


@dataclass(frozen=True)
class Truth:
    """What is known of a phantom.

    Attributes:
        lungs: uint8 `(slice, row, col)`, RIGHT_LUNG and LEFT_LUNG; vessels and lesions inside, trachea and main bronchi
            outside.
        lesions: uint8 `(slice, row, col)`, the number of the lesion from 1, BACKGROUND elsewhere.
        label: the study's class, one of groundglass.domain.class_names.CLASSES.
        right_ml, left_ml: lung volumes.
        lesion_list: lesion number n is entry n - 1.
    """

    lungs: LabelMap
    lesions: LabelMap
    label: str
    right_ml: float
    left_ml: float
    lesion_list: tuple[Lesion, ...]


def make_thorax(
    preset: str,
    *,
    slices: int = 120,
    size: int = 512,
    seed: int = 0,
    spacing_mm: tuple[float, float, float] | None = None,
    on_slice: Callable[[], None] = lambda: None,
) -> tuple[CTVolume, Truth]:
    """Make a chest CT with known lungs and lesions.

    The patient lies on the back, head first; slices run from head to feet, rows from front to back, columns to the
    patient's left. One seed is one chest: presets differ in their lesions alone.

    Args:
        preset: `normal`, `cap` (one lower lobe consolidated) or `covid19` (ground glass near the pleura of both lungs).
        slices: number of slices.
        size: rows and columns.
        seed: chooses the patient and the noise.
        spacing_mm: `(slice, row, col)`; by default the volume covers 300 mm by 369 mm by 369 mm, the whole chest.
        on_slice: called after each slice is made.

    Raises:
        ValueError: an unknown preset, or sizes too small to hold a chest.
    """
    if preset not in PRESETS:
        raise ValueError(f"There is no preset {preset!r}: choose one of {', '.join(PRESETS)}.")
    if slices < 8 or size < 64 or seed < 0:
        raise ValueError("A phantom needs at least 8 slices of 64 pixels, and a seed of 0 or more.")
    spacing = spacing_mm or (SCAN_LENGTH_MM / slices, FIELD_OF_VIEW_MM / size, FIELD_OF_VIEW_MM / size)
    if min(spacing) <= 0:
        raise ValueError("The spacing must be more than 0 mm along every axis.")
    z_mm = SCAN_LENGTH_MM / 2 + (np.arange(slices) - (slices - 1) / 2) * spacing[0]
    rows_mm, cols_mm = ((np.arange(size) - (size - 1) / 2) * step for step in spacing[1:])

    chest = _chest(seed)
    vessels, lumen = _trees(chest, z_mm, rows_mm, cols_mm)
    hu = np.empty((slices, size, size), dtype=np.int16)
    lungs = np.full(hu.shape, BACKGROUND, dtype=np.uint8)
    lower_lobes = np.zeros(hu.shape, dtype=bool)

    def paint(index: int) -> None:
        section = chest.section(float(z_mm[index]), rows_mm, cols_mm)
        plane = SectionPainter(chest, section, rows_mm, cols_mm).paint()
        inside = section.lungs < 0
        for cover, value in ((vessels[index], BLOOD - 5.0), (lumen[index], LUMEN)):
            plane += (value - plane) * (cover * (inside / np.float32(255)))
        hu[index] = np.rint(ndimage.gaussian_filter(plane, [_BLUR_MM / step for step in spacing[1:]]))
        lungs[index] = np.where(inside, section.side, BACKGROUND)
        lower_lobes[index] = section.lower_lobes

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(paint, range(slices)):
            on_slice()

    rng = np.random.default_rng([seed, 2])
    lesion_list, regions = _choose_lesions(preset, lungs, lower_lobes, rng)
    first_mm = np.array([z_mm[0], rows_mm[0], cols_mm[0]])
    lesions = np.zeros(hu.shape, dtype=np.uint8)
    painted_lesions = []
    for number, (lesion, region) in enumerate(zip(lesion_list, regions, strict=True), start=1):
        centre = tuple(float(value) for value in np.array(lesion.centre_mm) - first_mm)
        moved = Lesion(centre, lesion.radii_mm, lesion.kind)  # type: ignore[arg-type]
        lesions[paint_lesion(hu, region, spacing, moved, rng)] = number
        painted_lesions.append(moved)
    _add_noise(hu, spacing, seed)

    origin = np.array([cols_mm[0], rows_mm[0], -z_mm[0]])
    volume = CTVolume(hu, spacing, origin, CANONICAL_AXES)
    right_ml, left_ml = (int((lungs == side).sum()) * volume.voxel_volume_ml for side in (RIGHT_LUNG, LEFT_LUNG))
    return volume, Truth(lungs, lesions, PRESETS[preset], right_ml, left_ml, tuple(painted_lesions))


@lru_cache(maxsize=2)
def _chest(seed: int) -> Chest:
    """Growing the trees takes seconds: the presets of one seed share their chest."""
    return Chest(seed)


def _trees(chest: Chest, z_mm: Floats, rows_mm: Floats, cols_mm: Floats) -> tuple[LabelMap, LabelMap]:
    """How far vessels and bronchial walls, and the lumen of the bronchi, fill each voxel: uint8, 255 entirely."""
    vessels, lumen = np.zeros((2, len(z_mm), len(rows_mm), len(cols_mm)), dtype=np.uint8)
    for tree in chest.trees.values():
        render(vessels, tree.vessels, z_mm, rows_mm, cols_mm)
        render(vessels, [bronchial_wall(piece) for piece in tree.bronchi], z_mm, rows_mm, cols_mm)
        render(lumen, tree.bronchi, z_mm, rows_mm, cols_mm)
    return vessels, lumen


def _choose_lesions(
    preset: str, lungs: LabelMap, lower_lobes: Mask, rng: np.random.Generator
) -> tuple[list[Lesion], list[Mask]]:
    """Lesions with their centre in mm of the patient (z, y, x), and where each may spread."""
    if preset == "covid19":
        inside = lungs > 0
        lesions = []
        for number in range(8):
            sign = -1.0 if number % 2 else 1.0
            z = 88.0 + 16.0 * number + rng.uniform(-6, 6)
            # Along the pleura from behind (0) to the side (0.5), mostly behind.
            around = np.pi * rng.uniform(0.16, 0.46)
            x = sign * 0.92 * CAVITY_X(z) * np.sin(around)
            y = CAVITY_CENTRE_Y(z) + 0.92 * CAVITY_Y(z) * np.cos(around)
            kind: Kind = "crazy_paving" if number % 4 == 3 else "ground_glass"
            radii = (rng.uniform(16, 27), rng.uniform(17, 27), rng.uniform(16, 24))
            lesions.append(Lesion((z, float(y), float(x)), radii, kind))
        return lesions, [inside] * len(lesions)
    if preset == "cap":
        side = int(rng.choice([RIGHT_LUNG, LEFT_LUNG]))
        sign = -1.0 if side == RIGHT_LUNG else 1.0
        lobe = (lungs == side) & lower_lobes
        centre = (190.0 + rng.uniform(-5, 5), 52.0 + rng.uniform(-4, 4), sign * (80.0 + rng.uniform(-4, 4)))
        core, rim = (42.0, 38.0, 36.0), (54.0, 50.0, 48.0)
        return [Lesion(centre, rim, "ground_glass"), Lesion(centre, core, "consolidation")], [lobe, lobe]
    return [], []


def _add_noise(hu: HounsfieldUnits, spacing_mm: tuple[float, float, float], seed: int) -> None:
    """Noise that is correlated in the plane, as the reconstruction leaves it; one stream a slice."""
    sigma = [_NOISE_DETAIL_MM / step for step in spacing_mm[1:]]
    for index, plane in enumerate(hu):
        rng = np.random.default_rng([seed, 3, index])
        noise = ndimage.gaussian_filter(rng.standard_normal(plane.shape, dtype=np.float32), sigma, mode="wrap")
        noise *= _NOISE_HU / float(noise.std())
        noise[plane <= AIR + 10] *= 0.5
        np.clip(np.rint(plane + noise), MINIMUM_HU, MAXIMUM_HU, out=noise)
        plane[...] = noise
