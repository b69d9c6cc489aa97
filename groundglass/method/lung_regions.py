"""From the probability of lung to the two lungs: what can be a lung is kept, holes are filled, right is told from left.

All of it works on cubes, canonical `(slice, row, col)`: columns run from the patient's right to the left.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from groundglass.domain.arrays import FloatMap, LabelMap, Mask, Numbers, Regions
from groundglass.domain.errors import Refusal
from groundglass.domain.refusals import RefusalCode
from groundglass.domain.volume import BACKGROUND, LEFT_LUNG, RIGHT_LUNG
from groundglass.method.morphology import box_around, fill_enclosed, within

SMALL_PIECE = 0.08
"""Regions below this part of the largest are bowel gas or noise."""
GAS_ML = 4.0
GAS_PART, AIRLESS_PART_OF_TISSUE = 0.35, 0.4
LEAST_CONTRAST = 0.05
WALL_MM, WALL_PART = 7.0, 0.45
"""At least `GAS_ML` of gas is no lung where tissue makes `WALL_PART` of the `WALL_MM` around it. Gas is darker than
`GAS_PART` of the way from the darkest of the lungs to their median, tissue brighter than `AIRLESS_PART_OF_TISSUE` of
the way from that median to soft tissue: about -940 and -500 HU, and as well in 8-bit images that have no HU. Lungs
whose darkest is not `LEAST_CONTRAST` of that way below the median, 45 HU, hold no gas. Measured in the lungs found in
normal002, cap001 and P001: trachea, main bronchi and colon .49 to .78; bullae and emphysema lie in lung, .02 to .39."""


class Densities(NamedTuple):
    """What the darkest of the lungs, their median and soft tissue measure, in the unit of the image."""

    darkest: float
    lung: float
    tissue: float

    @property
    def airless(self) -> float:
        """From here on upwards tissue holds no air: in HU about -500."""
        return self.lung + AIRLESS_PART_OF_TISSUE * (self.tissue - self.lung)


def find_densities(probability: FloatMap, values: FloatMap) -> Densities | None:
    """The darkest and the median value of the lungs, and the commonest of soft tissue; None where one is not found.

    Args:
        probability: of lung, `(slice, row, col)`.
        values: same shape, in HU or any other unit that grows with density.
    """
    found = probability > 0.5
    if not found.any():
        return None
    near = box_around(found, 1)
    inside = found[near]
    darkest = float(np.percentile(ndimage.uniform_filter(values[near], 3)[inside], 0.5))
    lung = float(np.median(values[near][inside]))
    tissue = _commonest(values[(probability < 0.2) & (values > lung + (lung - darkest))])
    return None if tissue is None else Densities(darkest, lung, tissue)


def find_walled_gas(probability: FloatMap, values: FloatMap, grid_mm: float) -> Mask:
    """Find gas that a wall encloses: colon and stomach below the diaphragm, trachea and main bronchi.

    The bowel lies against the diaphragm, and its wall is thinner than a cube: no shape tells it from lung. But its gas
    is pure, and surrounded by soft tissue where a bulla is surrounded by lung.

    Args:
        probability: of lung, `(slice, row, col)`.
        values: same shape, in HU or any other unit that grows with density.
        grid_mm: size of the cubes of both.

    Returns:
        bool, same shape: the gas and the cubes that it shares with its wall.
    """
    found = probability > 0.5
    walled = np.zeros_like(found)
    densities = find_densities(probability, values)
    if densities is None or densities.lung - densities.darkest < LEAST_CONTRAST * (densities.tissue - densities.lung):
        return walled
    reach = int(np.ceil(WALL_MM / grid_mm))
    near = box_around(found, reach)
    found, values = found[near], values[near]
    darkest, lung, _ = densities
    gas = found & (ndimage.uniform_filter(values, 3) < darkest + GAS_PART * (lung - darkest))
    gas, sizes_ml = _pieces(gas, grid_mm)
    wall = densities.airless
    for number, place in enumerate(ndimage.find_objects(gas), start=1):
        if sizes_ml[number] < GAS_ML:
            continue
        box = tuple(slice(max(side.start - reach, 0), side.stop + reach) for side in place)
        piece = gas[box] == number
        rim = within(piece, 1.5)  # the cubes that gas and wall share
        around = within(piece, WALL_MM / grid_mm) & ~rim
        if around.any() and (values[box][around] > wall).mean() >= WALL_PART:
            walled[near][box] |= rim
    return walled


def _commonest(values: FloatMap) -> float | None:
    """The middle of the fullest of 200 bins; None of nothing."""
    if not values.size:
        return None
    counts, edges = np.histogram(values, bins=200)
    return float(edges[counts.argmax() : counts.argmax() + 2].mean())


def label_lungs(
    probability: FloatMap, grid_mm: float, midline: float | None = None, barred: Mask | None = None
) -> LabelMap:
    """Keep what can be a lung, fill holes, tell right from left.

    Args:
        probability: of lung, canonical `(slice, row, col)`: columns run from the patient's right to the left.
        grid_mm: size of the cubes.
        midline: the column that parts right from left where the lungs themselves don't tell; the middle where None.
        barred: what is no lung, whatever its probability, and is not filled either, bool of the same shape.

    Returns:
        uint8 labels, same shape.

    Raises:
        Refusal: NO_LUNGS, no region of at least 100 ml.
    """
    found = probability > 0.5
    if barred is not None:
        found &= ~barred
    near = box_around(found, 2)  # distances to and inside what is found are the same there
    found = found[near]
    free = np.ones(found.shape, dtype=bool) if barred is None else ~barred[near]
    regions, sizes_ml = _pieces(found, grid_mm)
    if sizes_ml.max() < 100.0:
        raise Refusal(
            RefusalCode.NO_LUNGS,
            f"No lungs were found: the largest region is {sizes_ml.max():.0f} ml, and a lung of an adult has at "
            "least 100 ml. Check that the series shows the chest.",
        )
    mask = (sizes_ml >= SMALL_PIECE * float(sizes_ml.max()))[regions]
    middle = probability.shape[2] / 2 if midline is None else midline
    sides = _separate_sides(mask, grid_mm, middle - near[2].start)
    for number, place in enumerate(ndimage.find_objects(sides), start=1):
        if place is not None:
            part = sides[place]  # a closing never reaches beyond the bounding box
            part[_close(part == number, grid_mm) & (part == BACKGROUND) & free[place]] = number
    labels = np.zeros(probability.shape, dtype=np.uint8)
    labels[near] = sides
    return labels


def _pieces(mask: Mask, grid_mm: float) -> tuple[Regions, Numbers]:
    """Number the connected pieces of a mask from 1; and the size of each in ml by its number, 0 for what is none."""
    numbers, count = ndimage.label(mask)
    return numbers, np.bincount(numbers[mask], minlength=count + 1) * grid_mm**3 / 1000


def _close(lung: Mask, grid_mm: float, radius_mm: float = 6.0) -> Mask:
    """Close gaps narrower than twice the radius, and fill what the lung encloses: dense disease is lung too."""
    margin = int(np.ceil(radius_mm / grid_mm)) + 1
    padded = np.pad(lung, margin)
    closed = ~within(~within(padded, radius_mm / grid_mm), radius_mm / grid_mm) | padded
    return fill_enclosed(closed[(slice(margin, -margin),) * 3])


def _separate_sides(mask: Mask, grid_mm: float, midline: float) -> LabelMap:
    """Name the voxels of `mask` by side: cores from an erosion, then every voxel goes to the nearest core.

    Where the lungs touch, in front of the heart or behind it, the erosion parts them. How far to erode is found by
    trying: until the largest core of each side lies on that side.
    """
    outside = ~mask
    columns = np.nonzero(mask.any(axis=(0, 1)))[0]
    middle = (columns[0] + columns[-1]) / 2
    for erosion_mm in (0.0, 2.0, 4.0, 7.0, 10.0, 14.0):
        sides = _sides_of_cores(~within(outside, erosion_mm / grid_mm), middle)
        if sides is None:
            continue
        if (sides > 0).sum() == mask.sum():  # nothing had to be eroded
            return sides
        _give_to_nearest(sides, mask, int(np.ceil(2 * erosion_mm / grid_mm)) + 1)
        return sides
    # One lung alone, or lungs that no erosion parts: then the midline, or the middle of the lungs, decides.
    if _part_beyond(mask, midline) > 0.25:
        names = np.where(np.arange(mask.shape[2]) < middle, RIGHT_LUNG, LEFT_LUNG).astype(np.uint8)
        return mask * names[None, None, :]
    return mask * np.uint8(RIGHT_LUNG if middle < midline else LEFT_LUNG)


def _give_to_nearest(sides: LabelMap, mask: Mask, reach: int) -> None:
    """Give what an erosion took from `mask` back to the side of the nearest core.

    Distances are computed only in the columns where cores of both sides meet, and `reach` cubes beyond: farther right
    all is right, farther left all is left.
    """
    first_left = np.nonzero((sides == LEFT_LUNG).any(axis=(0, 1)))[0][0]
    last_right = np.nonzero((sides == RIGHT_LUNG).any(axis=(0, 1)))[0][-1]
    start, stop = max(min(first_left, last_right) - reach, 0), max(first_left, last_right) + reach + 1
    near = slice(max(start - reach, 0), stop + reach)
    cores = sides[..., near]
    nearest = ndimage.distance_transform_edt(cores == 0, return_distances=False, return_indices=True)
    for columns, side in ((slice(start), RIGHT_LUNG), (slice(stop, None), LEFT_LUNG)):
        part = sides[..., columns]
        part[mask[..., columns] & (part == 0)] = side
    between = np.zeros(cores.shape, dtype=bool)
    between[..., start - near.start : stop - near.start] = True
    between &= mask[..., near] & (cores == 0)
    cores[between] = cores[tuple(axis[between] for axis in nearest)]


def _sides_of_cores(cores: Mask, middle: float) -> LabelMap | None:
    """Side of every core voxel, or None where the cores are not yet one or more for each side."""
    regions, count = ndimage.label(cores)
    if count < 2:
        return None
    numbers, columns = regions[cores], np.nonzero(cores)[2]
    sizes = np.bincount(numbers)[1:]
    centres = np.bincount(numbers, weights=columns)[1:] / sizes
    names = np.where(centres < middle, RIGHT_LUNG, LEFT_LUNG).astype(np.uint8)
    largest = [np.where(names == side, sizes, 0) for side in (RIGHT_LUNG, LEFT_LUNG)]
    if min(part.max() for part in largest) < 0.1 * sizes.max():
        return None
    if any(_part_beyond(regions == part.argmax() + 1, middle) > 0.25 for part in largest):
        return None
    sides: LabelMap = np.concatenate([[np.uint8(0)], names])[regions]
    return sides


def _part_beyond(region: Mask, middle: float) -> float:
    """How much of a region lies beyond the middle, seen from its larger side."""
    right = int(region[..., : max(int(middle), 0)].sum())
    total = int(region.sum())
    return min(right, total - right) / total
