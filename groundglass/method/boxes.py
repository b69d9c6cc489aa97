"""II-F.2: from the joint saliency to regions and their boxes."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_isodata

from groundglass.domain.arrays import FloatMap, Mask, Regions
from groundglass.domain.findings import Box

_GAUSSIAN_5 = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0
"""The 5x5 Gaussian kernel along each axis: binomial weights, standard deviation 1 pixel."""


def blur(saliency: FloatMap) -> FloatMap:
    """|saliency| blurred with the 5x5 Gaussian, `(row, col)`, float32."""
    blurred: FloatMap = np.abs(saliency).astype(np.float32)
    for axis in (0, 1):
        blurred = ndimage.correlate1d(blurred, _GAUSSIAN_5, axis, mode="constant")
    return blurred


def salient_regions(saliency: FloatMap, inside: Mask, minimum_pixels: float, closing_pixels: int = 3) -> Regions:
    """Number the salient regions of one slice.

    |joint saliency| -> 5x5 Gaussian -> ISODATA threshold -> closing -> connected components above an area.

    Args:
        saliency: joint saliency, `(row, col)`.
        inside: bool, the lungs: the threshold is found from their pixels only, and regions stay in them.
        minimum_pixels: smallest area of a region.
        closing_pixels: side of the square that dilates and erodes.

    Returns:
        int32 `(row, col)`: 0 where nothing is salient, otherwise the region's number from 1, largest first.
    """
    nothing = np.zeros(saliency.shape, dtype=np.int32)
    smooth = blur(saliency)
    values = smooth[inside]
    if values.size == 0 or not np.isfinite(values).all() or values.max() <= values.min():
        return nothing
    mask = inside & (smooth > threshold_isodata(values))  # type: ignore[no-untyped-call]
    closed = _close(mask, closing_pixels) & inside
    regions, count = ndimage.label(closed, structure=np.ones((3, 3)))
    sizes = np.bincount(regions.ravel(), minlength=count + 1)
    sizes[0] = 0
    numbers = np.zeros(count + 1, dtype=np.int32)
    kept = [region for region in np.argsort(-sizes, kind="stable") if sizes[region] >= max(minimum_pixels, 1)]
    numbers[kept] = np.arange(1, len(kept) + 1)
    numbered: Regions = numbers[regions]
    return numbered


def _close(mask: Mask, side: int) -> Mask:
    """Closing with a square of so many pixels: as `ndimage.binary_closing`, axis by axis and in half the time."""
    padded = np.pad(mask, side).view(np.uint8)
    dilated = ndimage.maximum_filter(padded, side, mode="constant", origin=side % 2 - 1)
    closed: Mask = ndimage.minimum_filter(dilated, side, mode="constant")[side:-side, side:-side].view(bool)
    return closed


def shares_of_regions(saliency: FloatMap, regions: Regions) -> FloatMap:
    """Part of a slice's saliency in each of its numbered regions, in the order of the numbers.

    Args:
        saliency: `(row, col)`, not negative.
        regions: int, same shape, as `salient_regions` numbers them.
    """
    sums = np.bincount(regions.ravel(), weights=saliency.ravel())
    return sums[1:] / (sums.sum() or 1.0)


def boxes_of_regions(
    regions: Regions,
    slice_index: int,
    label: str,
    score: float,
    pixel_area_mm2: float,
    shares: Sequence[float] | FloatMap,
) -> list[tuple[Box, Mask]]:
    """The minimal upright rectangle of each numbered region, in the order of the numbers, and the region.

    Args:
        regions: int `(row, col)` on the source slice's grid, as `salient_regions` numbers them.
        slice_index: index of the source slice in the volume.
        label: the class whose saliency it is.
        score: the slice's probability of that class.
        pixel_area_mm2: area of one pixel of `regions`.
        shares: part of the slice's saliency in each region, in the order of the numbers.

    Returns:
        Boxes, each with the bool `(row, col)` of its region, of the box's own size.
    """
    found = []
    for number, place in enumerate(ndimage.find_objects(regions), start=1):
        if place is None:
            continue
        rows, columns = place
        region = regions[place] == number
        last_column, last_row = columns.stop - 1, rows.stop - 1
        area_mm2 = int(region.sum()) * pixel_area_mm2
        box = Box(
            slice_index,
            label,
            columns.start,
            rows.start,
            last_column,
            last_row,
            area_mm2,
            score,
            float(shares[number - 1]),
        )
        found.append((box, region))
    return found
