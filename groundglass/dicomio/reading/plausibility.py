"""Whether what was read can be Hounsfield units of a chest: all of it, and images that are stored unlike the others.

Every image may be stored in a way of its own, with its own rescale or number of bits. A wrong one in a few images is
lost among all the others, so those are looked at by themselves.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from pydicom.dataset import Dataset

from groundglass.dicomio.reading.attributes import number
from groundglass.dicomio.reading.pixels import has_values_within, read_slice_hu
from groundglass.domain.arrays import AnyArray, HounsfieldUnits, Indices
from groundglass.domain.errors import Refusal
from groundglass.domain.hounsfield import AIR_FRACTION, AIR_HU, SOFT_TISSUE_FRACTION, SOFT_TISSUE_HU
from groundglass.domain.refusals import RefusalCode

_RESCALE = ("RescaleSlope", "RescaleIntercept", "PixelRepresentation")
"""What makes Hounsfield units of stored bits, with the number of them."""
_LARGEST_CHANGE_HU = 100
"""Median from one slice to the next where the first has soft tissue. A wrong rescale makes hundreds."""


def tissue_counts(slice_hu: HounsfieldUnits) -> Indices:
    """How many of a sample of the pixels are air, how many soft tissue, and how many there are."""
    sample_hu = _sample(slice_hu)
    return np.array([np.count_nonzero(sample_hu < AIR_HU), np.count_nonzero(_is_soft(sample_hu)), sample_hu.size])


def check_plausible(tissues: Indices, which: str) -> None:
    """Refuse what is no chest in Hounsfield units; `tissues` are the counts of images, `(image, 3)`.

    Raises:
        Refusal: NOT_HU.
    """
    air, soft_tissue = _fractions(tissues)
    if air < AIR_FRACTION or soft_tissue < SOFT_TISSUE_FRACTION:
        raise Refusal(
            RefusalCode.NOT_HU,
            f"{air:.1%} of {which} are air (below {AIR_HU} HU) and {soft_tissue:.1%} soft tissue "
            f"({SOFT_TISSUE_HU[0]} to {SOFT_TISSUE_HU[1]} HU); a chest CT has at least {AIR_FRACTION:.0%} and "
            f"{SOFT_TISSUE_FRACTION:.0%}. The pixel values are not Hounsfield units, or the images do not show a "
            "chest. Send the original images.",
        )


def check_stored_alike(headers: Sequence[Dataset], tissues: Indices) -> None:
    """Refuse images with a rescale, or bits, unlike those of others, whose values don't fit.

    They fit where all images that are stored in this way are plausible by themselves, or each is like the nearest image
    that is: one slice below the lungs may hold no air.

    Args:
        headers: in the order of the slices.
        tissues: of `tissue_counts` for each.

    Raises:
        Refusal: NOT_HU.
    """
    ways = [(*(number(header, name) for name in _RESCALE), number(header, "BitsStored")) for header in headers]
    usual, _ = Counter(ways).most_common(1)[0]
    # Values that no more bits than the smaller number hold are the same whichever number is right.
    ways = [
        usual if way != usual and way[:-1] == usual[:-1] and has_values_within(header, usual[-1]) else way
        for way, header in zip(ways, headers, strict=True)
    ]
    if len(set(ways)) == 1:
        return
    is_sound = np.zeros(len(ways), bool)
    for way in set(ways):  # the usual one too: right images may hide that most are wrong
        alike = np.array([other == way for other in ways])
        air, soft_tissue = _fractions(tissues[alike])
        is_sound |= alike & (air >= AIR_FRACTION) & (soft_tissue >= SOFT_TISSUE_FRACTION)
    sound = np.flatnonzero(is_sound)
    odd = [
        index
        for index in map(int, np.flatnonzero(~is_sound))
        if not sound.size or not _is_continued(headers[sound[np.abs(sound - index).argmin()]], headers[index])
    ]
    if odd:
        air, soft_tissue = _fractions(tissues[odd])
        raise Refusal(
            RefusalCode.NOT_HU,
            f"The voxels in {len(odd)} images with another rescale or other bits than others do not fit: "
            f"{air:.1%} are air (below {AIR_HU} HU) and {soft_tissue:.1%} soft tissue ({SOFT_TISSUE_HU[0]} to "
            f"{SOFT_TISSUE_HU[1]} HU), and the soft tissue of the neighbouring images does not go on in them. Their "
            "pixel values are not Hounsfield units by their headers. Send the original images.",
        )


def _is_continued(sound: Dataset, other: Dataset) -> bool:
    """Whether the soft tissue of a sound image goes on in another one."""
    sound_hu, other_hu = _read_sample(sound), _read_sample(other)
    soft = _is_soft(sound_hu)
    return bool(soft.any() and np.median(np.abs(sound_hu[soft] - other_hu[soft])) <= _LARGEST_CHANGE_HU)


def _read_sample(header: Dataset) -> AnyArray:
    slice_hu = np.empty((int(number(header, "Rows") or 0), int(number(header, "Columns") or 0)), np.int16)
    read_slice_hu(header, slice_hu)
    return _sample(slice_hu).astype(int)


def _sample(slice_hu: HounsfieldUnits) -> HounsfieldUnits:
    sample: HounsfieldUnits = np.ascontiguousarray(slice_hu[::4, ::4])
    return sample


def _is_soft(hu: AnyArray) -> AnyArray:
    lowest, highest = SOFT_TISSUE_HU
    return (hu >= lowest) & (hu <= highest)


def _fractions(tissues: Indices) -> tuple[float, float]:
    """Air and soft tissue, as parts of the voxels."""
    air, soft_tissue, total = tissues.sum(axis=0)
    return float(air / total), float(soft_tissue / total)
