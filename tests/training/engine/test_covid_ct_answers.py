"""Two rows of the COVID-CT benchmark that answer together."""

import numpy as np
import pytest
from scipy.special import expit

from training.engine.covid_ct_answers import Answers, join


def test_rows_count_alike_however_far_their_answers_lie_apart() -> None:
    timid = Answers(expit(np.array([-0.1, 0.1])), {"val": expit(np.array([0.2, -0.1]))})
    bold = Answers(expit(np.array([-4.0, 4.0])), {"val": expit(np.array([-4.0, -4.0]))})
    both = join([timid, bold])
    assert both.of_train.tolist() == pytest.approx(expit(np.array([-1.0, 1.0])))
    assert both.of_asked["val"].tolist() == pytest.approx(expit(np.array([0.5, -1.0])))


def test_a_row_that_says_the_same_of_all_leaves_the_word_to_the_other() -> None:
    nothing = Answers(np.full(2, 0.5), {"val": np.full(3, 0.5)})
    something = Answers(np.array([0.2, 0.7]), {"val": np.array([0.1, 0.6, 0.9])})
    found = join([nothing, something]).of_asked["val"]
    assert np.array_equal(np.argsort(found), [0, 1, 2])
    assert ((found > 0.5) == (something.of_asked["val"] > 0.5)).all()
