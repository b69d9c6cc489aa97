"""The linear floor: what it sees, and that a fold never trains on itself."""

import numpy as np

from tests.training.made_up import make_slices
from training.reports.grey_floor import PERCENTILES, grey_statistics, linear_scores


def test_the_statistics_are_of_grey_values_and_sharpness() -> None:
    slices = make_slices(2, 0)
    slices.hu[0] = 360  # the upper end of the window: 1 everywhere
    slices.hu[1, ::2] = -1040
    slices.hu[1, 1::2] = 360
    flat, striped = grey_statistics(slices)
    assert flat.tolist() == [1.0] * len(PERCENTILES) + [1.0, 0.0, 0.0]
    assert striped[PERCENTILES.index(5)] == 0.0
    assert striped[-1] > 1


def test_a_fold_is_scored_by_the_others() -> None:
    """The rule is the opposite in each fold: who trains on the fold itself gets it right, the other one wrong."""
    value = np.tile([0.0, 1.0], 20)
    fold = np.repeat([0, 1], 20)
    positive = (value == 1) == (fold == 0)
    scores = linear_scores(value[:, None], positive, fold)
    assert ((scores > 0.5) == ~positive).all()
