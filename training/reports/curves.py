"""Fig. 9: ROC curves a task, and confusion matrices."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from training.engine.predictions import Predictions
from training.reports.metrics import area_under_curve, count_answers, curve_points
from training.reports.prediction_levels import patient_level, slice_level
from training.reports.tables import class_title, in_table_order, range_of, row_style, task_title


def plot(predictions: Sequence[Predictions], out: Path) -> list[Path]:
    """Write ROC curves a task, and the joint and the shipped classifiers' confusion matrices.

    Everything is pooled over folds, so that an area under a curve is not the tables' mean over folds.

    Returns:
        The PNG files.
    """
    out.mkdir(parents=True, exist_ok=True)
    pictures: dict[str, Figure] = {}
    ordered = in_table_order(predictions)
    for task in dict.fromkeys(one.task for one in ordered):
        rows = [one for one in ordered if one.task == task]
        name = "-".join(task)
        pictures[f"roc.{name}.png"] = _draw_curves(rows, task)
        for one in rows:
            if one.row in ("joint", "shipped"):
                pictures[f"confusion.{one.row}.{name}.png"] = _draw_confusion(one)
    for file, figure in pictures.items():
        figure.savefig(out / file, dpi=120, facecolor="white", bbox_inches="tight", pad_inches=0.1)
    return [out / file for file in pictures]


def _draw_curves(rows: list[Predictions], task: tuple[str, ...]) -> Figure:
    shown = range(len(task)) if len(task) > 2 else (1,)
    figure = Figure(figsize=(4.4 * len(shown) + 0.4, 5.6 + 0.16 * len(rows)), layout="constrained")
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, index in zip(panels, shown, strict=True):
        axes.plot([0, 1], [0, 1], color="0.8", linewidth=1, linestyle="--")
        for one in rows:
            _, label, probabilities = slice_level(one)
            is_class, scores = label == index, probabilities[:, index]
            if is_class.any() and not is_class.all():
                points = curve_points(scores[is_class], scores[~is_class])
                area = area_under_curve(scores[is_class], scores[~is_class])
                title = f"{row_style(one.row)[0]}, AUC {area:.3f}"
                width, order = (2.4, 3.0) if one.row == "joint" else (1.3, 2.0)
                axes.plot(*points, color=row_style(one.row)[1], label=title, linewidth=width, zorder=order)
        rest = "the rest" if len(task) > 2 else class_title(task[0])
        axes.set(title=f"{class_title(task[index])} against {rest}", xlabel="1 - specificity", ylabel="Sensitivity")
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal", anchor="N")
        axes.grid(color="0.93")
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), fontsize=9, frameon=False)
    figure.suptitle(_heading(rows[0], f"ROC curves, {task_title(task)}"))
    return figure


def _draw_confusion(one: Predictions) -> Figure:
    figure = Figure(figsize=(8.6, 5.0), layout="constrained")
    titles = [class_title(name) for name in one.task]
    levels = (slice_level(one), patient_level(one))
    for axes, (_, label, found), unit in zip(figure.subplots(1, 2), levels, ("Slices", "Patients"), strict=True):
        confusion = count_answers(label, found.argmax(axis=1), len(titles))
        parts = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
        axes.imshow(parts, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(confusion):
            share = parts[row, column]
            style = {"ha": "center", "va": "center", "color": "white" if share > 0.55 else "black"}
            axes.text(column, row, f"{count}\n{100 * share:.0f} %", **style)
        axes.set(title=unit, xlabel="Predicted", ylabel="True")
        axes.set_xticks(range(len(titles)), titles)
        axes.set_yticks(range(len(titles)), titles)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    figure.suptitle(_heading(one, f"{row_style(one.row)[0]}, {task_title(one.task)}"))
    return figure


def _heading(one: Predictions, title: str) -> str:
    patients, folds = len(np.unique(one.patient)), len(np.unique(one.fold))
    numbers = (
        f"{range_of([patients], 'patient')}, {int(one.counted.sum())} slices, {range_of([folds], 'fold')} by patient"
    )
    return f"{title}\n{numbers}, pooled"
