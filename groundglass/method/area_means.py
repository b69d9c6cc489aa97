"""An image made smaller: the mean over the area of each new pixel."""

from collections.abc import Sequence

import numpy as np

from groundglass.domain.arrays import FloatMap, Indices


def area_means(plane: FloatMap, shape: Sequence[int]) -> FloatMap:
    """`plane` with fewer rows and columns, each pixel the mean of all that it covers at least a part of.

    As PyTorch's `interpolate(mode="area")`, to the last bit where the values are whole numbers, in half its time: it
    adds one pixel after the other, this whole rows.

    Args:
        plane: float32 `(row, col)`.
        shape: of the result.

    Returns:
        float32, of `shape`.
    """
    of_rows, rows = _sums(plane, shape[0])
    sums, columns = _sums(np.ascontiguousarray(of_rows.T), shape[1])
    sums /= rows.astype(np.float32)
    sums /= columns[:, None].astype(np.float32)
    return np.ascontiguousarray(sums.T)


def _sums(values: FloatMap, count: int) -> tuple[FloatMap, Indices]:
    """Sums over `count` runs of rows, which share a row where it lies in two of them; and the rows in each run."""
    places = np.arange(count)
    first, end = places * len(values) // count, -(-(places + 1) * len(values) // count)
    lengths = end - first
    sums = values[first]
    for step in range(1, int(lengths.max())):
        longer = lengths > step
        if longer.all():
            sums += values[first + step]
        else:
            sums[longer] += values[first[longer] + step]
    return sums, lengths
