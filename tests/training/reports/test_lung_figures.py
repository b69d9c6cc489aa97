"""Figures of the lungs, on tiny made-up inputs."""

import numpy as np
import pytest

from groundglass.method.lung_network import LungUNet
from training.data.lung_images import LungImages
from training.data.normalisation import NORMALISATIONS
from training.data.scored_lungs import ScoredSet
from training.reports.lung_figures import hausdorff_95_mm, mean_over_patients, score_held_out, score_masks


def test_the_hausdorff_distance_is_in_millimetres_along_each_axis() -> None:
    true = np.zeros((12, 20, 20), dtype=bool)
    true[2:6, 5:15, 5:15] = True
    assert hausdorff_95_mm(true, true, (8.0, 1.5, 1.5)) == 0
    assert hausdorff_95_mm(np.roll(true, 2, 0), true, (8.0, 1.5, 1.5)) == pytest.approx(16.0)
    assert hausdorff_95_mm(np.roll(true, 2, 1)[3:4], true[3:4], (8.0, 1.5, 1.5)) == pytest.approx(3.0)
    assert hausdorff_95_mm(np.zeros_like(true), true, (1.0, 1.0, 1.0)) is None


def test_the_mean_has_an_interval_from_two_patients_on() -> None:
    figures = mean_over_patients([0.9, 0.8, None, 1.0])
    assert figures["patients"] == 3
    assert figures["without_value"] == 1
    assert figures["mean"] == pytest.approx(0.9)
    assert 0.8 <= figures["interval"][0] < 0.9 < figures["interval"][1] <= 1.0
    assert figures == mean_over_patients([0.9, 0.8, None, 1.0])
    assert mean_over_patients([0.7])["interval"] is None
    assert mean_over_patients([None])["mean"] is None


def test_consolidated_slices_are_scored_apart_from_the_others() -> None:
    lung = np.zeros((2, 8, 8), dtype=bool)
    lung[:, 2:6, 2:6] = True
    found = lung.copy()
    found[1, 2:4] = False  # half of the consolidated slice is missed
    image = np.zeros(lung.shape, dtype=np.int16)
    patient = LungImages(image, lung, (1.0, 1.0, 1.0))
    scored = ScoredSet("made up", (patient, patient), (np.array([False, True]), np.zeros(2, dtype=bool)))
    figures = score_masks([found, lung], scored)
    assert figures["dice_consolidated"]["mean"] == pytest.approx(2 / 3)
    assert figures["dice_consolidated"]["patients"] == figures["dice_consolidated"]["slices"] == 1
    assert figures["dice"]["mean"] == pytest.approx((2 * 24 / 56 + 1) / 2)


def test_the_report_of_a_training_names_patients_mean_and_worst(chest: LungImages, chest_8_bit: LungImages) -> None:
    middle = slice(11, 13)
    held_out = {
        "lung_slices": [LungImages(chest.image[middle], chest.lung[middle], chest.spacing_mm)],
        "lesion_masks": [LungImages(chest_8_bit.image[middle], chest.lung[middle], chest.spacing_mm)],
    }
    report = score_held_out(LungUNet().eval(), held_out, NORMALISATIONS["sliding"])
    assert report["patients"] == 2
    each = [item["mean"] for item in report["held_out_dice"].values()]
    assert report["mean_dice"] == pytest.approx(np.mean(each))
    assert all(item["worst"] <= item["mean"] for item in report["held_out_dice"].values())
