"""Figures of external slices: of a known table, of missing classes, of patients."""

from pathlib import Path

import numpy as np
import pytest

from groundglass.presets import SHIPPED
from tests.training.made_up import put
from training.data.external_images import list_images
from training.reports.external import as_markdown, figures_of, score, score_level


def test_figures_of_a_known_table() -> None:
    label = np.array([0, 0, 1, 1, 2, 2])
    answer = np.array([0, 1, 1, 1, 2, 0])
    figures = figures_of(label, np.eye(3)[answer] * 0.8 + 0.2 / 3)
    assert figures["accuracy"] == pytest.approx(4 / 6)
    assert figures["np/SEN"] == pytest.approx(0.5)
    assert figures["np/PRC"] == pytest.approx(0.5)
    assert figures["np/SPE"] == pytest.approx(0.75)
    assert figures["cap/PRC"] == pytest.approx(2 / 3)
    assert figures["macro_f1"] == pytest.approx((0.5 + 0.8 + 2 / 3) / 3)
    assert figures["auc_diseased"] == pytest.approx(0.625)


def test_a_missing_class_leaves_its_figures_open(tmp_path: Path) -> None:
    for name in ("covid-19", "pneumonia"):
        for number in range(3):
            put(tmp_path / name / f"x_{number}_1_1.png")
    images = list_images(tmp_path)
    probabilities = np.tile([0.2, 0.3, 0.5], (6, 1))
    lungs_found = np.ones(6, dtype=bool)
    report = score(images, probabilities, lungs_found, SHIPPED.classification.study_rule, repeats=10, seed=0)
    assert report == score(images, probabilities, lungs_found, SHIPPED.classification.study_rule, repeats=10, seed=0)
    report["fingerprint"] = "f"
    assert report["slice"]["figures"]["np/SEN"]["value"] is None
    assert report["slice"]["figures"]["auc_diseased"]["value"] is None
    assert "| NP | 0 | – | – |" in as_markdown(report)


def test_there_is_no_interval_where_a_class_has_few_patients() -> None:
    patient = np.repeat(np.arange(17), 3)
    label = np.repeat([0] * 6 + [1] * 6 + [2] * 5, 3)
    probabilities = np.random.default_rng(0).dirichlet([1, 1, 1], len(label))
    figures = score_level(label, probabilities, patient, repeats=20, seed=0)["figures"]
    assert {figure["interval"] for figure in figures.values()} == {None}
    assert all(figure["value"] is not None for figure in figures.values())


@pytest.mark.slow
def test_intervals_are_of_patients_and_not_of_slices() -> None:
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1, 2], 80)
    patient = np.repeat(np.arange(24), 10)
    right = np.repeat(rng.random(24) < 0.5, 10)  # all slices of a patient are right, or all are wrong
    probabilities = np.eye(3)[np.where(right, label, (label + 1) % 3)]
    of_patients, of_slices = (
        score_level(label, probabilities, unit, repeats=60, seed=0)["figures"]["accuracy"]["interval"]
        for unit in (patient, np.arange(240))
    )
    assert np.ptp(of_patients) > 1.5 * np.ptp(of_slices)
