"""Figures of merit, each from plain arrays."""

import numpy as np
from scipy.stats import rankdata


def area_under_curve(positive: np.ndarray, negative: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a positive scores higher than a negative, ties counting half.

    Raises:
        ValueError: one of the two groups is empty.
    """
    if not len(positive) or not len(negative):
        raise ValueError("An ROC curve needs at least one positive and one negative score.")
    ranks = rankdata(np.concatenate([positive, negative]))
    count = len(positive)
    return float((ranks[:count].sum() - count * (count + 1) / 2) / (count * len(negative)))
