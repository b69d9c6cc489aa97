"""The geometry of a CT series, checked on its headers before any pixel is trusted (PS3.3 C.7.6.2.1.1).

A volume with a missing slice, two acquisitions or a tilted gantry looks right and measures wrong. What can be put right
exactly is put right and noted: the order of the slices, copies of a slice, one acquisition of several. A tilted gantry
and uneven distances are put right by placing the slices, pixel by pixel, on a larger regular grid (`Placement`). The
rest is refused. The checks themselves are in `identity`, `measures`, `acquisitions` and `regular_grid`; what is here
calls them in their order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from groundglass.dicomio.reading.acquisitions import one_image_a_position
from groundglass.dicomio.reading.attributes import number, text
from groundglass.dicomio.reading.defects import Defect
from groundglass.dicomio.reading.derived_images import monoenergetic_note
from groundglass.dicomio.reading.identity import absent_numbers, check_identity, own_frames_note
from groundglass.dicomio.reading.measures import directions_of, in_order, pixel_spacing_mm, shared_numbers
from groundglass.dicomio.reading.regular_grid import are_even, are_upright, place_slices
from groundglass.domain.arrays import Coordinates
from groundglass.domain.errors import Refusal
from groundglass.domain.placement import Placement
from groundglass.domain.refusals import RefusalCode

_WIDEST_MM = 1500.0
"""Of an image; the widest reconstructions of CT are 700 to 800 mm."""
_HOUNSFIELD = frozenset(
    {"", "HU", "US", "UNSPECIFIED", "NONE", "HOUNSFIELD", "HOUNSFIELD UNIT", "HOUNSFIELD UNITS", "HOUNSFIELDUNITS"}
)
"""RescaleType in capital letters: Hounsfield units, unspecified, or either spelt as nobody else does."""
_UNITS = {
    "HU_MOD": "HU_MOD (modified Hounsfield units: a material was removed, or replaced)",
    "MGML": "MGML (milligrams per millilitre)",
    "Z_EFF": "Z_EFF (effective atomic numbers)",
    "ED": "ED (electron densities)",
    "EDW": "EDW (electron densities in parts of that of water)",
    "PCT": "PCT (percentages)",
    "OD": "OD (optical densities)",
}
"""Other defined terms of RescaleType (PS3.3 C.11.1.1.2). A value of no such name may be anything, and isn't told."""
_MAXIMUM_VOXELS = 2**30
"""2 GiB of int16: 4096 slices of 512 x 512."""


@dataclass(frozen=True)
class Grid:
    """The checked geometry of a series.

    Attributes:
        headers: of the images that make the volume, from the patient's head to the feet.
        shape, spacing_mm, origin_mm, directions: of the images as they are, as CTVolume has them.
        placement: where the images lie on a regular grid, for images that don't make one themselves.
        notes: what was put right.
        goes_on_below: whether another acquisition of the series, which was left out, reaches further to the feet.
    """

    headers: tuple[Dataset, ...]
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: Coordinates
    directions: Coordinates
    placement: Placement | None
    notes: tuple[Defect, ...]
    goes_on_below: bool = False


def check_geometry(instances: Sequence[Dataset]) -> Grid:
    """Every check that needs no pixels, the ones that explain most first.

    Args:
        instances: headers of one series, in any order. Pixels are read of those that lie at one position.

    Raises:
        Refusal: see `volume.read_images`.
    """
    if len(instances) < 2:
        held = "one readable image" if instances else "no readable image"
        raise Refusal(
            RefusalCode.TOO_FEW_SLICES, f"The series has {held} and a volume needs at least 2. Send the whole series."
        )
    each_has_own_frame = check_identity(instances)
    rows, columns = (int(size) for size in shared_numbers(instances, ("Rows", "Columns"), RefusalCode.MATRIX))
    row_spacing_mm, column_spacing_mm = pixel_spacing_mm(instances)
    directions = directions_of(instances)
    one_each = one_image_a_position(instances, directions)
    notes = one_each.notes
    headers, positions_mm = in_order(one_each.images, directions)
    _check_size((len(headers), rows, columns))
    _check_extent(rows * row_spacing_mm, columns * column_spacing_mm)
    depths_mm = (positions_mm - positions_mm[0]) @ directions[0]
    sideways_mm = (positions_mm - positions_mm[0]) @ directions[1:].T
    is_even, is_upright = are_even(depths_mm), are_upright(depths_mm, sideways_mm)
    _check_pixel_description(headers)
    # The mean over all steps, each near the median, is free of the rounding of single positions.
    steps_mm = np.diff(depths_mm)
    slice_spacing_mm = float(steps_mm.mean() if is_even else np.median(steps_mm))
    spacing_mm = (slice_spacing_mm, row_spacing_mm, column_spacing_mm)
    placement = None
    if not (is_even and is_upright):
        placement, found = place_slices(
            depths_mm, sideways_mm, (rows, columns), spacing_mm, positions_mm[0], directions, is_even
        )
        notes = (*notes, *found)
        _check_size(placement.shape)
    if each_has_own_frame:
        notes = (
            *notes,
            own_frames_note(
                sum(bool(text(header, "FrameOfReferenceUID")) for header in instances),
                is_one_stack=placement is None and len(headers) == len(instances),
            ),
        )
    notes = (*notes, *absent_numbers(instances, is_even), *monoenergetic_note(headers))
    shape = (len(headers), rows, columns)
    return Grid(headers, shape, spacing_mm, positions_mm[0], directions, placement, notes, one_each.goes_on_below)


def _check_size(shape: tuple[int, int, int]) -> None:
    if min(shape) < 1 or shape[0] * shape[1] * shape[2] > _MAXIMUM_VOXELS:
        raise Refusal(
            RefusalCode.TOO_LARGE,
            f"The series has {shape[0]} slices of {shape[1]} x {shape[2]} pixels; 1 to {_MAXIMUM_VOXELS} voxels "
            "are read. Send a reconstruction with a smaller matrix.",
        )


def _check_extent(height_mm: float, width_mm: float) -> None:
    if max(height_mm, width_mm) > _WIDEST_MM:
        raise Refusal(
            RefusalCode.TOO_LARGE,
            f"By their PixelSpacing the images are {height_mm:.0f} x {width_mm:.0f} mm, wider than any scanner's "
            f"{_WIDEST_MM:.0f} mm. Correct PixelSpacing at the source.",
        )


def _check_pixel_description(headers: Sequence[Dataset]) -> None:
    total = len(headers)
    photometric = {text(header, "PhotometricInterpretation") for header in headers}
    if len(photometric) != 1 or not photometric <= {"MONOCHROME1", "MONOCHROME2"}:
        # Either is for display alone: the rescale to Hounsfield units is the same for both (PS3.3 C.11.1.1).
        raise Refusal(
            RefusalCode.PHOTOMETRIC,
            f"The {total} images are not all MONOCHROME2, or all MONOCHROME1, as CT images in Hounsfield units are. "
            "Send the original images of the scanner.",
        )
    _check_rescale(headers)


def _check_rescale(headers: Sequence[Dataset]) -> None:
    """Refuse images whose values the header doesn't make Hounsfield units of (PS3.3 C.11.1.1.2)."""
    total = len(headers)
    types = [text(header, "RescaleType").upper() for header in headers]
    others = [name for name in types if name not in _HOUNSFIELD]
    if others:
        names = " and ".join(sorted({_UNITS.get(name, "no term of the standard") for name in others}))
        raise Refusal(
            RefusalCode.NO_RESCALE,
            f"RescaleType is {names} in {len(others)} of {total} images, where that of Hounsfield units is HU. "
            "Send the original images of the scanner; where these are the original ones, correct RescaleType at its "
            "source.",
        )
    for keyword in ("RescaleSlope", "RescaleIntercept"):
        values = [number(header, keyword) for header in headers]
        missing = sum(item is None for item in values)
        if missing:
            problem = f"{missing} of {total} images have no readable {keyword}"
        elif keyword == "RescaleSlope" and 0 in values:
            problem = f"{values.count(0)} of {total} images have a RescaleSlope of 0"
        else:
            continue
        raise Refusal(
            RefusalCode.NO_RESCALE,
            f"{problem}, so their values can't be made Hounsfield units. Send the original images of the scanner.",
        )
