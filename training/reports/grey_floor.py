"""The floor beside a network's figures: what a linear model makes of a slice's grey values alone.

Where pictures of two classes come from different scanners, this floor is high, and a network that is not far above it
may have learned the scanner.
"""

import numpy as np
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from training.data.slices import SliceSet

PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)


def grey_statistics(slices: SliceSet) -> np.ndarray:
    """Percentiles of the grey values in the square around the lungs, mean, spread and sharpness, `(slice, 12)`.

    Sharpness is the mean absolute value of the Laplacian.
    """
    rows = []
    for number in range(len(slices.hu)):
        image = slices.image(number, masked=False)
        sharpness = np.abs(ndimage.laplace(image)).mean()
        rows.append([*np.percentile(image, PERCENTILES), image.mean(), image.std(), sharpness])
    return np.array(rows)


def linear_scores(statistics: np.ndarray, positive: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Probability of the positive class by logistic regression, of each fold by the others, `(slice,)`.

    Args:
        statistics: `(slice, feature)`.
        positive: bool `(slice,)`.
        fold: that tests each slice, `(slice,)`.
    """
    scores = np.empty(len(fold))
    for number in np.unique(fold):
        tested = fold == number
        model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
        model.fit(statistics[~tested], positive[~tested])
        scores[tested] = model.predict_proba(statistics[tested])[:, 1]
    return scores
