"""The lungs in the data: of volumes as the application finds them, of single slices in the axial view."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import torch

from groundglass.domain.errors import Refusal
from groundglass.domain.volume import CANONICAL_AXES, CTVolume
from groundglass.method.lung_network import LungUNet
from groundglass.method.lung_segmentation import MultiWindow, predict_planes
from groundglass.pipeline import Pipeline, SegmentedLungs
from training.data.lung_images import PLANE_SIZE, LungImages
from training.data.normalisation import Normalisation


@cache
def _application() -> Pipeline:
    return Pipeline.load()


def segment(
    network: LungUNet, volume: CTVolume, windows: MultiWindow | None = None, views: Sequence[str] | None = None
) -> SegmentedLungs:
    """The lungs as the application finds them, with `network` in the place of the one that ships.

    Args:
        network: on any device.
        volume: HU or 8-bit values.
        windows: that vote; by default the application's.
        views: that vote; by default the application's.

    Raises:
        Refusal: no lungs can be found.
    """
    application = _application()
    lungs = application.settings.lungs
    lungs = replace(lungs, windows=windows or lungs.windows, views=tuple(views or lungs.views))
    settings = replace(application.settings, lungs=lungs)
    return replace(application, settings=settings, lung_network=network).segment(volume)


def segment_planes(network: LungUNet, image: np.ndarray, windows: MultiWindow) -> np.ndarray:
    """Lungs on axial planes that make no volume, bool `(plane, row, col)`, no post-processing."""
    planes = torch.from_numpy(np.ascontiguousarray(image)).float()[:, None]
    small = torch.nn.functional.interpolate(planes, size=(PLANE_SIZE, PLANE_SIZE), mode="area")[:, 0].numpy()
    probability = torch.from_numpy(predict_planes(network, small, windows))[:, None]
    full = torch.nn.functional.interpolate(probability, size=image.shape[1:], mode="bilinear")[:, 0]
    return full.numpy() > 0.5


def find_lungs(network: LungUNet, normalisation: Normalisation, item: LungImages, views: Sequence[str]) -> np.ndarray:
    """Lungs as the application finds them, bool; a single slice has the axial view alone and no post-processing."""
    windows = normalisation.windows(item.image)
    if len(item.image) == 1:
        return segment_planes(network, item.image, windows)
    volume = CTVolume(item.image, item.spacing_mm, np.zeros(3), CANONICAL_AXES)
    try:
        return segment(network, volume, windows, views).labels > 0
    except Refusal:
        return np.zeros_like(item.lung)  # refused: nothing found
