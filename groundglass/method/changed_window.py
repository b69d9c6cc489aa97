"""Where the features of an image can differ from those of a black one: the rest need not be computed.

Outside the lungs the classifier's input is 0, and a convolution sees no further than its neighbours. So all that an
image changes at a level lies in a window around its own non-zero pixels, grown by one cell a convolution and halved by
each pooling; outside, every image on the path from black has the black image's features. The same window holds all the
cells whose gradient can reach a non-zero pixel.
"""

from typing import NamedTuple

from torch import Tensor


class Window(NamedTuple):
    """Rows and columns of one level's features, the ends exclusive."""

    top: int
    bottom: int
    left: int
    right: int

    def grown(self, cells: int, size: int, even: bool) -> "Window":
        """By `cells` on each side inside `size` rows and columns; outwards to even bounds where a pooling follows."""
        top, left = max(self.top - cells, 0), max(self.left - cells, 0)
        bottom, right = min(self.bottom + cells, size), min(self.right + cells, size)
        if even:
            return Window(top - top % 2, bottom + bottom % 2, left - left % 2, right + right % 2)
        return Window(top, bottom, left, right)

    def halved(self) -> "Window":
        """The cells that pooling makes of it; its bounds are even."""
        return Window(*(bound // 2 for bound in self))

    def inside(self, other: "Window") -> "Window":
        """The same cells, counted from the corner of `other`."""
        return Window(self.top - other.top, self.bottom - other.top, self.left - other.left, self.right - other.left)

    def of(self, features: Tensor) -> Tensor:
        """A view of these cells of `(..., row, col)`."""
        return features[..., self.top : self.bottom, self.left : self.right]


def changed_windows(images: Tensor, convolutions: list[int]) -> list[Window]:
    """The window of each level.

    Args:
        images: `(batch, row, col)`, square; the window serves all of them.
        convolutions: 3x3 convolutions of each level; between levels, features are pooled two by two.
    """
    changed = (images != 0).any(dim=0)
    rows, columns = (changed.any(dim=1 - axis).nonzero()[:, 0].tolist() or [0] for axis in (0, 1))
    window, size = Window(rows[0], rows[-1] + 1, columns[0], columns[-1] + 1), images.shape[-1]
    windows = []
    for level, count in enumerate(convolutions):
        if level:
            window, size = window.halved(), size // 2
        window = window.grown(count, size, even=level < len(convolutions) - 1)
        windows.append(window)
    return windows
