"""Calibration: one temperature that makes the probabilities mean what they say.

Temperature scaling (Guo et al., On Calibration of Modern Neural Networks, ICML 2017) divides the scores by one number.
No slice changes its label. The figures are cross-fitted: a fold's temperature comes from the other folds.
"""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from method.classifier_network import MultiScaleClassifier
from training.metrics import calibration_error, reliability
from training.predictions import Predictions

_TEMPERATURES = (0.05, 20.0)
_SMALLEST = 1e-7


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative logarithm of the true class's probability."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], _SMALLEST)).mean())


def scale(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities `(slice, class)` with their logarithms divided by `temperature`, adding up to 1 again."""
    logits = np.log(np.maximum(probabilities.astype(np.float64), _SMALLEST))
    return np.asarray(np.exp(log_softmax(logits / temperature, axis=1)))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature of the lowest log loss, between 0.05 and 20.

    Args:
        logits: scores or logarithms of probabilities, `(slice, class)`.
        labels: class index, `(slice,)`.

    Raises:
        ValueError: there is nothing to fit on.
    """
    if not len(labels):
        raise ValueError("A temperature can't be fitted without predictions.")
    rows = np.arange(len(labels))

    def loss(logarithm: float) -> float:
        return float(-log_softmax(logits / np.exp(logarithm), axis=1)[rows, labels].mean())

    # The loss is convex in 1 / T, so it has one minimum in log T as well.
    found = minimize_scalar(loss, bounds=tuple(np.log(_TEMPERATURES)), method="bounded", options={"xatol": 1e-5})
    return float(np.exp(found.x))


def fold_temperature(network: MultiScaleClassifier, temperature: float) -> MultiScaleClassifier:
    """A copy of `network` whose scores are divided by `temperature`.

    Scores are sums of maxima of the heads' maps, so dividing weight and bias of all heads by a positive number divides
    the scores by it. Score maps and saliency shrink by the same factor; how they are distributed stays.

    Raises:
        ValueError: the temperature is not a finite number above zero.
    """
    if not 0 < temperature < np.inf:
        raise ValueError(f"A temperature must be a finite number above zero, not {temperature}.")
    folded = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in folded.heads.parameters():
            parameter.div_(temperature)
    return folded


def cross_fit(predictions: Predictions) -> tuple[np.ndarray, dict[int, float]]:
    """Scaled probabilities `(slice, class)` and each fold's temperature, fitted on the other folds' counted slices.

    Raises:
        ValueError: there is only one fold.
    """
    folds = [int(fold) for fold in np.unique(predictions.fold)]
    if len(folds) < 2:
        raise ValueError("A temperature needs predictions of two folds or more: none is fitted where it is used.")
    probabilities = np.empty(predictions.probabilities.shape)
    temperatures = {}
    for fold in folds:
        own = predictions.fold == fold
        temperatures[fold] = _fit(predictions, ~own & predictions.counted)
        probabilities[own] = scale(predictions.probabilities[own], temperatures[fold])
    return probabilities, temperatures


def _fit(predictions: Predictions, chosen: np.ndarray) -> float:
    logits = np.log(np.maximum(predictions.probabilities[chosen].astype(np.float64), _SMALLEST))
    return fit_temperature(logits, predictions.label[chosen])


def calibration_report(predictions: Predictions, diagram: Path | None = None) -> dict[str, Any]:
    """Calibration of the counted slices before and after cross-fitted scaling.

    Args:
        predictions: of two folds or more.
        diagram: PNG to write the reliability diagram to.

    Returns:
        `row`, `task`, `patients` and `slices`, `before` and `after` (each `expected_calibration_error` and `log_loss`),
        `temperatures` by fold, and `temperature`, fitted on all folds: the one to ship with weights trained on all.
    """
    counted = predictions.counted
    labels = predictions.label[counted]
    scaled, temperatures = cross_fit(predictions)
    stages = {"before": predictions.probabilities[counted], "after": scaled[counted]}
    patients = len(np.unique(predictions.patient))
    if diagram is not None:
        title = f"{predictions.row}, {' / '.join(predictions.task)}: {patients} patients"
        draw_reliability(
            {name: reliability(rows.max(axis=1), rows.argmax(axis=1) == labels) for name, rows in stages.items()},
            title,
            diagram,
        )
    return {
        "row": predictions.row,
        "task": list(predictions.task),
        "patients": patients,
        "slices": int(counted.sum()),
        "temperatures": {str(fold): temperature for fold, temperature in temperatures.items()},
        "temperature": _fit(predictions, counted),
        **{
            name: {
                "expected_calibration_error": calibration_error(rows.max(axis=1), rows.argmax(axis=1) == labels),
                "log_loss": log_loss(rows, labels),
            }
            for name, rows in stages.items()
        },
    }


def draw_reliability(stages: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]], title: str, path: Path) -> None:
    """Accuracy against confidence as PNG, a panel for each stage, and the part of the slices in each bin."""
    figure = Figure(figsize=(4 * len(stages), 4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(stages), sharey=True, squeeze=False)[0]
    for axes, (name, (confidence, accuracy, count)) in zip(panels, stages.items(), strict=True):
        edges, filled = np.arange(len(count)) / len(count), count > 0
        axes.bar(edges, count / count.sum(), 1 / len(count), align="edge", color="0.85", label="part of the slices")
        axes.plot(confidence[filled], accuracy[filled], marker="o", label="accuracy")
        axes.plot([0, 1], [0, 1], linestyle="--", color="0.4", linewidth=1)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", title=name)
    panels[0].legend(loc="upper left")
    figure.suptitle(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def as_markdown(report: dict[str, Any]) -> str:
    """The report as a table."""
    temperatures = ", ".join(f"{value:.2f}" for value in report["temperatures"].values())
    return "\n".join(
        [
            f"Calibration of row {report['row']}, {' / '.join(report['task'])}: {report['slices']} slices of "
            f"{report['patients']} patients. Each fold is scaled with the temperature of the other folds "
            f"({temperatures}); fitted on all folds it is {report['temperature']:.2f}.",
            "",
            "| temperature scaling | expected calibration error | log loss |",
            "| --- | --- | --- |",
            *(
                f"| {name} | {report[name]['expected_calibration_error']:.3f} | {report[name]['log_loss']:.3f} |"
                for name in ("before", "after")
            ),
            "",
        ]
    )
