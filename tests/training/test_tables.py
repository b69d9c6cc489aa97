"""The paper's tables: each figure by hand, and what is said where a fold can't give one."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groundglass.domain.class_names import CLASSES
from groundglass.method.slice_classification import StudyRule
from training.metrics import (
    area_under_curve,
    calibration_error,
    class_figures,
    confusion_matrix,
    curve_points,
    figures_of_classes,
    mean_over_classes,
    over_folds,
    reliability,
    t_interval,
)
from training.predictions import Predictions
from training.tables import UnusablePredictions, as_markdown, main, patient_probabilities, plot, score

# Metrics


def test_each_class_is_scored_against_the_rest() -> None:
    # True 0: five right, three taken for 1. True 1: one taken for 0, four right. True 2: two taken for 1, five right.
    confusion = np.array([[5, 3, 0], [1, 4, 0], [0, 2, 5]])
    assert class_figures(confusion, 0) == pytest.approx({"ACC": 16 / 20, "PRC": 5 / 6, "SEN": 5 / 8, "SPE": 11 / 12})
    assert class_figures(confusion, 1) == pytest.approx({"ACC": 14 / 20, "PRC": 4 / 9, "SEN": 4 / 5, "SPE": 10 / 15})
    assert class_figures(confusion, 2) == pytest.approx({"ACC": 18 / 20, "PRC": 1.0, "SEN": 5 / 7, "SPE": 1.0})


def test_a_class_that_is_never_predicted_has_precision_zero_and_an_absent_one_has_none() -> None:
    assert class_figures(np.array([[3, 0], [2, 0]]), 1) == {"ACC": 0.6, "PRC": 0.0, "SEN": 0.0, "SPE": 1.0}
    assert class_figures(np.array([[3, 1], [0, 0]]), 1) == {"ACC": 0.75, "PRC": None, "SEN": None, "SPE": 0.75}
    assert class_figures(np.array([[3, 1], [0, 0]]), 0) == {"ACC": 0.75, "PRC": 1.0, "SEN": 0.75, "SPE": None}
    assert class_figures(np.zeros((2, 2), dtype=int), 0) == {"ACC": None, "PRC": None, "SEN": None, "SPE": None}


def test_the_confusion_matrix_has_the_truth_in_its_rows() -> None:
    found = confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0]), 3)
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


# Tables


def predictions(
    row: str = "joint", task: tuple[str, ...] = CLASSES, folds: int = 2, slices: int = 12, skill: float = 1.2
) -> Predictions:
    """One patient of each class in each fold; the first third of a diseased patient's slices is not counted."""
    rng = np.random.default_rng([len(row), len(task), folds])
    patients = [(fold, label) for fold in range(folds) for label in range(len(task))]
    label = np.repeat([label for _, label in patients], slices)
    index = np.tile(np.arange(slices), len(patients))
    counted = (label == 0) | (index >= slices // 3) if task[0] == "np" else np.ones(len(label), dtype=bool)
    scores = rng.normal(size=(len(label), len(task)))
    scores[np.arange(len(label)), label] += skill * counted
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    fold = np.repeat([fold for fold, _ in patients], slices)
    patient = np.repeat([f"patient {number}" for number in range(len(patients))], slices)
    return Predictions(row, task, fold, patient, index, label, probabilities, counted)


def certain(task: tuple[str, ...], fold: list[int], label: list[int], predicted: list[int]) -> Predictions:
    """One counted slice and one patient an entry, with probability 0.8 for the predicted class."""
    rest = 0.2 / (len(task) - 1)
    probabilities = np.full((len(label), len(task)), rest)
    probabilities[np.arange(len(label)), predicted] = 0.8
    names = np.array([f"patient {number}" for number in range(len(label))])
    zeros, all_counted = np.zeros(len(label), dtype=int), np.ones(len(label), dtype=bool)
    return Predictions("joint", task, np.array(fold), names, zeros, np.array(label), probabilities, all_counted)


def test_the_overall_figures_are_means_over_classes_in_each_fold_then_over_folds() -> None:
    # Fold 0: all right. Fold 1: the CAP slice is taken for COVID-19.
    one = certain(CLASSES, [0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2], [0, 1, 2, 0, 2, 2])
    found = score([one], "f", "s")["entries"][0]["slice"]
    overall = found["overall"]
    assert overall["ACC"]["folds"] == pytest.approx([1.0, (1 + 2 / 3 + 2 / 3) / 3])
    assert overall["PRC"]["folds"] == pytest.approx([1.0, (1 + 0 + 1 / 2) / 3])
    assert overall["SEN"]["folds"] == pytest.approx([1.0, 2 / 3])
    assert overall["SPE"]["folds"] == pytest.approx([1.0, (1 + 1 + 1 / 2) / 3])
    # NP 1; CAP ties with NP and COVID-19 at 0.1: 1/2; COVID-19 ties with CAP and beats NP: 3/4.
    assert overall["AUC"]["folds"] == pytest.approx([1.0, (1 + 1 / 2 + 3 / 4) / 3])
    assert overall["SEN"]["mean"] == pytest.approx(5 / 6)
    assert found["classes"]["cap"]["SEN"]["folds"] == [1.0, 0.0]
    assert found["pooled_accuracy"] == pytest.approx(5 / 6)
    assert found["confusion"] == [[2, 0, 0], [0, 1, 1], [0, 0, 2]]


def test_the_second_class_of_a_binary_task_is_the_positive_one() -> None:
    one = certain(("np", "cap"), [0] * 5, [0, 0, 0, 1, 1], [0, 0, 1, 1, 1])
    overall = score([one], "f", "s")["entries"][0]["slice"]["overall"]
    means = {name: overall[name]["mean"] for name in overall}
    assert means == pytest.approx({"ACC": 4 / 5, "PRC": 2 / 3, "SEN": 1.0, "SPE": 2 / 3, "AUC": 5 / 6})
    assert {overall[name]["interval"] for name in overall} == {None}


def test_only_counted_slices_make_slice_figures() -> None:
    one = certain(("np", "cap"), [0] * 4, [0, 0, 1, 1], [0, 0, 1, 0])
    entry = score([replace(one, counted=np.array([True, True, True, False]))], "f", "s")["entries"][0]
    assert entry["slice"]["pooled_accuracy"] == 1.0
    assert entry["patient"]["pooled_accuracy"] == 0.75
    assert (entry["slices"], entry["counted_slices"], entry["patients"]) == (4, 3, {"np": 2, "cap": 2})


def test_a_fold_that_lacks_a_class_is_left_out_and_named() -> None:
    one = certain(CLASSES, [0, 0, 0, 1, 1], [0, 1, 2, 0, 1], [0, 1, 2, 0, 1])
    report = score([one], "f", "s")
    found = report["entries"][0]["slice"]
    assert found["classes"]["covid19"]["AUC"]["folds"] == [1.0, None]
    assert found["overall"]["AUC"]["folds"] == [1.0, None]
    assert found["classes"]["np"]["AUC"]["folds"] == [1.0, 1.0]
    assert "fold 2 has no slice of COVID-19 to score (NP/CAP/COVID-19)" in as_markdown(report)
    json.dumps(report, allow_nan=False)


def test_a_fold_with_no_counted_slice_gives_no_figure_and_no_error() -> None:
    one = certain(("np", "cap"), [0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 0, 1])
    found = score([replace(one, counted=one.fold == 0)], "f", "s")["entries"][0]["slice"]["overall"]
    assert found["ACC"]["folds"] == [1.0, None]
    report = score([replace(one, counted=np.zeros(4, dtype=bool))], "f", "s")
    assert "| – | – | – | – | – | – | 4 | 0 |" in as_markdown(report)


def test_a_patient_of_the_three_way_task_is_judged_by_the_study_rule() -> None:
    rows = np.array([[0.9, 0.05, 0.05], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7], [0.3, 0.6, 0.1]])
    found = patient_probabilities(rows, CLASSES, StudyRule(top_part=0.1, minimum_slices=3))
    assert found == pytest.approx([0.2, 0.5, 0.3])


def test_a_patient_of_a_task_with_np_is_judged_by_the_most_diseased_slices() -> None:
    rows = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.95, 0.05]])
    found = patient_probabilities(rows, ("np", "cap"), StudyRule(top_part=0.5, minimum_slices=1))
    assert found == pytest.approx([0.3, 0.7])


def test_a_patient_between_cap_and_covid19_is_judged_by_the_most_decided_slices() -> None:
    rows = np.array([[0.9, 0.1], [0.45, 0.55], [0.3, 0.7], [0.5, 0.5]])
    found = patient_probabilities(rows, ("cap", "covid19"), StudyRule(top_part=0.5, minimum_slices=1))
    assert found == pytest.approx([0.6, 0.4])


def test_the_tables_have_the_paper_s_order_and_say_what_they_rest_on() -> None:
    rows = ("nts_net", "nca", "joint", "conv5", "conv4", "conv3")
    pairs = [("cap", "covid19"), ("np", "cap"), ("np", "covid19")]
    report = score(
        [*(predictions(row) for row in rows), *(predictions(task=pair) for pair in pairs)], "0123abcd", "Six patients."
    )
    text = as_markdown(report)
    three_way, binary = text.split("\n\n")[1], text.split("\n\n")[3]
    assert [line.split(" | ")[0].strip("| ") for line in three_way.splitlines()[2:]] == [
        "Conv3 auxiliary classifier",
        "Conv4 auxiliary classifier",
        "Conv5 auxiliary classifier",
        "Joint classifier",
        "Joint classifier (NCA)",
        "NTS-Net",
    ]
    assert [line.split(" | ")[1] for line in binary.splitlines()[2:]] == ["NP/COVID-19", "NP/CAP", "CAP/COVID-19"]
    captions = [part for part in text.split("\n\n") if part.startswith("**Table")]
    assert len(captions) == 6
    for caption in captions:
        assert "95 % interval" in caption
        assert "4 patients" in caption or "6 patients" in caption
        assert "2 folds by patient" in caption
        assert "Data: Six patients. Fingerprint `0123abcd`." in caption
    widths = {line.count("|") for line in three_way.splitlines()}
    assert widths == {11}


def test_unusable_predictions_are_refused() -> None:
    one = predictions()
    diverged = np.where(one.label[:, None] == 1, np.nan, one.probabilities)
    with pytest.raises(UnusablePredictions, match="no predictions"):
        score([], "f", "s")
    with pytest.raises(UnusablePredictions, match="train this row again"):
        score([replace(one, probabilities=diverged)], "f", "s")
    with pytest.raises(UnusablePredictions, match="train this row again"):
        score([replace(one, label=one.label + 1)], "f", "s")


@pytest.mark.slow
def test_pictures_are_drawn_for_each_task_and_for_the_joint_classifier(tmp_path: Path) -> None:
    files = plot([predictions(), predictions("conv3"), predictions(task=("np", "cap"))], tmp_path)
    assert sorted(file.name for file in files) == [
        "confusion.joint.np-cap-covid19.png",
        "confusion.joint.np-cap.png",
        "roc.np-cap-covid19.png",
        "roc.np-cap.png",
    ]
    for file in files:
        with Image.open(file) as picture:
            assert min(picture.size) > 500
            assert np.asarray(picture.convert("L")).std() > 10


def test_the_command_writes_and_prints_the_tables_of_the_prediction_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = tmp_path / "run", tmp_path / "tables"
    predictions(task=("np", "cap")).save(run / "predictions" / "joint.np-cap.npz")
    record = {"fingerprint": "0123abcd", "source": "Phantoms."}
    (run / "cross_validation.json").write_text(json.dumps(record), encoding="utf-8")
    assert main(["--run", str(run), "--out", str(out)]) == 0
    report = json.loads((out / "tables.json").read_text(encoding="utf-8"))
    assert report == json.loads(json.dumps(score([predictions(task=("np", "cap"))], **record)))
    assert (out / "tables.md").read_text(encoding="utf-8") == as_markdown(report)
    assert as_markdown(report) in capsys.readouterr().out
    assert (out / "roc.np-cap.png").is_file()


def test_the_command_says_where_it_looked_for_predictions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--run", str(tmp_path)])
    assert ended.value.code == 2
    assert f"no prediction file (*.npz) in {tmp_path / 'predictions'}" in capsys.readouterr().err
