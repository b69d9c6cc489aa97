"""Figures of merit, each by hand."""

import numpy as np
import pytest

from training.reports.metrics import (
    area_under_curve,
    area_with_interval,
    calibration_error,
    class_figures,
    count_answers,
    curve_points,
    figures_of_classes,
    mean_over_classes,
    over_folds,
    reliability,
    t_interval,
)


def samples_of(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted classes, `(sample,)`, whose confusion matrix it is."""
    label, predicted = (np.repeat(axis.ravel(), confusion.ravel()) for axis in np.indices(confusion.shape))
    return label, predicted


def test_each_class_is_scored_against_the_rest() -> None:
    # True 0: five right, three taken for 1. True 1: one taken for 0, four right. True 2: two taken for 1, five right.
    confusion = np.array([[5, 3, 0], [1, 4, 0], [0, 2, 5]])
    figures = class_figures(*samples_of(confusion), 3)
    assert figures[0] == pytest.approx({"ACC": 16 / 20, "PRC": 5 / 6, "SEN": 5 / 8, "SPE": 11 / 12})
    assert figures[1] == pytest.approx({"ACC": 14 / 20, "PRC": 4 / 9, "SEN": 4 / 5, "SPE": 10 / 15})
    assert figures[2] == pytest.approx({"ACC": 18 / 20, "PRC": 1.0, "SEN": 5 / 7, "SPE": 1.0})


def test_a_class_that_is_never_predicted_has_precision_zero_and_an_absent_one_has_none() -> None:
    assert class_figures(*samples_of(np.array([[3, 0], [2, 0]])), 2)[1] == {
        "ACC": 0.6,
        "PRC": 0.0,
        "SEN": 0.0,
        "SPE": 1.0,
    }
    assert class_figures(*samples_of(np.array([[3, 1], [0, 0]])), 2)[1] == {
        "ACC": 0.75,
        "PRC": None,
        "SEN": None,
        "SPE": 0.75,
    }
    assert class_figures(*samples_of(np.array([[3, 1], [0, 0]])), 2)[0] == {
        "ACC": 0.75,
        "PRC": 1.0,
        "SEN": 0.75,
        "SPE": None,
    }
    assert class_figures(*samples_of(np.zeros((2, 2), dtype=int)), 2)[0] == {
        "ACC": None,
        "PRC": None,
        "SEN": None,
        "SPE": None,
    }


def test_the_confusion_matrix_has_the_truth_in_its_rows() -> None:
    found = count_answers(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), 3)
    assert found.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_the_curve_has_a_corner_for_each_score() -> None:
    false_positive, true_positive = curve_points(np.array([0.9, 0.4]), np.array([0.6, 0.1]))
    assert false_positive.tolist() == [0.0, 0.0, 0.5, 0.5, 1.0]
    assert true_positive.tolist() == [0.0, 0.5, 0.5, 1.0, 1.0]


def test_the_area_under_the_corners_is_the_area_under_the_curve_with_ties_too() -> None:
    rng = np.random.default_rng(0)
    positive, negative = rng.integers(2, 9, 40) / 10, rng.integers(0, 7, 30) / 10
    false_positive, true_positive = curve_points(positive, negative)
    assert np.trapezoid(true_positive, false_positive) == pytest.approx(area_under_curve(positive, negative))
    assert len(false_positive) == len(np.unique(np.concatenate([positive, negative]))) + 1


def test_a_curve_needs_both_groups() -> None:
    with pytest.raises(ValueError, match="at least one positive"):
        curve_points(np.array([]), np.array([0.5]))


def test_the_interval_is_student_s() -> None:
    # Mean 0.7, standard deviation 0.1, three values: half width 4.3027 * 0.1 / sqrt(3) = 0.2484.
    assert t_interval([0.6, 0.7, 0.8]) == pytest.approx((0.4516, 0.9484), abs=1e-4)
    assert t_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)


def test_the_interval_stays_between_0_and_1_and_needs_two_values() -> None:
    assert t_interval([0.5, 0.9]) == (0.0, 1.0)
    assert t_interval([0.5]) is None
    assert t_interval([]) is None


def test_the_calibration_error_weighs_each_bin_by_its_count() -> None:
    # Bin [0.6, 0.7): confidence 0.6, accuracy 0.5. Bin [0.9, 1]: confidence 0.95, accuracy 1.
    confidence, correct = np.array([0.6, 0.6, 0.95, 0.95, 0.95, 0.95]), np.array([1, 0, 1, 1, 1, 1], dtype=bool)
    assert calibration_error(confidence, correct) == pytest.approx((2 * 0.1 + 4 * 0.05) / 6)
    mean_confidence, accuracy, count = reliability(confidence, correct)
    assert count.tolist() == [0, 0, 0, 0, 0, 0, 2, 0, 0, 4]
    assert (accuracy[6], accuracy[9]) == (0.5, 1.0)
    assert (mean_confidence[6], mean_confidence[9]) == pytest.approx((0.6, 0.95))
    with pytest.raises(ValueError, match="at least one"):
        calibration_error(confidence[:0], correct[:0])


def test_the_paper_s_table_3_is_the_mean_of_its_table_4() -> None:
    table_4 = [(89.2, 87.9, 88.6, 87.6, 0.923), (84.7, 82.3, 87.5, 83.0, 0.864), (88.3, 92.5, 89.5, 91.3, 0.901)]
    names = ("ACC", "PRC", "SEN", "SPE", "AUC")
    mean = mean_over_classes([dict(zip(names, row, strict=True)) for row in table_4])
    assert mean["ACC"] == pytest.approx(87.4, abs=0.05)
    assert mean["PRC"] == pytest.approx(87.5, abs=0.1)
    assert mean["SEN"] == pytest.approx(88.5, abs=0.05)
    assert mean["AUC"] == pytest.approx(0.895, abs=0.002)


def test_a_mean_over_classes_needs_every_class() -> None:
    figures = figures_of_classes(np.array([0, 0, 1]), np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1]]))
    assert [one["AUC"] for one in figures] == [1.0, 1.0, None]
    mean = mean_over_classes(figures)
    assert mean == {
        "ACC": pytest.approx((2 / 3 + 2 / 3 + 1) / 3),
        "PRC": None,
        "SEN": None,
        "SPE": 2.5 / 3,
        "AUC": None,
    }


def test_folds_without_a_figure_are_left_out_of_its_mean() -> None:
    figures: dict[str, float | None] = {"ACC": 0.5, "PRC": 0.5, "SEN": 0.5, "SPE": 0.5, "AUC": 0.6}
    found = over_folds([figures, {**figures, "AUC": 0.8}, {**figures, "AUC": None}])["AUC"]
    assert found["mean"] == pytest.approx(0.7)
    assert found["interval"] == t_interval([0.6, 0.8])
    assert found["folds"] == [0.6, 0.8, None]


@pytest.mark.parametrize(
    ("positive", "negative", "area"),
    [([3, 4], [1, 2], 1.0), ([1, 2], [3, 4], 0.0), ([1, 3], [2, 4], 0.25), ([1], [1], 0.5)],
)
def test_area_under_the_curve_is_the_chance_to_rank_rightly(positive: list, negative: list, area: float) -> None:
    assert area_under_curve(np.array(positive, float), np.array(negative, float)) == pytest.approx(area)


def test_an_empty_group_has_no_curve() -> None:
    with pytest.raises(ValueError, match="at least one"):
        area_under_curve(np.array([]), np.array([1.0]))


def test_the_bootstrap_of_an_area_draws_each_group_for_itself() -> None:
    positive, negative = np.array([0.9, 0.4, 0.5]), np.array([0.1, 0.4, 0.6, 0.2])
    found = area_with_interval(positive, negative, repeats=4000, seed=0)
    assert found["value"] == area_under_curve(positive, negative)
    rng = np.random.default_rng(1)
    drawn = [area_under_curve(rng.choice(positive, 3), rng.choice(negative, 4)) for _ in range(4000)]
    assert found["interval"] == pytest.approx(np.percentile(drawn, (2.5, 97.5)), abs=0.05)
    assert area_with_interval(positive, negative - 1, 100, 0)["interval"] == [1.0, 1.0]
