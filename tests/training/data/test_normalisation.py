"""How intensities become the lung network's input."""

import numpy as np
import pytest

from groundglass.domain.arrays import AnyArray, FloatMap
from groundglass.method.lung_segmentation import MultiWindow
from training.data.normalisation import NORMALISATIONS


def views(windows: MultiWindow, image: AnyArray) -> list[FloatMap]:
    """The image as each window shows it to the network."""
    return [window.normalise(image) for window in windows.windows]


@pytest.mark.parametrize(
    ("name", "hu", "scaled"),
    [("none", [-1024, 3071], [0, 1]), ("fixed", [-1350, -600, 150, 900], [0, 0.5, 1, 1])],
)
def test_a_fixed_normalisation_scales_every_image_alike(name: str, hu: list[int], scaled: list[float]) -> None:
    (view,) = views(NORMALISATIONS[name].windows(np.zeros(1, np.int16)), np.array(hu, dtype=np.float32))
    assert np.allclose(view, scaled)


@pytest.mark.parametrize(("name", "scaled"), [("none", [0, 0.5, 1]), ("fixed", [50 / 255, 100 / 255, 150 / 255])])
def test_8_bit_images_keep_their_values_or_use_their_own_range(name: str, scaled: list[float]) -> None:
    image = np.array([50, 100, 150], dtype=np.uint8)
    (view,) = views(NORMALISATIONS[name].windows(image), image)
    assert np.allclose(view, scaled)


def test_a_sliding_normalisation_follows_the_image_and_votes() -> None:
    image = np.arange(-900, -300, dtype=np.int16)
    windows = NORMALISATIONS["sliding"].windows(image)
    moved = views(windows, image + np.int16(200))
    assert len(moved) == 2
    assert all(np.allclose(a, b) for a, b in zip(views(windows, image), moved, strict=True))
