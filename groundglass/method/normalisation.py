"""II-C: the sliding window W(Q, S) that normalises intensities without a fixed HU window."""

from dataclasses import dataclass

import numpy as np

from groundglass.domain.arrays import AnyArray, FloatMap, Numbers


@dataclass(frozen=True)
class Histogram:
    """How many values lie in each bin.

    Attributes:
        low: lower end of the first bin, a multiple of its width.
        counts: of the bins.
    """

    low: float
    counts: Numbers

    @classmethod
    def of(cls, values: AnyArray, step: float) -> "Histogram":
        """With bins as wide as `step`, over the range of `values` of any shape and any real type."""
        first = np.floor(float(values.min()) / step)
        count = int(np.floor(float(values.max()) / step) - first) + 1
        low = float(first * step)
        if np.issubdtype(values.dtype, np.integer) and float(step).is_integer():
            per_value = np.zeros(count * int(step), dtype=np.int64)
            for plane in np.atleast_2d(values):  # a volume at once would need five times its memory
                per_value += np.bincount(plane.ravel().astype(np.intp) - int(low), minlength=len(per_value))
            return cls(low, per_value.reshape(count, -1).sum(axis=1))
        return cls(low, np.histogram(values, bins=count, range=(low, low + count * step))[0])


@dataclass(frozen=True)
class SlidingWindow:
    """W(Q, S): a window of fixed width that slides over the intensity range.

    Attributes:
        width: Q, in HU, or in the image's own units.
        step: S, by how much the window moves, in the same units.
    """

    width: float
    step: float

    def __post_init__(self) -> None:
        if not 0 < self.step <= self.width:
            raise ValueError(f"A sliding window needs 0 < step <= width, not width {self.width} and step {self.step}.")

    @classmethod
    def for_range(cls, values: AnyArray, width_fraction: float, step_fraction: float) -> "SlidingWindow":
        """The window for images with no HU: Q and S as fractions of the range of `values`."""
        span = float(values.max()) - float(values.min()) or 1.0
        return cls(width_fraction * span, step_fraction * span)

    def place(self, values: AnyArray) -> tuple[float, float]:
        """Slide to the position that covers the most values.

        One histogram with bins of S and one cumulative sum give the coverage of every position. Where several positions
        cover equally many, the middle one is taken, so that a few stray values can't move the window far.

        Args:
            values: any shape, any real type.

        Returns:
            Lower and upper end `(low, low + Q)`.
        """
        return self.place_on(Histogram.of(values, self.step))

    def place_on(self, histogram: "Histogram") -> tuple[float, float]:
        """`place`, where the histogram with bins of S is known: windows of one step share it."""
        bins_inside = max(round(self.width / self.step), 1)
        # The window may hang over either end of the range by one width, so that a narrow range is centred in it.
        padded = np.concatenate([np.zeros(bins_inside), histogram.counts, np.zeros(bins_inside)])
        total = np.concatenate([[0.0], np.cumsum(padded)])
        coverage = total[bins_inside:] - total[:-bins_inside]
        best = np.nonzero(coverage == coverage.max())[0]
        position = int(best[(len(best) - 1) // 2])
        start = histogram.low + (position - bins_inside) * self.step
        return start, start + self.width

    def normalise(self, values: AnyArray) -> FloatMap:
        """Clip to the best position of the window and scale to [0, 1], float32, same shape."""
        return scale_to_window(values, *self.place(values))

    def fixed_on(self, histogram: "Histogram") -> "FixedWindow":
        """The window where it covers the most of an image, to stay there for parts of it."""
        low, high = self.place_on(histogram)
        return FixedWindow(high - low, self.step, low)


@dataclass(frozen=True)
class FixedWindow(SlidingWindow):
    """A window that stays at `low`, whatever the image."""

    low: float = 0.0

    def place(self, values: AnyArray) -> tuple[float, float]:
        return self.low, self.low + self.width

    def place_on(self, histogram: Histogram) -> tuple[float, float]:
        return self.low, self.low + self.width


def scale_to_window(values: AnyArray, low: float, high: float) -> FloatMap:
    """Clip to `[low, high]` and scale to [0, 1], float32, same shape."""
    scaled = values.astype(np.float32)
    scaled -= np.float32(low)
    scaled *= np.float32(1.0 / (high - low))
    return np.clip(scaled, 0.0, 1.0, out=scaled)
