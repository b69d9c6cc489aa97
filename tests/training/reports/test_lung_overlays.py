"""Overlays of the lungs."""

from pathlib import Path

import numpy as np

from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG, CTVolume
from groundglass.phantom.thorax import Truth
from training.reports.lung_overlays import draw_overlay


def test_an_overlay_outlines_right_in_red_and_left_in_blue(tmp_path: Path, phantom: tuple[CTVolume, Truth]) -> None:
    from PIL import Image

    volume, truth = phantom
    draw_overlay(volume, truth.lungs, "phantom", tmp_path / "both.png")
    draw_overlay(volume, np.where(truth.lungs == RIGHT_LUNG, truth.lungs, 0), "phantom", tmp_path / "right.png")

    def coloured(name: str) -> tuple[int, int]:
        pixels = np.asarray(Image.open(tmp_path / name).convert("RGB")).astype(int)
        difference = pixels[..., 0] - pixels[..., 2]
        return int((difference > 100).sum()), int((difference < -100).sum())

    assert (truth.lungs == LEFT_LUNG).any()
    assert min(coloured("both.png")) > 200
    assert coloured("right.png")[0] > 200
    assert coloured("right.png")[1] == 0
