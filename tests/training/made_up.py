"""Patients and predictions made up for the tests."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import nn

from groundglass.domain.class_names import CLASSES
from groundglass.method.classifier_network import INPUT_SIZE
from training.data.patients import Patient
from training.data.public_slices import LabelledSlices
from training.data.slices import SliceSet
from training.engine.predictions import Predictions
from training.engine.slice_scores import SliceScores


def make_patient(name: str, label: int, slices: int = 3) -> Patient:
    rng = np.random.default_rng(len(name) + label)
    lung = np.zeros((slices, INPUT_SIZE, INPUT_SIZE), dtype=bool)
    lung[:, 40:180, 30:100] = lung[:, 40:180, 120:190] = True
    hu = np.where(lung, -850, 40) + rng.integers(-30, 30, lung.shape)
    window, pixel_mm = np.tile([-1040.0, 360.0], (slices, 1)), np.full(slices, 1.5)
    infected = np.arange(slices) < 1 if label else np.zeros(slices, dtype=bool)
    index = np.arange(slices) + 5
    return Patient(name, label, SliceSet(hu.astype(np.int16), lung, window, pixel_mm, index, 2.0 * index), infected)


def tiny_network(classes: int) -> nn.Module:
    """Where who trains and who is tested is the point, not what is learned."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16, classes))


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


def put(path: Path) -> None:
    """A small black picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(path)


def make_slices(count: int, seed: int, side: int = 32) -> SliceSet:
    """Slices with a square lung each."""
    rng = np.random.default_rng(seed)
    lung = np.zeros((count, side, side), dtype=bool)
    lung[:, side // 8 : -side // 8, side // 8 : -side // 8] = True
    hu = np.where(lung, rng.normal(-850, 30, lung.shape), 40).astype(np.int16)
    window = np.repeat([[-1040.0, 360.0]], count, axis=0)
    return SliceSet(hu, lung, window, np.full(count, 1.3), np.arange(count), np.full(count, np.nan))


def label_slices(slices: SliceSet, kinds: Sequence[str], label_of: Mapping[str, int]) -> LabelledSlices:
    """The first slices of a set, one of each kind, each a group of its own."""
    chosen = SliceSet(*(array[: len(kinds)].copy() for array in vars(slices).values()))
    names = np.array([f"{kind}-{number}" for number, kind in enumerate(kinds)])
    return LabelledSlices(chosen, np.array([label_of[kind] for kind in kinds]), names, np.array(kinds))


def make_scores(
    count: int,
    kind: Sequence[str] | None = None,
    label: Sequence[int] | None = None,
    group: Sequence[str] | None = None,
    fold: Sequence[int] | None = None,
) -> SliceScores:
    """Scores that are all zero."""
    return SliceScores(
        np.array(fold if fold is not None else [0] * count),
        np.array(group if group is not None else [f"patient {number}" for number in range(count)]),
        np.array(kind if kind is not None else ["healthy"] * count),
        np.array(label if label is not None else [0] * count),
        np.full(count, np.nan),
        np.zeros((count, 2, 3, 3), dtype=np.float32),
        np.array(["0123"]),
    )


def set_pneumonia(scores: SliceScores, pneumonia: Sequence[float], covid19_share: float = 0.5) -> SliceScores:
    """`scores` with this P(pneumonia), by all scales together and by each alone in the same order."""
    values = np.array(pneumonia)
    probabilities = np.stack([1 - values, values * (1 - covid19_share), values * covid19_share], axis=1)
    scores.scores[:] = (np.log(np.maximum(probabilities, 1e-6)) / 3)[:, None, None]
    return scores
