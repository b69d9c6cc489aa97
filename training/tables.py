"""Tables 3 and 4 and Fig. 9 from the predictions of a cross-validation: `python -m training.tables --run DIR`.

Only the prediction files are read, no network: whoever has them can compute every figure again.

Over three classes, a figure is the plain mean over the classes of the class's figure against the rest. That is how the
paper's Table 3 follows from its Table 4, accuracy included: (89.2 + 84.7 + 88.3) / 3 = 87.4. It is not the part of the
slices given the right class, which is lower and stands beside it. Of two classes, the second one is the positive.
"""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from groundglass.domain.class_names import CLASS_ABBREVIATIONS, CLASSES
from groundglass.domain.findings import SliceFinding
from groundglass.method.slice_classification import StudyRule
from groundglass.presets import SHIPPED
from training.metrics import (
    FIGURES,
    area_under_curve,
    calibration_error,
    confusion_matrix,
    curve_points,
    figures_of_classes,
    mean_over_classes,
    over_folds,
)
from training.predictions import Predictions

ROWS = {
    "conv3": ("Conv3 auxiliary classifier", "#56B4E9"),
    "conv4": ("Conv4 auxiliary classifier", "#009E73"),
    "conv5": ("Conv5 auxiliary classifier", "#E69F00"),
    "joint": ("Joint classifier", "#D55E00"),
    "nca": ("Joint classifier (NCA)", "#CC79A7"),
    "nts_net": ("NTS-Net", "#4D4D4D"),
    "painted": ("Painted lesions alone", "#999933"),
    "shipped": ("Shipped recipe", "#0072B2"),
}
"""In the order of the tables, with the colours of the curves; NCA: no contrast adjustment in the augmentation."""
TASKS = (CLASSES, ("np", "covid19"), ("np", "cap"), ("cap", "covid19"))
"""In the order of the tables."""


class UnusablePredictions(ValueError):
    """There are no predictions, or they can't be scored."""


def read_predictions(run: Path) -> list[Predictions]:
    """The prediction files of a cross-validation.

    Raises:
        UnusablePredictions: `run` has none.
    """
    files = sorted((run / "predictions").glob("[!.]*.npz"))  # a hidden one was cut off while it was written
    if not files:
        raise UnusablePredictions(
            f"There is no prediction file (*.npz) in {run / 'predictions'}. Name the folder that "
            "python -m training.cross_validation wrote, or run that command first."
        )
    return [Predictions.load(file) for file in files]


def read_data_set(run: Path) -> tuple[str, str]:
    """Fingerprint and source of the data, which the cross-validation wrote beside its predictions."""
    record = run / "cross_validation.json"
    stored = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    return stored.get("fingerprint", "not recorded"), stored.get("source", "not recorded")


def score(predictions: Sequence[Predictions], fingerprint: str, source: str) -> dict[str, Any]:
    """Figures of every row and task, in each fold and over folds.

    Args:
        predictions: one a row and task.
        fingerprint: of the training set.
        source: where the patients come from, a sentence.

    Returns:
        Plain values for JSON: `fingerprint`, `source` and `entries`, one for each of `predictions` in the order of the
        tables, with the levels `slice` (the counted slices) and `patient` (see `patient_probabilities`).

    Raises:
        UnusablePredictions: there is nothing to score, or probabilities or labels are not valid.
    """
    if not predictions:
        raise UnusablePredictions("There are no predictions to score.")
    entries = [_score_row(one) for one in in_table_order(predictions)]
    return {"fingerprint": fingerprint, "source": source, "entries": entries}


def in_table_order(predictions: Iterable[Predictions]) -> list[Predictions]:
    """By task, then by row; rows and tasks that the paper does not have come last."""

    def place(value: Any, known: Sequence[Any]) -> int:
        return known.index(value) if value in known else len(known)

    return sorted(predictions, key=lambda one: (place(one.task, TASKS), one.task, place(one.row, [*ROWS]), one.row))


def patient_probabilities(probabilities: np.ndarray, task: tuple[str, ...], rule: StudyRule) -> np.ndarray:
    """Probabilities of a patient, `(class,)`, from those of all the patient's slices, `(slice, class)`.

    Three classes: the study rule. Two classes: the mean of as many slices as the study rule takes, the most diseased
    ones where one class is NP, and the most decided ones, whichever way, between CAP and COVID-19.
    """
    if task == CLASSES:
        slices = [SliceFinding(n, 0.0, (float(a), float(b), float(c))) for n, (a, b, c) in enumerate(probabilities)]
        return np.array(rule.apply(slices)[1])
    unlike = probabilities[:, task.index("np")] if "np" in task else -probabilities.max(axis=1)
    top = np.argsort(unlike, kind="stable")[: rule.count(len(probabilities))]
    return np.asarray(probabilities[top].mean(axis=0))


Level = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Fold, label and probabilities, one entry a slice or a patient."""


def slice_level(one: Predictions) -> Level:
    """Fold, label and probabilities of the counted slices."""
    return one.fold[one.counted], one.label[one.counted], one.probabilities[one.counted]


def patient_level(one: Predictions) -> Level:
    """Fold, label and probabilities of the patients."""
    names, first = np.unique(one.patient, return_index=True)
    rule = SHIPPED.classification.study_rule
    found = [patient_probabilities(one.probabilities[one.patient == name], one.task, rule) for name in names]
    return one.fold[first], one.label[first], np.stack(found)


def _score_row(one: Predictions) -> dict[str, Any]:
    valid = len(one.label) and one.probabilities.shape == (len(one.label), len(one.task))
    if not valid or not np.isfinite(one.probabilities).all() or not np.isin(one.label, range(len(one.task))).all():
        raise UnusablePredictions(
            f"The predictions of row {one.row} are no numbers, have no slice, or labels that are no class of the task. "
            "The training probably diverged: train this row again."
        )
    folds = [int(fold) for fold in np.unique(one.fold)]
    fold, label, probabilities = slice_level(one)
    patients = patient_level(one)
    correct = probabilities.argmax(axis=1) == label
    return {
        "row": one.row,
        "task": list(one.task),
        "folds": folds,
        "patients": dict(zip(one.task, np.bincount(patients[1], minlength=len(one.task)).tolist(), strict=True)),
        "slices": len(one.label),
        "counted_slices": len(label),
        "calibration_error": calibration_error(probabilities.max(axis=1), correct) if len(label) else None,
        "slice": _score_level((fold, label, probabilities), one.task, folds),
        "patient": _score_level(patients, one.task, folds),
    }


def _score_level(level: Level, task: tuple[str, ...], folds: list[int]) -> dict[str, Any]:
    fold, label, probabilities = level
    by_fold = [figures_of_classes(label[fold == number], probabilities[fold == number]) for number in folds]
    overall = [figures[1] if len(task) == 2 else mean_over_classes(figures) for figures in by_fold]
    confusion = confusion_matrix(label, probabilities.argmax(axis=1), len(task))
    return {
        "overall": over_folds(overall),
        "classes": {name: over_folds([figures[k] for figures in by_fold]) for k, name in enumerate(task)},
        "lacking": {name: [n for n in folds if k not in label[fold == n]] for k, name in enumerate(task)},
        "pooled_accuracy": float(confusion.trace() / confusion.sum()) if len(label) else None,
        "confusion": confusion.tolist(),
    }


# Markdown


def as_markdown(report: dict[str, Any]) -> str:
    """Tables 3 and 4 of slices and of patients; a caption says what a table rests on."""
    parts = []
    for level, unit in (("slice", "slices"), ("patient", "patients")):
        for title, classes, how, head, lines_of in _TABLES:
            entries = [entry for entry in report["entries"] if len(entry["task"]) == classes]
            if entries:
                parts.append(f"**{title}, {unit}.** {how} {_caption(report, entries, level)}")
                parts.append(_grid(head, [line for entry in entries for line in lines_of(entry, level)]))
    return "\n\n".join(parts) + "\n"


def _overall_lines(entry: dict[str, Any], level: str) -> Iterator[list[str]]:
    pooled, summary = entry[level]["pooled_accuracy"], entry[level]["overall"]
    cells = [_row(entry["row"])[0], _task(entry["task"]), *(_cell(summary, name) for name in FIGURES)]
    numbers = (sum(entry["patients"].values()), entry["counted_slices" if level == "slice" else "slices"])
    yield [*cells, "–" if pooled is None else f"{100 * pooled:.1f}", *map(str, numbers)]


def _class_lines(entry: dict[str, Any], level: str) -> Iterator[list[str]]:
    for name, summary in entry[level]["classes"].items():
        cells = (_cell(summary, figure) for figure in FIGURES)
        yield [_row(entry["row"])[0], _class(name), *cells, str(entry["patients"][name])]


_HEAD = ("ACC (%)", "PRC (%)", "SEN (%)", "SPE (%)", "AUC")
_OVERALL = ("Row", "Task", *_HEAD, "Pooled accuracy (%)", "Patients", "Slices")
_MEAN = "Mean over the classes of each class against the rest, as in the paper."
_SECOND = "The second class of each task is the positive one."
_TABLES = (
    ("Table 3, three-way", 3, _MEAN, _OVERALL, _overall_lines),
    ("Table 3, binary tasks", 2, _SECOND, _OVERALL, _overall_lines),
    ("Table 4, per class", 3, "Each class against the rest.", ("Row", "Class", *_HEAD, "Patients"), _class_lines),
)
"""Title, number of classes, how to read it, head, and what makes an entry's lines."""


def _caption(report: dict[str, Any], entries: list[dict[str, Any]], level: str) -> str:
    """What a reader must know to judge the figures: patients, folds, what was left out, and which data."""
    patients = sorted({sum(entry["patients"].values()) for entry in entries})
    folds = sorted({len(entry["folds"]) for entry in entries})
    interval = "One fold gives no interval."
    if folds[-1] > 1:
        interval = "Mean over folds [95 % interval by Student's t with folds - 1 degrees of freedom, within 0 and 1]."
    sentences = [f"{_range(patients, 'patient')}, {_range(folds, 'fold')} by patient. {interval}"]
    lacking = {
        f"fold {fold + 1} has no {level} of {_class(name)} to score ({_task(entry['task'])})": None
        for entry in entries
        for name, missing in entry[level]["lacking"].items()
        for fold in missing
    }
    if lacking:
        sentences.append(f"Figures that need a class are left out where a fold lacks it: {'; '.join(lacking)}.")
    if level == "slice":
        sentences.append(
            "Of a diseased patient whose slices radiologists marked, the infected ones count; where nobody marked "
            "them, every slice has its patient's label."
        )
    else:
        sentences.append(
            "A patient's probabilities are the mean over the slices that look most diseased; between CAP and COVID-19, "
            "over the most decided ones. An interval of no width says that folds agree, not that the figure is certain."
        )
    source = report["source"].rstrip(".")
    return " ".join([*sentences, f"Data: {source}. Fingerprint `{report['fingerprint']}`."])


def _grid(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *lines))


def _cell(summary: dict[str, Any], figure: str) -> str:
    scale, digits = (1, 3) if figure == "AUC" else (100, 1)
    mean, interval = summary[figure]["mean"], summary[figure]["interval"]
    if mean is None:
        return "–"
    text = f"{scale * mean:.{digits}f}"
    return text if interval is None else f"{text} [{', '.join(f'{scale * end:.{digits}f}' for end in interval)}]"


def _range(numbers: list[int], noun: str) -> str:
    span = str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    return f"{span} {noun}{'' if numbers == [1] else 's'}"


def _row(name: str) -> tuple[str, str]:
    return ROWS.get(name, (name, "black"))


def _class(name: str) -> str:
    return CLASS_ABBREVIATIONS.get(name, name)


def _task(task: Sequence[str]) -> str:
    return "/".join(map(_class, task))


# Pictures


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
                title = f"{_row(one.row)[0]}, AUC {area:.3f}"
                width, order = (2.4, 3.0) if one.row == "joint" else (1.3, 2.0)
                axes.plot(*points, color=_row(one.row)[1], label=title, linewidth=width, zorder=order)
        rest = "the rest" if len(task) > 2 else _class(task[0])
        axes.set(title=f"{_class(task[index])} against {rest}", xlabel="1 - specificity", ylabel="Sensitivity")
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal", anchor="N")
        axes.grid(color="0.93")
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), fontsize=9, frameon=False)
    figure.suptitle(_heading(rows[0], f"ROC curves, {_task(task)}"))
    return figure


def _draw_confusion(one: Predictions) -> Figure:
    figure = Figure(figsize=(8.6, 5.0), layout="constrained")
    titles = [_class(name) for name in one.task]
    levels = (slice_level(one), patient_level(one))
    for axes, (_, label, found), unit in zip(figure.subplots(1, 2), levels, ("Slices", "Patients"), strict=True):
        confusion = confusion_matrix(label, found.argmax(axis=1), len(titles))
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
    figure.suptitle(_heading(one, f"{_row(one.row)[0]}, {_task(one.task)}"))
    return figure


def _heading(one: Predictions, title: str) -> str:
    patients, folds = len(np.unique(one.patient)), len(np.unique(one.fold))
    numbers = f"{_range([patients], 'patient')}, {int(one.counted.sum())} slices, {_range([folds], 'fold')} by patient"
    return f"{title}\n{numbers}, pooled"


def main(arguments: list[str] | None = None) -> int:
    """Write tables.json, tables.md and the pictures, and print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m training.tables",
        description="Tables 3 and 4, ROC curves and confusion matrices from a run's predictions.",
        epilog="example: python -m training.tables --run runs/cross_validation --out runs/tables",
    )
    parser.add_argument("--run", type=Path, required=True, help="folder of training.cross_validation")
    parser.add_argument("--out", type=Path, help="folder for tables.json, tables.md and PNGs (default: the run's)")
    options = parser.parse_args(arguments)
    out = options.out or options.run
    try:
        predictions = read_predictions(options.run)
        report = score(predictions, *read_data_set(options.run))
    except UnusablePredictions as error:
        parser.error(str(error))
    plot(predictions, out)
    (out / "tables.json").write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    markdown = as_markdown(report)
    (out / "tables.md").write_text(markdown, encoding="utf-8")
    print(markdown)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
