"""Augmented images stay in range, and differ by what they should."""

import numpy as np
import pytest

from groundglass.method.classifier_network import INPUT_SIZE
from training.data.augmentation import augment_as_paper, augment_strongly
from training.data.patients import TrainingSet


@pytest.mark.parametrize("augment", [augment_as_paper, augment_strongly])
def test_augmented_images_stay_in_range(augment) -> None:  # type: ignore[no-untyped-def]
    image = np.random.default_rng(1).random((INPUT_SIZE, INPUT_SIZE), dtype=np.float32)
    for seed in range(10):
        result = augment(image, np.random.default_rng(seed))
        assert result.dtype == np.float32
        assert 0 <= result.min() <= result.max() <= 1


def test_without_contrast_augmentation_only_the_contrast_differs(training_set: TrainingSet) -> None:
    """II-G.3, and the row NCA of the tables."""
    image = training_set.patients[0].slices.image(0, masked=True)
    with_contrast, without = (augment_as_paper(image, np.random.default_rng(3), contrast) for contrast in (True, False))
    lit = (without > 0.05) & (with_contrast < 1)
    ratio = with_contrast[lit] / without[lit]
    assert np.ptp(ratio) < 1e-3
    assert 0.5 <= ratio.mean() <= 1.5
    assert abs(ratio.mean() - 1) > 0.01
