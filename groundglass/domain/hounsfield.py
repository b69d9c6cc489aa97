"""Whether numbers can be the Hounsfield units of a chest, where no header says so."""

import numpy as np

from groundglass.domain.arrays import AnyArray, HounsfieldUnits
from groundglass.domain.errors import Refusal, UsageError
from groundglass.domain.refusals import RefusalCode

AIR_HU, AIR_FRACTION = -800, 0.01
SOFT_TISSUE_HU, SOFT_TISSUE_FRACTION = (-100, 150), 0.05
"""What every chest CT in Hounsfield units contains, as a fraction of its voxels."""
PADDING_HU = -1024
"""What is less is no tissue: scanners and converters mark with it what lies outside the field of view."""


def as_hounsfield_units(array: AnyArray) -> HounsfieldUnits:
    """Whole Hounsfield units of a chest from numbers of any type; what is below PADDING_HU becomes that.

    Args:
        array: of any shape.

    Raises:
        UsageError: a value is not a number, or larger than any CT's.
        Refusal: NOT_HU: scaled to [0, 1], grey values of a picture, or too little air or soft tissue for a chest.
    """
    if array.dtype.kind not in "iuf":
        raise UsageError(f"The array holds values of the type {array.dtype}, and Hounsfield units are numbers.")
    if not np.isfinite(array).all() or array.max() > 32767 or array.min() < -32768:
        raise UsageError("The array holds values that are no Hounsfield units: NaN, infinite or beyond 16 bits.")
    lowest, highest = float(array.min()), float(array.max())
    if lowest >= -1 and highest <= 255:
        scaled = "scaled to a range of 1" if highest <= 1 else "the grey values of a picture"
        raise Refusal(
            RefusalCode.NOT_HU,
            f"The values lie between {lowest:.3g} and {highest:.3g}: they are {scaled}, and not Hounsfield units. Give "
            "the CT's own values: air is -1000, water 0.",
        )
    rounded = np.rint(array) if array.dtype.kind == "f" else array
    hu: HounsfieldUnits = np.maximum(rounded, PADDING_HU).astype(np.int16)
    low, high = SOFT_TISSUE_HU
    air = np.count_nonzero(hu < AIR_HU) / hu.size
    soft_tissue = np.count_nonzero((hu >= low) & (hu <= high)) / hu.size
    if air < AIR_FRACTION or soft_tissue < SOFT_TISSUE_FRACTION:
        raise Refusal(
            RefusalCode.NOT_HU,
            f"{air:.1%} of the voxels are air (below {AIR_HU} HU) and {soft_tissue:.1%} soft tissue ({low} to {high} "
            f"HU); a chest CT has at least {AIR_FRACTION:.0%} and {SOFT_TISSUE_FRACTION:.0%}. The values are not "
            "Hounsfield units, or the volume does not show a chest.",
        )
    return hu
