"""The classifier's report: folds from predictions."""

from dataclasses import replace

import numpy as np

from tests.training.made_up import predictions
from training.reports.classifier import patients_of_folds

SLICES = 10


def test_the_folds_are_those_of_the_run_and_not_dealt_anew() -> None:
    names = np.repeat(["healthy", "lobar", "viral"], SLICES)
    found = replace(predictions("shipped", folds=1, slices=SLICES), patient=names, fold=np.repeat([1, 0, 1], SLICES))
    assert patients_of_folds(found) == [("lobar",), ("healthy", "viral")]
