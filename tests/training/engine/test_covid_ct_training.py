"""Samples of the COVID-CT benchmark's plain row."""

import numpy as np

from groundglass.method.classifier_network import INPUT_SIZE
from training.data.augmentation import augment_strongly
from training.engine.covid_ct_training import make_draw


def test_draws_repeat_and_take_classes_in_turn() -> None:
    images = [np.full((INPUT_SIZE, INPUT_SIZE), 0.2 * number, dtype=np.float32) for number in range(4)]
    draw = make_draw(images, np.array([0, 0, 1, 1]), augment_strongly, seed=3)
    first, label = draw(2, 1)
    again, _ = draw(2, 1)
    assert np.array_equal(first, again)
    assert label == 1
    assert first.shape == (1, INPUT_SIZE, INPUT_SIZE)
