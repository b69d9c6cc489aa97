"""What cross-validation leaves behind: every tested slice with its truth and its probabilities."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Predictions:
    """Predictions of one row of the tables on one task, over all folds; one entry a slice.

    Attributes:
        row: name of the row, `joint` for the paper's network.
        task: class names in the order of the probabilities.
        fold: number of the fold that tested the slice, from 0.
        patient: name of the patient.
        slice_index: index of the slice in its volume.
        label: index of the patient's class in `task`.
        probabilities: `(slice, class)`.
        counted: whether the patient's label may be taken for the slice's: where radiologists marked slices, the
            infected slices of diseased patients and every slice of healthy ones; every slice where nobody did.
    """

    row: str
    task: tuple[str, ...]
    fold: np.ndarray
    patient: np.ndarray
    slice_index: np.ndarray
    label: np.ndarray
    probabilities: np.ndarray
    counted: np.ndarray

    def save(self, path: Path) -> None:
        """Write the file whole or not at all: one that is there counts as done."""
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.part.npz")
        np.savez_compressed(aside, **(vars(self) | {"task": np.array(self.task), "row": np.array(self.row)}))
        os.replace(aside, path)

    @classmethod
    def load(cls, path: Path) -> "Predictions":
        with np.load(path, allow_pickle=False) as stored:
            fields = {key: stored[key] for key in stored.files}
        return cls(**(fields | {"row": str(fields["row"]), "task": tuple(map(str, fields["task"]))}))
