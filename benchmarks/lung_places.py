"""Where in a lung vessels and partial volume look like disease: at its root, and over a dome of the diaphragm."""

import numpy as np
from scipy import ndimage

ROOT_MM = 35.0
"""From the middle of the chest, between the lungs: so far the large vessels of a hilum reach."""
ROOT_PART = (0.25, 0.75)
"""Of the height and of the depth of the lungs, from apex and front: where their roots are."""
DOME_MM = 10.0
"""Below: a dome and what lies on it are so close."""
TISSUE_HU = -300.0
"""From here it is tissue: the dome of the liver or of the spleen, partial volume left aside."""


def near_root(lung: np.ndarray, pixel_mm: float) -> np.ndarray:
    """The part of the lungs next to the mediastinum, in the middle half of their depth; bool `(row, col)`.

    Args:
        lung: bool `(row, col)`, both lungs, a side each of the middle column.
        pixel_mm: side of a pixel.
    """
    rows, columns = np.nonzero(lung)
    if not len(rows):
        return np.zeros_like(lung)
    middle = round((columns.min() + columns.max()) / 2)
    between = np.zeros_like(lung)
    first, last = (rows.min() + part * np.ptp(rows) for part in ROOT_PART)
    for row in range(round(first), round(last) + 1):
        left, right = np.nonzero(lung[row, :middle])[0], np.nonzero(lung[row, middle:])[0]
        if len(left) and len(right):
            between[row, left[-1] + 1 : middle + right[0]] = True
    if not between.any():
        return np.zeros_like(lung)
    return np.asarray(lung & (ndimage.distance_transform_edt(~between) * pixel_mm <= ROOT_MM))


def roots_of_lungs(lungs: np.ndarray, pixel_mm: float) -> np.ndarray:
    """`near_root` in the middle half of the lungs' height, bool `(slice, row, col)`, apex first."""
    found = np.zeros(lungs.shape, dtype=bool)
    slices = np.nonzero(lungs.any(axis=(1, 2)))[0]
    if len(slices):
        first, last = (slices[0] + part * np.ptp(slices) for part in ROOT_PART)
        for index in range(round(first), round(last) + 1):
            found[index] = near_root(lungs[index] > 0, pixel_mm)
    return found


def over_dome(lungs: np.ndarray, hu: np.ndarray, slice_mm: float) -> np.ndarray:
    """The part of the lungs below which tissue begins within DOME_MM, bool `(slice, row, col)`.

    Args:
        lungs: labels or bool `(slice, row, col)`, apex first.
        hu: same shape.
        slice_mm: distance of the slices.
    """
    tissue = (lungs == 0) & (hu > TISSUE_HU)
    found = np.zeros(lungs.shape, dtype=bool)
    for step in range(1, max(round(DOME_MM / slice_mm), 1) + 1):
        found[:-step] |= tissue[step:]
    return np.asarray(found & (lungs > 0))
