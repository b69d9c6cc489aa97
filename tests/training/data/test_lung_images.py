"""Thresholds, consolidated planes, and lungs of a chest that has none."""

import numpy as np
import torch

from groundglass.method.lung_network import LungUNet
from training.data.lung_images import LungImages, consolidated_planes, threshold_images
from training.data.normalisation import NORMALISATIONS
from training.data.segmentation import find_lungs
from training.data.thresholding import threshold_lungs
from training.reports.lung_figures import dice_score


def test_the_threshold_finds_healthy_lungs_in_hu_and_in_8_bit(chest: LungImages, chest_8_bit: LungImages) -> None:
    assert dice_score(threshold_lungs(chest.image, chest.spacing_mm), chest.lung) > 0.93
    assert dice_score(threshold_images(chest_8_bit), chest.lung) > 0.9


def test_planes_with_enough_dense_lesion_are_consolidated() -> None:
    lung = np.ones((3, 10, 10), dtype=bool)
    hu = np.full(lung.shape, -800, dtype=np.int16)
    lesion = np.zeros_like(lung)
    hu[0, :2], lesion[0, :2] = 0, True  # a fifth of the lung, dense
    hu[1, :1], lesion[1, :1] = 0, True  # a tenth: not more than a tenth
    hu[2, :5], lesion[2, :5] = -600, True  # half of it, ground glass
    assert consolidated_planes(LungImages(hu, lung, (1.0, 1.0, 1.0)), lesion).tolist() == [True, False, False]


def test_a_volume_with_no_lungs_scores_as_nothing_found(tiny: LungImages) -> None:
    network = LungUNet().eval()
    torch.nn.init.constant_(network.head.bias, -50.0)
    assert not find_lungs(network, NORMALISATIONS["fixed"], tiny, ("axial", "coronal")).any()
