"""What the headers of a series measure: matrix, pixel spacing, directions, positions and the order of the slices.

Each is read of all images at once, and refused where an image lacks it, or where all must agree and do not.
"""

from collections.abc import Sequence

import numpy as np
from pydicom.dataset import Dataset

from groundglass.dicomio.reading.attributes import number, numbers
from groundglass.domain.arrays import Coordinates
from groundglass.domain.errors import Refusal
from groundglass.domain.refusals import RefusalCode

_COSINE_TOLERANCE = 5e-3
"""Of direction cosines, between images and from unit length and a right angle: what rounding in the header explains."""
_SPACING_TOLERANCE = 1e-3
"""Of PixelSpacing between images, relative."""
_FARTHEST = 1e6
"""A kilometre: larger numbers in the geometry are garbage."""


def measures(header: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """The `count` numbers of a geometric attribute, in mm or as cosines; None where they can't be meant so."""
    found = numbers(header, keyword, count)
    return None if found is None or max(map(abs, found)) > _FARTHEST else found


def shared_numbers(instances: Sequence[Dataset], keywords: tuple[str, ...], code: RefusalCode) -> tuple[float, ...]:
    """The whole numbers that all images have in common."""
    found = [tuple(number(header, keyword) for keyword in keywords) for header in instances]
    missing = sum(any(item is None or not item.is_integer() for item in values) for values in found)
    if missing:
        raise _missing(" or ".join(keywords), missing, len(instances))
    if len(set(found)) > 1:
        raise Refusal(
            code,
            f"The images of the series have {len(set(found))} different values of {' and '.join(keywords)}. "
            "Send each reconstruction as a series of its own.",
        )
    return tuple(item for item in found[0] if item is not None)


def pixel_spacing_mm(instances: Sequence[Dataset]) -> tuple[float, float]:
    """Distances between the rows and between the columns (PS3.3 10.7.1.3)."""
    spacings = _stack(instances, "PixelSpacing", 2)
    if (spacings <= 0).any():
        raise _missing("PixelSpacing above zero", int((spacings <= 0).any(axis=1).sum()), len(instances))
    differing = int((np.abs(spacings / spacings[0] - 1) > _SPACING_TOLERANCE).any(axis=1).sum())
    if differing:
        raise Refusal(
            RefusalCode.PIXEL_SPACING,
            f"{differing} of {len(instances)} images have another PixelSpacing than the first. "
            "Send each reconstruction as a series of its own.",
        )
    return float(spacings[0, 0]), float(spacings[0, 1])


def directions_of(instances: Sequence[Dataset]) -> Coordinates:
    """Unit vectors along which the slice, row and column index grow, `(3, 3)`; slices run from head to feet."""
    cosines = _stack(instances, "ImageOrientationPatient", 6)
    differing = int((np.abs(cosines - cosines[0]) > _COSINE_TOLERANCE).any(axis=1).sum())
    if differing:
        raise Refusal(
            RefusalCode.ORIENTATION,
            f"{differing} of {len(instances)} images have another orientation than the first. "
            "Send each plane as a series of its own.",
        )
    # The row cosine is the direction of a row, so along it the column index grows.
    along_columns, along_rows = cosines[0, :3], cosines[0, 3:]
    lengths = np.linalg.norm([along_columns, along_rows], axis=1)
    if (np.abs(lengths - 1) > _COSINE_TOLERANCE).any() or abs(along_columns @ along_rows) > _COSINE_TOLERANCE:
        raise Refusal(
            RefusalCode.ORIENTATION,
            f"The direction cosines of the images have the lengths {lengths[0]:.3f} and {lengths[1]:.3f} and the "
            f"product {along_columns @ along_rows:.3f}, where 1, 1 and 0 are valid. Correct the series at its source.",
        )
    along_columns = along_columns / lengths[0]
    along_rows = along_rows - (along_rows @ along_columns) * along_columns
    along_rows = along_rows / np.linalg.norm(along_rows)
    normal = np.cross(along_columns, along_rows)
    head_to_feet = -normal if normal[2] > 0 else normal
    return np.array([head_to_feet, along_rows, along_columns]) + 0.0  # turns -0 into 0


def order_by_position(instances: Sequence[Dataset]) -> tuple[Dataset, ...]:
    """The images of one series sorted from the patient's head to the feet, along the normal of the slices.

    Raises:
        Refusal: MISSING_GEOMETRY or ORIENTATION.
    """
    return in_order(instances, directions_of(instances))[0]


def in_order(instances: Sequence[Dataset], directions: Coordinates) -> tuple[tuple[Dataset, ...], Coordinates]:
    """The images in the order of the slices, and their positions in mm, `(slice, 3)`."""
    positions_mm = _stack(instances, "ImagePositionPatient", 3)
    order = np.argsort(positions_mm @ directions[0], kind="stable")
    return tuple(instances[index] for index in order), positions_mm[order]


def _stack(instances: Sequence[Dataset], keyword: str, count: int) -> Coordinates:
    """A numeric attribute of all images, float64 `(image, count)`."""
    found = [measures(header, keyword, count) for header in instances]
    missing = sum(values is None for values in found)
    if missing:
        raise _missing(keyword, missing, len(instances))
    return np.array(found, dtype=np.float64)


def _missing(attribute: str, missing: int, total: int) -> Refusal:
    return Refusal(
        RefusalCode.MISSING_GEOMETRY,
        f"{missing} of {total} images have no readable {attribute}, so the volume cannot be measured. "
        "Export the series again from its source with the complete headers.",
    )
