"""Tables 3 and 4 from the predictions of a cross-validation.

Over three classes, a figure is the plain mean over the classes of the class's figure against the rest. That is how the
paper's Table 3 follows from its Table 4, accuracy included: (89.2 + 84.7 + 88.3) / 3 = 87.4. It is not the part of the
slices given the right class, which is lower and stands beside it. Of two classes, the second one is the positive.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score

from groundglass.domain.class_names import CLASS_ABBREVIATIONS, CLASSES
from training.engine.predictions import Predictions
from training.reports.markdown import grid
from training.reports.metrics import (
    FIGURES,
    calibration_error,
    count_answers,
    figures_of_classes,
    mean_over_classes,
    over_folds,
)
from training.reports.prediction_levels import Level, UnusablePredictions, patient_level, slice_level

ROWS = {
    "conv3": ("Conv3 auxiliary classifier", "#56B4E9"),
    "conv4": ("Conv4 auxiliary classifier", "#009E73"),
    "conv5": ("Conv5 auxiliary classifier", "#E69F00"),
    "joint": ("Joint classifier", "#D55E00"),
    "nca": ("Joint classifier (NCA)", "#CC79A7"),
    "nts_net": ("NTS-Net", "#4D4D4D"),
    "painted": ("Base network, painted disease alone", "#999933"),
    "shipped": ("Shipped recipe", "#0072B2"),
}
"""In the order of the tables, with the colours of the curves; NCA: no contrast adjustment in the augmentation."""
TASKS = (CLASSES, ("np", "covid19"), ("np", "cap"), ("cap", "covid19"))
"""In the order of the tables."""


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
    predicted = probabilities.argmax(axis=1)
    return {
        "overall": over_folds(overall),
        "classes": {name: over_folds([figures[k] for figures in by_fold]) for k, name in enumerate(task)},
        "lacking": {name: [n for n in folds if k not in label[fold == n]] for k, name in enumerate(task)},
        "pooled_accuracy": float(accuracy_score(label, predicted)) if len(label) else None,
        "confusion": count_answers(label, predicted, len(task)).tolist(),
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
                parts.append(grid(head, [line for entry in entries for line in lines_of(entry, level)]))
    return "\n\n".join(parts) + "\n"


def _overall_lines(entry: dict[str, Any], level: str) -> Iterator[list[str]]:
    pooled, summary = entry[level]["pooled_accuracy"], entry[level]["overall"]
    cells = [row_style(entry["row"])[0], task_title(entry["task"]), *(_cell(summary, name) for name in FIGURES)]
    numbers = (sum(entry["patients"].values()), entry["counted_slices" if level == "slice" else "slices"])
    yield [*cells, "–" if pooled is None else f"{100 * pooled:.1f}", *map(str, numbers)]


def _class_lines(entry: dict[str, Any], level: str) -> Iterator[list[str]]:
    for name, summary in entry[level]["classes"].items():
        cells = (_cell(summary, figure) for figure in FIGURES)
        yield [row_style(entry["row"])[0], class_title(name), *cells, str(entry["patients"][name])]


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
    sentences = [f"{range_of(patients, 'patient')}, {range_of(folds, 'fold')} by patient. {interval}"]
    lacking = {
        f"fold {fold + 1} has no {level} of {class_title(name)} to score ({task_title(entry['task'])})": None
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


def _cell(summary: dict[str, Any], figure: str) -> str:
    scale, digits = (1, 3) if figure == "AUC" else (100, 1)
    mean, interval = summary[figure]["mean"], summary[figure]["interval"]
    if mean is None:
        return "–"
    text = f"{scale * mean:.{digits}f}"
    return text if interval is None else f"{text} [{', '.join(f'{scale * end:.{digits}f}' for end in interval)}]"


def range_of(numbers: list[int], noun: str) -> str:
    """Sorted numbers in words: `2 folds`, `4 to 6 patients`."""
    span = str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    return f"{span} {noun}{'' if numbers == [1] else 's'}"


def row_style(name: str) -> tuple[str, str]:
    """Title and colour of a row."""
    return ROWS.get(name, (name, "black"))


def class_title(name: str) -> str:
    """A class as the tables call it."""
    return CLASS_ABBREVIATIONS.get(name, name)


def task_title(task: Sequence[str]) -> str:
    """A task as the tables call it."""
    return "/".join(map(class_title, task))
