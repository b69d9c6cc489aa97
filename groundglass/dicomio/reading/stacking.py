"""How the slices of a series lie, as far as their headers tell; nothing is refused here."""

from collections.abc import Sequence

import numpy as np
from pydicom.dataset import Dataset

from groundglass.dicomio.reading.measures import measures
from groundglass.domain.arrays import Coordinates
from groundglass.domain.slice_limits import LARGEST_TILT_DEGREES


def stacking(images: Sequence[Dataset]) -> tuple[Coordinates, float]:
    """Sorted depths of the slices along their normal, in mm, and the largest angle from the axial plane in degrees.

    Images without readable geometry are passed over here; `geometry.check_geometry` refuses them.
    """
    geometry = [(measures(i, "ImageOrientationPatient", 6), measures(i, "ImagePositionPatient", 3)) for i in images]
    readable = [(cosines, position) for cosines, position in geometry if cosines is not None and position is not None]
    if not readable:
        return np.empty(0), 0.0
    cosines = np.array([item[0] for item in readable])
    normals = np.cross(cosines[:, :3], cosines[:, 3:])
    lengths = np.linalg.norm(normals, axis=1)
    is_valid = lengths > 0.5
    if not is_valid.any():
        return np.empty(0), 0.0
    normals = normals[is_valid] / lengths[is_valid, None]
    angles = np.degrees(np.arccos(np.clip(np.abs(normals[:, 2]), 0, 1)))
    positions_mm = np.array([item[1] for item in readable])[is_valid]
    depths_mm = positions_mm @ normals[0]
    way_mm = positions_mm[depths_mm.argmax()] - positions_mm[depths_mm.argmin()]
    length_mm = np.linalg.norm(way_mm)
    is_one_plane = bool((np.abs(normals @ normals[0]) > np.cos(np.radians(1))).all())
    if (
        is_one_plane
        and length_mm > 0
        and abs(way_mm @ normals[0]) / length_mm > np.cos(np.radians(LARGEST_TILT_DEGREES))
    ):
        # Slices of a tilted gantry follow one another along the table, whichever way they look.
        angles = np.minimum(angles, np.degrees(np.arccos(min(abs(way_mm[2]) / length_mm, 1.0))))
    return np.sort(depths_mm), float(angles.max())


def thickness_mm(image: Dataset) -> float:
    """Zero where the header doesn't say."""
    found = measures(image, "SliceThickness", 1)
    return found[0] if found else 0.0


def spacing_and_extent_mm(depths_mm: Coordinates) -> tuple[float, float]:
    """Usual distance of neighbouring slices, and distance of the outermost; zeros where there are less than two."""
    steps_mm = np.diff(depths_mm)
    steps_mm = steps_mm[steps_mm > 0.05]
    if not steps_mm.size:
        return 0.0, 0.0
    return float(np.median(steps_mm)), float(depths_mm[-1] - depths_mm[0])
