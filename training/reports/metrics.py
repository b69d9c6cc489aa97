"""Figures of merit from plain arrays: scikit-learn's, and what it lacks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import t
from sklearn.metrics import (
    confusion_matrix,
    multilabel_confusion_matrix,
    precision_recall_fscore_support,
    recall_score,
    roc_auc_score,
    roc_curve,
)

FIGURES = ("ACC", "PRC", "SEN", "SPE", "AUC")
"""II-H: accuracy, precision, sensitivity, specificity, area under the ROC curve; each from 0 to 1."""
FEWEST_PATIENTS = 6
"""For an interval by bootstrap: one of fewer gives little but the least and the greatest of them."""


def area_under_curve(positive: np.ndarray, negative: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a positive scores higher than a negative, ties counting half.

    Raises:
        ValueError: one of the two groups is empty.
    """
    return float(roc_auc_score(*_two_groups(positive, negative)))


def area_with_interval(positive: np.ndarray, negative: np.ndarray, repeats: int, seed: int) -> dict[str, Any]:
    """`value`, the area under the curve, and its 95 % `interval` by bootstrap, both groups drawn for themselves.

    Args:
        positive, negative: scores, one a patient.
        repeats: bootstrap draws.
        seed: the same seed gives the same interval.
    """
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    rng = np.random.default_rng(seed)
    drawn = [rng.multinomial(size, np.full(size, 1 / size), repeats) / size for size in wins.shape]
    areas = np.einsum("rp,pn,rn->r", drawn[0], wins, drawn[1], optimize=True)
    interval = [float(end) for end in np.percentile(areas, (2.5, 97.5))]
    return {"value": area_under_curve(positive, negative), "interval": interval}


def curve_points(positive: np.ndarray, negative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ROC curve's corners: false positive rate and true positive rate, from (0, 0) to (1, 1).

    Equal scores share one corner, so that the area under the straight lines between corners is `area_under_curve`.

    Raises:
        ValueError: one of the two groups is empty.
    """
    false_positive, true_positive, _ = roc_curve(*_two_groups(positive, negative), drop_intermediate=False)
    return false_positive, true_positive


def _two_groups(positive: np.ndarray, negative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether each score is a positive's, and the scores."""
    if not len(positive) or not len(negative):
        raise ValueError("An ROC curve needs at least one positive and one negative score.")
    return np.arange(len(positive) + len(negative)) < len(positive), np.concatenate([positive, negative])


def count_answers(label: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """The confusion matrix: counts, `(true class, predicted class)`; zeros where there is nothing to count."""
    if not len(label):
        return np.zeros((classes, classes), dtype=int)
    return np.asarray(confusion_matrix(label, predicted, labels=range(classes)))


def class_figures(label: np.ndarray, predicted: np.ndarray, classes: int) -> list[dict[str, float | None]]:
    """ACC, PRC, SEN and SPE of each class against the rest.

    Args:
        label, predicted: true and predicted classes, `(sample,)`.
        classes: their number.

    Returns:
        None for a figure that has no meaning: PRC and SEN where the class is absent, SPE where the rest is, ACC where
        nothing was counted. PRC is 0 where the class is there and never predicted.
    """
    if not len(label):
        return [dict.fromkeys(("ACC", "PRC", "SEN", "SPE")) for _ in range(classes)]
    order = list(range(classes))
    precision, sensitivity, _, present = precision_recall_fscore_support(
        label, predicted, labels=order, zero_division=0
    )
    against_rest = multilabel_confusion_matrix(label, predicted, labels=order)
    return [
        {
            "ACC": float(counts.trace() / len(label)),
            "PRC": float(precision[index]) if present[index] else None,
            "SEN": float(sensitivity[index]) if present[index] else None,
            "SPE": float(counts[0, 0] / counts[0].sum()) if present[index] < len(label) else None,
        }
        for index, counts in enumerate(against_rest)
    ]


def balanced_accuracy(truth: np.ndarray, answer: np.ndarray) -> float:
    """Mean sensitivity of the classes that `truth` has, whatever else was answered."""
    return float(recall_score(truth, answer, labels=np.unique(truth), average="macro"))


def t_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """Confidence interval of the mean of figures from 0 to 1, clipped to that range.

    By Student's t with one degree of freedom less than there are values; None for fewer than two.
    """
    if len(values) < 2:
        return None
    mean = float(np.mean(values))
    half = float(t.ppf(0.5 + level / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return max(mean - half, 0.0), min(mean + half, 1.0)


def figures_of_classes(label: np.ndarray, probabilities: np.ndarray) -> list[dict[str, float | None]]:
    """The five figures of each class against the rest; None where one has no meaning (see `class_figures`).

    Args:
        label: true classes, `(sample,)`.
        probabilities: `(sample, class)`; the most probable class is the predicted one.
    """
    figures = class_figures(label, probabilities.argmax(axis=1), probabilities.shape[1])
    for index, of_class in enumerate(figures):
        is_class, scores = label == index, probabilities[:, index]
        both = is_class.any() and not is_class.all()
        of_class["AUC"] = area_under_curve(scores[is_class], scores[~is_class]) if both else None
    return figures


def mean_over_classes(figures: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    """The mean of each figure over the classes; None where a class has none."""
    known = {name: [value for one in figures if (value := one[name]) is not None] for name in FIGURES}
    return {name: float(np.mean(values)) if len(values) == len(figures) else None for name, values in known.items()}


def over_folds(by_fold: Sequence[dict[str, float | None]]) -> dict[str, dict[str, Any]]:
    """`mean`, `interval` and the values of all `folds` of each figure; folds without the figure are left out."""
    summary = {}
    for name in FIGURES:
        values = [figures[name] for figures in by_fold]
        known = [value for value in values if value is not None]
        mean = float(np.mean(known)) if known else None
        summary[name] = {"mean": mean, "interval": t_interval(known), "folds": values}
    return summary


def reliability(
    confidence: np.ndarray, correct: np.ndarray, bins: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean confidence, accuracy and count in equal bins of confidence from 0 to 1, each with its lower end.

    Args:
        confidence: probability of the predicted class.
        correct: whether the prediction was right.
        bins: number of bins.

    Returns:
        Three arrays `(bin,)`; mean confidence and accuracy of an empty bin are 0.
    """
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(number, minlength=bins)
    sums = [np.bincount(number, values, minlength=bins) for values in (confidence, np.asarray(correct, dtype=float))]
    mean_confidence, accuracy = (total / np.maximum(count, 1) for total in sums)
    return mean_confidence, accuracy, count


def calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error: mean distance of confidence and accuracy in `reliability`'s bins, by count.

    Raises:
        ValueError: there is no prediction.
    """
    if not len(confidence):
        raise ValueError("A calibration error needs at least one prediction.")
    mean_confidence, accuracy, count = reliability(confidence, correct, bins)
    return float((np.abs(mean_confidence - accuracy) * count).sum() / count.sum())
