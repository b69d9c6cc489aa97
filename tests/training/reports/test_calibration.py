"""Temperature scaling on predictions whose right temperature is known."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import softmax

from groundglass.method.classifier_network import MultiScaleClassifier
from training.engine.predictions import Predictions
from training.reports.calibration import (
    Scaling,
    as_markdown,
    calibration_report,
    cross_fit,
    fit_offsets,
    fit_temperature,
    fold_temperature,
)


def draw(temperature: float, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores that are too sure by a factor of `temperature`, and labels that follow the true probabilities."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0.0, 1.5, (count, 3))
    labels = np.array([rng.choice(3, p=row) for row in softmax(logits, axis=1)])
    return logits * temperature, labels


def make_predictions(temperature_by_fold: tuple[float, ...], count: int = 3000) -> Predictions:
    drawn = [draw(temperature, count, seed) for seed, temperature in enumerate(temperature_by_fold)]
    fold = np.repeat(np.arange(len(drawn)), count)
    return Predictions(
        "joint",
        ("np", "cap", "covid19"),
        fold,
        np.array([f"patient{number}" for number in fold]),
        np.arange(len(fold)),
        np.concatenate([labels for _, labels in drawn]),
        softmax(np.concatenate([logits for logits, _ in drawn]), axis=1),
        np.ones(len(fold), dtype=bool),
    )


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_of_overconfident_scores_is_found_again(temperature: float) -> None:
    assert fit_temperature(*draw(temperature, 4000, 0)) == pytest.approx(temperature, rel=0.08)


def test_no_temperature_comes_from_no_predictions() -> None:
    with pytest.raises(ValueError, match="without predictions"):
        fit_temperature(np.empty((0, 3)), np.empty(0, dtype=int))


def test_scaling_keeps_every_label_and_sums_to_one() -> None:
    probabilities = softmax(draw(3.0, 500, 1)[0], axis=1)
    scaled = Scaling(3.0, (0.0, 0.0, 0.0)).apply(probabilities)
    np.testing.assert_allclose(scaled.sum(axis=1), 1.0)
    np.testing.assert_array_equal(scaled.argmax(axis=1), probabilities.argmax(axis=1))
    np.testing.assert_allclose(Scaling(1.0, (0.0, 0.0, 0.0)).apply(probabilities), probabilities, atol=1e-6)


def test_a_fold_is_scaled_with_the_temperature_of_the_other_fold() -> None:
    _, scalings = cross_fit(make_predictions((2.0, 4.0)))
    assert scalings[0].temperature == pytest.approx(4.0, rel=0.1)
    assert scalings[1].temperature == pytest.approx(2.0, rel=0.1)


def test_offsets_give_back_what_the_scores_leave_out_of_the_classes() -> None:
    logits, labels = draw(2.0, 6000, 2)
    found = fit_offsets(logits - [0.0, 1.0, -3.0], labels)
    assert found.temperature == pytest.approx(2.0, rel=0.08)
    np.testing.assert_allclose(found.offsets, [0.0, 0.5, -1.5], atol=0.12)


def test_slices_that_do_not_count_do_not_move_the_temperature() -> None:
    predictions = make_predictions((2.0, 2.0))
    doubtful = np.arange(len(predictions.label)) % 3 == 0
    predictions.counted[doubtful] = False
    before = cross_fit(predictions)[1]
    predictions.label[doubtful] = (predictions.label[doubtful] + 1) % 3
    assert cross_fit(predictions)[1] == before


def test_one_fold_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="two folds"):
        cross_fit(make_predictions((2.0,)))


@pytest.mark.slow
def test_scaling_repairs_overconfidence_and_the_report_shows_it(tmp_path: Path) -> None:
    diagram = tmp_path / "figures" / "reliability.png"
    report = calibration_report(make_predictions((3.0, 3.0, 3.0)), diagram)
    assert report["before"]["expected_calibration_error"] > 0.1
    assert report["after"]["expected_calibration_error"] < 0.03
    assert report["after"]["log_loss"] < report["before"]["log_loss"]
    assert report["temperature"] == pytest.approx(3.0, rel=0.08)
    assert np.asarray(Image.open(diagram).convert("L")).std() > 5
    table = as_markdown(report)
    assert "9000 slices of 3 patients" in table
    assert f"| temperature | {report['after']['expected_calibration_error']:.3f} |" in table
    assert report["after"]["accuracy"] == report["before"]["accuracy"]
    assert report["offsets"]["log_loss"] == pytest.approx(report["after"]["log_loss"], abs=0.005)  # none is missing


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
