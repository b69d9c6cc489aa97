"""Whether slices, in their order, make a regular grid: equally far apart, one behind the other.

Those of a tilted gantry, or unevenly far apart, are placed on a larger grid; others are refused.
"""

import numpy as np

from groundglass.dicomio.reading.defects import Defect
from groundglass.domain.arrays import Coordinates
from groundglass.domain.errors import Refusal
from groundglass.domain.placement import Placement
from groundglass.domain.refusals import RefusalCode
from groundglass.domain.slice_limits import LARGEST_STEP, LARGEST_TILT_DEGREES, LEAST_STEP

_UNEVEN_FRACTION, _UNEVEN_MM = 0.10, 0.2
"""Deviation from the usual distance of slices, the larger of the two, that rounding in the header explains."""
_SIDEWAYS_MM = 1.0
"""Drift of the slices across their normal over the whole series."""


def are_even(depths_mm: Coordinates) -> bool:
    """Whether neighbouring slices, sorted, are equally far apart, or else can be evened out. SliceThickness is no help.

    Raises:
        Refusal: GAP.
    """
    steps_mm = np.diff(depths_mm)
    usual_mm = float(np.median(steps_mm))
    # Half the usual distance is the limit for very thin slices, so that a missing one is always seen.
    tolerance_mm = min(max(_UNEVEN_FRACTION * usual_mm, _UNEVEN_MM), 0.5 * usual_mm)
    uneven = np.abs(steps_mm - usual_mm) > tolerance_mm
    refused = uneven & ~((steps_mm > LEAST_STEP * usual_mm) & (steps_mm < LARGEST_STEP * usual_mm))
    if refused.any():
        wrong_mm = steps_mm[refused]
        span = " to ".join(dict.fromkeys(f"{length:.2f}" for length in (wrong_mm.min(), wrong_mm.max())))
        raise Refusal(
            RefusalCode.GAP,
            f"Neighbouring slices are {usual_mm:.2f} mm apart, but {span} mm "
            f"at {wrong_mm.size} of {steps_mm.size} places: slices are missing, or the series mixes "
            "reconstructions or scans. Send the whole series again.",
        )
    # Small deviations of the same sign add up to large ones.
    regular_mm = np.linspace(depths_mm[0], depths_mm[-1], len(depths_mm))
    off_mm = float(np.abs(depths_mm - regular_mm).max())
    return not (uneven.any() or off_mm > tolerance_mm)


def are_upright(depths_mm: Coordinates, sideways_mm: Coordinates) -> bool:
    """Whether the slices lie one behind the other, or else move sideways evenly, as with a tilted gantry.

    Raises:
        Refusal: TILT.
    """
    drift_mm = float(np.abs(sideways_mm).max())
    if drift_mm <= _SIDEWAYS_MM:
        return True
    slopes = depths_mm @ sideways_mm / (depths_mm @ depths_mm)
    rest_mm = float(np.abs(sideways_mm - depths_mm[:, None] * slopes).max())
    tilt_degrees = float(np.degrees(np.arctan(np.linalg.norm(slopes))))
    if rest_mm > _SIDEWAYS_MM or tilt_degrees > LARGEST_TILT_DEGREES:
        raise Refusal(
            RefusalCode.TILT,
            f"The slices move up to {drift_mm:.1f} mm sideways along the series, as with a gantry tilted by "
            f"{tilt_degrees:.0f} degrees, and lie up to {rest_mm:.1f} mm off a straight line. "
            "Send a series reconstructed without tilt.",
        )
    return False


def place_slices(
    depths_mm: Coordinates,
    sideways_mm: Coordinates,
    size: tuple[int, int],
    spacing_mm: tuple[float, float, float],
    first_mm: Coordinates,
    directions: Coordinates,
    is_even: bool,
) -> tuple[Placement, list[Defect]]:
    """Slices of uneven distance or a tilted gantry on a regular grid, and what there is to note."""
    notes, steps_mm, pixel_mm = [], np.diff(depths_mm), np.array(spacing_mm[1:])
    offsets = np.rint(sideways_mm / pixel_mm).astype(int)
    offsets -= offsets.min(axis=0)
    if np.abs(sideways_mm).max() > _SIDEWAYS_MM:
        degrees = np.degrees(np.arctan2(np.linalg.norm(sideways_mm[-1]), depths_mm[-1]))
        problem = f"tells of a gantry tilted by {degrees:.1f} degrees: the slices were set upright for the analysis"
        notes.append(Defect("ImagePositionPatient", problem))
    step_mm, slices = spacing_mm[0], np.arange(len(depths_mm))
    homes = slices
    if not is_even:
        step_mm = float(steps_mm.min())  # so that every slice is the nearest one of a slice of the grid
        grid_mm = np.arange(round(depths_mm[-1] / step_mm) + 1) * step_mm
        distances_mm = np.abs(grid_mm[:, None] - depths_mm)
        slices, homes = distances_mm.argmin(axis=1), distances_mm.argmin(axis=0)
        slices[homes] = np.arange(len(homes))
        problem = (
            f"tells of slices {steps_mm.min():.2f} to {steps_mm.max():.2f} mm apart: they were analysed on a grid of "
            f"{step_mm:.2f} mm"
        )
        notes.append(Defect("ImagePositionPatient", problem))
    rows, columns = (int(length) for length in np.array(size) + offsets.max(axis=0))
    placement = Placement(
        shape=(len(slices), rows, columns),
        spacing_mm=(step_mm, *spacing_mm[1:]),
        origin_mm=first_mm - (offsets[0] * pixel_mm) @ directions[1:],
        slices=slices,
        homes=homes,
        offsets=offsets,
        source_shape=(len(depths_mm), *size),
        source_spacing_mm=spacing_mm,
        source_origin_mm=first_mm,
    )
    return placement, notes
