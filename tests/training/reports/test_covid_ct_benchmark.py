"""The COVID-CT benchmark's figures of a known table."""

import numpy as np
import pytest

from training.reports.covid_ct_benchmark import figures_of, score


def test_figures_of_a_known_table() -> None:
    figures = figures_of(np.array([0, 0, 1, 1]), np.array([0.1, 0.7, 0.6, 0.9]))
    assert figures == {"ACC": 0.75, "F1": pytest.approx(0.8), "AUC": 0.75}
    scored = score(np.array([0, 0, 1, 1]), np.array([0.1, 0.7, 0.6, 0.9]), repeats=50, seed=0)
    low, high = scored["figures"]["AUC"]["interval"]
    assert low <= 0.75 <= high
