"""Calibration: one temperature that makes the probabilities mean what they say, and what class offsets would add.

Temperature scaling (Guo et al., On Calibration of Modern Neural Networks, ICML 2017) divides the scores by one number.
No slice changes its label. With an offset for each class besides (bias-corrected temperature scaling: Alexandari et
al., Maximum Likelihood with Bias-Corrected Calibration is Hard-To-Beat at Label Shift Adaptation, ICML 2020) it may:
the offsets take over how frequent the classes are where they are fitted. All figures are cross-fitted: what scales a
fold comes from the other folds.
"""

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax
from sklearn.metrics import accuracy_score

from groundglass.method.classifier_network import MultiScaleClassifier
from training.engine.predictions import Predictions
from training.reports.markdown import render
from training.reports.metrics import balanced_accuracy, calibration_error, reliability
from training.reports.prediction_levels import patient_level, slice_level

_TEMPERATURES = (0.05, 20.0)
_SMALLEST = 1e-7
_LARGEST_OFFSET = 20.0
_STAGES = {"before": "none", "after": "temperature", "offsets": "temperature and class offsets"}
"""Of the report, as its table names them."""
_SHOWN = ("expected_calibration_error", "log_loss", "accuracy", "mean_sensitivity")


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative logarithm of the true class's probability."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], _SMALLEST)).mean())


@dataclass(frozen=True)
class Scaling:
    """What becomes of scores: divided by `temperature`, then each class's `offsets` are added."""

    temperature: float
    offsets: tuple[float, ...]

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Probabilities `(slice, class)` with their logarithms scaled, adding up to 1 again."""
        return np.asarray(np.exp(log_softmax(_logits(probabilities) / self.temperature + self.offsets, axis=1)))


def _logits(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities.astype(np.float64), _SMALLEST))


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


def fit_offsets(logits: np.ndarray, labels: np.ndarray) -> Scaling:
    """The temperature and the class offsets of the lowest log loss; the first class has the offset 0.

    Args and errors are those of `fit_temperature`.
    """
    start = np.append(1 / fit_temperature(logits, labels), np.zeros(logits.shape[1] - 1))
    rows = np.arange(len(labels))

    def loss(values: np.ndarray) -> float:
        shifted = logits * values[0] + np.append(0.0, values[1:])
        return float(-log_softmax(shifted, axis=1)[rows, labels].mean())

    # Convex in 1 / T and the offsets together.
    low, high = 1 / _TEMPERATURES[1], 1 / _TEMPERATURES[0]
    bounds = [(low, high)] + [(-_LARGEST_OFFSET, _LARGEST_OFFSET)] * (len(start) - 1)
    found = minimize(loss, start, method="L-BFGS-B", bounds=bounds).x
    return Scaling(float(1 / found[0]), (0.0, *map(float, found[1:])))


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


def cross_fit(predictions: Predictions, offsets: bool = False) -> tuple[np.ndarray, dict[int, Scaling]]:
    """Scaled probabilities `(slice, class)` and each fold's scaling, fitted on the other folds' counted slices.

    Args:
        predictions: of two folds or more.
        offsets: whether an offset is fitted for each class, beside the temperature.

    Raises:
        ValueError: there is only one fold.
    """
    folds = [int(fold) for fold in np.unique(predictions.fold)]
    if len(folds) < 2:
        raise ValueError("A temperature needs predictions of two folds or more: none is fitted where it is used.")
    probabilities = np.empty(predictions.probabilities.shape)
    scalings = {}
    for fold in folds:
        own = predictions.fold == fold
        scalings[fold] = _fit(predictions, ~own & predictions.counted, offsets)
        probabilities[own] = scalings[fold].apply(predictions.probabilities[own])
    return probabilities, scalings


def _fit(predictions: Predictions, chosen: np.ndarray, offsets: bool = False) -> Scaling:
    logits, labels = _logits(predictions.probabilities[chosen]), predictions.label[chosen]
    if offsets:
        return fit_offsets(logits, labels)
    return Scaling(fit_temperature(logits, labels), (0.0,) * logits.shape[1])


def _figures(predictions: Predictions, probabilities: np.ndarray) -> dict[str, float]:
    """Of the counted slices, and how many patients the study rule gives their class."""
    scaled = replace(predictions, probabilities=probabilities)
    _, labels, rows = slice_level(scaled)
    _, classes, patients = patient_level(scaled)
    answers = rows.argmax(axis=1)
    return {
        "expected_calibration_error": calibration_error(rows.max(axis=1), answers == labels),
        "log_loss": log_loss(rows, labels),
        "accuracy": float(accuracy_score(labels, answers)),
        "mean_sensitivity": balanced_accuracy(labels, answers),
        "patients_right": int((patients.argmax(axis=1) == classes).sum()),
    }


def calibration_report(predictions: Predictions, diagram: Path | None = None) -> dict[str, Any]:
    """Calibration of the counted slices before and after cross-fitted scaling.

    Args:
        predictions: of two folds or more.
        diagram: PNG to write the reliability diagram to.

    Returns:
        `row`, `task`, `patients` and `slices`; `before`, `after` and `offsets`, the figures unscaled, with a
        temperature, and with class offsets besides; `temperatures` by fold, and `temperature`, fitted on all folds:
        the one to ship with weights trained on all.
    """
    counted = predictions.counted
    labels = predictions.label[counted]
    scaled, scalings = cross_fit(predictions)
    shifted, _ = cross_fit(predictions, offsets=True)
    stages = {"before": predictions.probabilities, "after": scaled, "offsets": shifted}
    patients = len(np.unique(predictions.patient))
    if diagram is not None:
        title = f"{predictions.row}, {' / '.join(predictions.task)}: {patients} patients"
        bars = {
            _STAGES[name]: reliability(rows[counted].max(axis=1), rows[counted].argmax(axis=1) == labels)
            for name, rows in stages.items()
        }
        draw_reliability(bars, title, diagram)
    return {
        "row": predictions.row,
        "task": list(predictions.task),
        "patients": patients,
        "slices": int(counted.sum()),
        "temperatures": {str(fold): scaling.temperature for fold, scaling in scalings.items()},
        "temperature": _fit(predictions, counted).temperature,
        **{name: _figures(predictions, rows) for name, rows in stages.items()},
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
    rows = [
        [
            title,
            *(f"{report[stage][name]:.3f}" for name in _SHOWN),
            f"{report[stage]['patients_right']} of {report['patients']}",
        ]
        for stage, title in _STAGES.items()
    ]
    temperatures = [f"{value:.2f}" for value in report["temperatures"].values()]
    return render("calibration", report=report, temperatures=temperatures, rows=rows)
