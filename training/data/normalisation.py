"""How intensities become the lung network's input: the rows of Fig. 3."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from groundglass.method.lung_segmentation import MultiWindow
from groundglass.method.normalisation import FixedWindow, SlidingWindow
from groundglass.presets import SHIPPED


class Normalisation(Protocol):
    """How intensities become [0, 1], in training and in use: a row of Fig. 3."""

    def windows(self, image: np.ndarray) -> MultiWindow:
        """The windows that vote when `image`, HU or uint8, is segmented."""
        ...

    def draw_window(self, image: np.ndarray, rng: np.random.Generator) -> SlidingWindow:
        """The window of one training sample."""
        ...


class SlidingNormalisation:
    """The paper's: sliding windows that vote; training varies their width."""

    def windows(self, image: np.ndarray) -> MultiWindow:
        windows = SHIPPED.lungs.windows
        return windows.for_range_of(image) if image.dtype == np.uint8 else windows

    def draw_window(self, image: np.ndarray, rng: np.random.Generator) -> SlidingWindow:
        if image.dtype == np.uint8:
            return SlidingWindow.for_range(image, float(rng.uniform(0.6, 1.0)), 0.01)
        width, step = rng.choice(sorted((window.width, window.step) for window in SHIPPED.lungs.windows.windows))
        return SlidingWindow(round(float(width * rng.uniform(0.85, 1.2)), 0), float(step))


@dataclass(frozen=True)
class FixedNormalisation:
    """One window for every image.

    Attributes:
        ends_hu: lower and upper end for images in HU.
        ends_8_bit: the same for 8-bit images; None for each image's own minimum and maximum.
    """

    ends_hu: tuple[float, float]
    ends_8_bit: tuple[float, float] | None

    def windows(self, image: np.ndarray) -> MultiWindow:
        return MultiWindow((self._window(image),))

    def draw_window(self, image: np.ndarray, rng: np.random.Generator) -> SlidingWindow:
        return self._window(image)

    def _window(self, image: np.ndarray) -> FixedWindow:
        low, high = self.ends_hu
        if image.dtype == np.uint8:
            low, high = self.ends_8_bit or (float(image.min()), max(float(image.max()), float(image.min()) + 1.0))
        return FixedWindow(high - low, high - low, low)


NORMALISATIONS: dict[str, Normalisation] = {
    "none": FixedNormalisation((-1024.0, 3071.0), None),  # all that 12 bits hold
    "fixed": FixedNormalisation((-1350.0, 150.0), (0.0, 255.0)),  # the usual lung window: level -600, width 1500
    "sliding": SlidingNormalisation(),
}
"""The rows of Fig. 3 by the name that the command line knows."""
