"""Samples for the lung network keep their mask, repeat, and stay in range."""

import numpy as np
import pytest

from training.data.lung_images import LungImages
from training.data.lung_samples import draw_sample, lung_samples
from training.data.normalisation import NORMALISATIONS


def test_a_lung_sample_keeps_its_mask_where_disease_is_painted(sources: dict[str, list[LungImages]]) -> None:
    filled = []
    for seed in range(12):
        planes, mask = draw_sample(sources, 3, NORMALISATIONS["sliding"], np.random.default_rng(seed))
        assert planes.shape == (3, *mask.shape)
        assert planes.dtype == mask.dtype == np.float32
        if mask.sum() > 500:
            filled.append(planes[1][mask > 0].max())
    assert filled
    assert max(filled) > 0.8  # something dense lies where the mask still says lung


def test_a_sample_depends_on_seed_iteration_and_number_alone(sources: dict[str, list[LungImages]]) -> None:
    draw = lung_samples(sources, 3, NORMALISATIONS["sliding"], seed=1)
    first = draw(5, 2)
    draw(0, 0)
    again = lung_samples(sources, 3, NORMALISATIONS["sliding"], seed=1)(5, 2)
    assert np.array_equal(first[0], again[0])
    assert not np.array_equal(first[0], draw(5, 3)[0])


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_every_normalisation_draws_samples_of_every_source(name: str, sources: dict[str, list[LungImages]]) -> None:
    draw = lung_samples(sources, 3, NORMALISATIONS[name], seed=0)
    for n in range(6):
        planes, _ = draw(0, n)
        assert 0 <= planes.min() < planes.max() <= 1
