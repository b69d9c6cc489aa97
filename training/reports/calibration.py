"""Calibration: one temperature that makes the probability of pneumonia mean what it says.

Temperature scaling (Guo et al., On Calibration of Modern Neural Networks, ICML 2017) divides the scores by one number;
no slice changes its order of classes. It is fitted on the first question alone, pneumonia or none: between CAP and
COVID-19 the probabilities are near chance, and a temperature that had to answer for them would flatten the first answer
as well. All figures are cross-fitted: what scales a fold comes from the other folds.
"""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.optimize import minimize_scalar

from groundglass.method.classifier_network import MultiScaleClassifier
from training.data.public_slices import NP
from training.engine.slice_scores import SliceScores
from training.reports.markdown import render
from training.reports.metrics import balanced_accuracy, calibration_error, reliability

Calibration = dict[str, Any]
"""A report of `calibration_report`."""
_TEMPERATURES = (0.05, 20.0)
_SMALLEST = 1e-7
_STAGES = {"before": "none", "after": "temperature"}
"""Of the report, as its table names them."""
_SHOWN = ("expected_calibration_error", "log_loss", "accuracy", "balanced_accuracy")


def log_loss(pneumonia: np.ndarray, diseased: np.ndarray) -> float:
    """Mean negative logarithm of the probability of what is true."""
    return float(-np.log(np.clip(np.where(diseased, pneumonia, 1 - pneumonia), _SMALLEST, 1.0)).mean())


def fit_temperature(scores: SliceScores) -> float:
    """The temperature of the lowest log loss of P(pneumonia), between 0.05 and 20.

    Raises:
        ValueError: there is nothing to fit on.
    """
    diseased = scores.label != NP
    if not len(diseased):
        raise ValueError("A temperature can't be fitted without predictions.")

    def loss(logarithm: float) -> float:
        return log_loss(scores.pneumonia(temperature=float(np.exp(logarithm))), diseased)

    found = minimize_scalar(loss, bounds=tuple(np.log(_TEMPERATURES)), method="bounded", options={"xatol": 1e-4})
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


def cross_fit(scores: SliceScores) -> dict[int, float]:
    """Each fold's temperature, fitted on the slices of the other folds.

    Raises:
        ValueError: there is only one fold.
    """
    folds = [int(fold) for fold in np.unique(scores.fold)]
    if len(folds) < 2:
        raise ValueError("A temperature needs predictions of two folds or more: none is fitted where it is used.")
    return {fold: fit_temperature(scores.select(scores.fold != fold)) for fold in folds}


def calibration_report(scores: SliceScores, diagram: Path | None = None) -> Calibration:
    """Calibration of P(pneumonia) before and after cross-fitted scaling.

    Args:
        scores: of two folds or more, of slices whose label is sure.
        diagram: PNG to write the reliability diagram to.

    Returns:
        `patients` and `slices`, their numbers without and with pneumonia; `before` and `after`, the figures unscaled
        and with a temperature; `temperatures` by fold, and `temperature`, fitted on all folds: the one to ship with
        weights trained on all.
    """
    diseased = scores.label != NP
    temperatures = cross_fit(scores)
    of_slice = np.array([temperatures[int(fold)] for fold in scores.fold])
    stages = {"before": scores.pneumonia(), "after": scores.pneumonia(temperature=of_slice)}
    if diagram is not None:
        bars = {_STAGES[name]: reliability(values, diseased) for name, values in stages.items()}
        draw_reliability(bars, f"P(pneumonia), {len(diseased)} slices of networks that did not train on them", diagram)
    return {
        "patients": [len(np.unique(scores.group[diseased == ill])) for ill in (False, True)],
        "slices": [int((diseased == ill).sum()) for ill in (False, True)],
        "temperatures": {str(fold): temperature for fold, temperature in temperatures.items()},
        "temperature": fit_temperature(scores),
        **{name: _figures(values, diseased) for name, values in stages.items()},
    }


def _figures(pneumonia: np.ndarray, diseased: np.ndarray) -> dict[str, float]:
    answers = pneumonia >= 0.5
    return {
        "expected_calibration_error": calibration_error(pneumonia, diseased),
        "log_loss": log_loss(pneumonia, diseased),
        "accuracy": float((answers == diseased).mean()),
        "balanced_accuracy": balanced_accuracy(diseased, answers),
    }


def kept_temperature(calibration: Calibration) -> float:
    """The temperature to ship: the one fitted on all folds where cross-fitted scaling lowered the log loss, else 1."""
    helps = calibration["after"]["log_loss"] < calibration["before"]["log_loss"]
    return float(calibration["temperature"]) if helps else 1.0


def draw_reliability(stages: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]], title: str, path: Path) -> None:
    """Share of pneumonia against its probability as PNG, a panel for each stage, and each bin's part of the slices."""
    figure = Figure(figsize=(4 * len(stages), 4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(stages), sharey=True, squeeze=False)[0]
    for axes, (name, (probability, share, count)) in zip(panels, stages.items(), strict=True):
        edges, filled = np.arange(len(count)) / len(count), count > 0
        axes.bar(edges, count / count.sum(), 1 / len(count), align="edge", color="0.85", label="part of the slices")
        axes.plot(probability[filled], share[filled], marker="o", label="share with pneumonia")
        axes.plot([0, 1], [0, 1], linestyle="--", color="0.4", linewidth=1)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="P(pneumonia)", title=f"scaling: {name}")
    panels[0].legend(loc="upper left")
    figure.suptitle(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def as_markdown(report: dict[str, Any]) -> str:
    """The report as a table."""
    rows = [[title, *(f"{report[stage][name]:.3f}" for name in _SHOWN)] for stage, title in _STAGES.items()]
    temperatures = [f"{value:.2f}" for value in report["temperatures"].values()]
    return render("calibration", report=report, temperatures=temperatures, rows=rows)
