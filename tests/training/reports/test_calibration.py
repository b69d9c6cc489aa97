"""Temperature scaling on scores whose right temperature is known."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import softmax

from groundglass.method.classifier_network import MultiScaleClassifier
from tests.training.made_up import make_scores
from training.engine.slice_scores import SliceScores
from training.reports.calibration import (
    as_markdown,
    calibration_report,
    cross_fit,
    fit_temperature,
    fold_temperature,
    kept_temperature,
)


def draw(temperature_by_fold: tuple[float, ...], count: int = 3000) -> SliceScores:
    """Scores too sure by a factor of each fold's temperature, and labels that follow the true probabilities."""
    fold = np.repeat(np.arange(len(temperature_by_fold)), count)
    scores = make_scores(len(fold), fold=fold.tolist())
    rng = np.random.default_rng(0)
    logits = rng.normal(0.0, 1.5, (len(fold), 3))
    scores.label[:] = [rng.choice(3, p=row) for row in softmax(logits, axis=1)]
    scores.scores[:] = (logits * np.array(temperature_by_fold)[fold][:, None] / 3)[:, None, None]
    return scores


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_of_overconfident_scores_is_found_again(temperature: float) -> None:
    assert fit_temperature(draw((temperature,), 4000)) == pytest.approx(temperature, rel=0.1)


def test_no_temperature_comes_from_no_predictions() -> None:
    with pytest.raises(ValueError, match="without predictions"):
        fit_temperature(make_scores(0))


def test_which_kind_is_more_probable_does_not_move_the_temperature() -> None:
    """Where the kinds are chance, a temperature that had to answer for them would flatten the first question."""
    scores = draw((1.0,))
    diseased = np.nonzero(scores.label)[0]
    before = fit_temperature(scores)
    scores.label[diseased] = 3 - scores.label[diseased]  # every kind the other way round
    assert fit_temperature(scores) == pytest.approx(before)


def test_a_fold_is_scaled_with_the_temperature_of_the_other_fold() -> None:
    temperatures = cross_fit(draw((2.0, 4.0)))
    assert temperatures[0] == pytest.approx(4.0, rel=0.12)
    assert temperatures[1] == pytest.approx(2.0, rel=0.12)


def test_one_fold_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="two folds"):
        cross_fit(draw((2.0,), 20))


def test_scaling_repairs_overconfidence_and_the_report_shows_it(tmp_path: Path) -> None:
    diagram = tmp_path / "figures" / "reliability.png"
    report = calibration_report(draw((3.0, 3.0, 3.0)), diagram)
    assert report["before"]["expected_calibration_error"] > 0.1
    assert report["after"]["expected_calibration_error"] < 0.03
    assert report["after"]["log_loss"] < report["before"]["log_loss"]
    assert report["temperature"] == pytest.approx(3.0, rel=0.1)
    assert kept_temperature(report) == report["temperature"]
    assert np.asarray(Image.open(diagram).convert("L")).std() > 5
    assert sum(report["slices"]) == 9000
    assert f"| temperature | {report['after']['expected_calibration_error']:.3f} |" in as_markdown(report)


@pytest.mark.parametrize(("after", "kept"), [(0.7, 1.4), (0.9, 1.0)])
def test_a_temperature_ships_only_where_it_helped_patients_it_was_not_fitted_on(after: float, kept: float) -> None:
    assert kept_temperature({"temperature": 1.4, "before": {"log_loss": 0.8}, "after": {"log_loss": after}}) == kept


@pytest.mark.parametrize(("temperature", "tolerance"), [(4.0, 0.0), (1.7, 1e-5)])
def test_a_folded_temperature_divides_the_scores(temperature: float, tolerance: float) -> None:
    """Exactly for a power of two, and else to the last digits of float32."""
    torch.manual_seed(0)
    network = MultiScaleClassifier().eval()
    for head in network.heads:
        torch.nn.init.normal_(head.bias)
    images = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        scores, folded = network(images), fold_temperature(network, temperature)(images)
        torch.testing.assert_close(folded, scores / temperature, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(network(images), scores, rtol=0, atol=0)  # the network itself stays as it was
    assert scores.abs().max() > 0.1


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_that_is_not_above_zero_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="above zero"):
        fold_temperature(MultiScaleClassifier(), temperature)
