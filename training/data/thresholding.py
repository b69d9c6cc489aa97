"""Lungs by thresholds: the truth where lungs are aerated, and what the network must beat where they are not."""

import numpy as np
from scipy import ndimage
from skimage import measure, morphology
from skimage.filters import threshold_otsu

AIR_HU = -450.0
"""Parts air from tissue."""


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
