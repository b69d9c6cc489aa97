"""Samples for the classifier: classes in turn, painted and augmented."""

import numpy as np

from groundglass.method.classifier_network import INPUT_SIZE
from training.data.drawing import draw_painted, painted_draw
from training.data.slices import SliceSet


def test_the_classes_asked_for_are_drawn_in_turn_and_alike_every_time(slices: SliceSet) -> None:
    draw = painted_draw(slices, 0, (1, 2))
    samples = [draw(0, n) for n in range(8)]
    assert [label for _, label in samples] == [0, 1] * 4  # positions among the labels that were asked for
    assert all(image.shape == (1, INPUT_SIZE, INPUT_SIZE) for image, _ in samples)
    assert np.array_equal(draw(0, 3)[0], samples[3][0])


def test_painting_gives_every_class(slices: SliceSet) -> None:
    labels = set()
    for seed in range(30):
        image, label = draw_painted(slices, seed % 8, seed % 3, np.random.default_rng(seed))
        assert image.shape == (INPUT_SIZE, INPUT_SIZE)
        assert image.min() >= 0
        assert image.max() <= 1
        labels.add(label)
    assert labels == {0, 1, 2}
