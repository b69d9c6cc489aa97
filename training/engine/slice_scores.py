"""What the networks of the folds say of slices that they did not train on, each scale for itself."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import softmax
from torch import nn

from groundglass.domain.software import sha256_of
from groundglass.method.classifier_network import SCALES
from groundglass.method.slice_classification import with_neighbours
from groundglass.method.weights import load_classifier
from groundglass.presets import SHIPPED
from training.data.classifier_data import ClassifierData
from training.data.patients import Patient
from training.data.public_slices import LabelledSlices
from training.data.slices import SliceSet
from training.engine.inference import score_scales
from training.engine.scale_loss import EveryScale

OUTPUTS = ("joint", *SCALES)
"""What can be asked of the paper's network: all scales together, as the application does, or one alone."""
HEALTHY, INFECTED, FREE, UNMARKED = "healthy", "infected", "free", "unmarked"
"""Kinds of a patient's slices: those of a healthy one; a diseased one's, as radiologists marked them or nobody did."""


@dataclass(frozen=True)
class SliceScores:
    """Scores of slices, each by the network of the fold that tests it.

    Attributes:
        fold: that fold, from 0, `(slice,)`.
        group: slices of one patient have one, `(slice,)`.
        kind: what the source says of each, `(slice,)`; of patients HEALTHY, INFECTED, FREE or UNMARKED.
        label: index into CLASSES, or WEAK_COVID19, `(slice,)`.
        height_mm: where each lies in its patient; not a number for a single picture, `(slice,)`.
        scores: float32 `(slice, view, scale, class)`; the views are the slice and its mirror image, the scales SCALES
            or, of another network, one.
        weights: SHA-256 of each fold's network.
    """

    fold: np.ndarray
    group: np.ndarray
    kind: np.ndarray
    label: np.ndarray
    height_mm: np.ndarray
    scores: np.ndarray
    weights: np.ndarray

    @property
    def outputs(self) -> tuple[str, ...]:
        """What can be asked: OUTPUTS, or `joint` alone where there is one scale."""
        return OUTPUTS if self.scores.shape[2] == len(SCALES) else OUTPUTS[:1]

    def probabilities(
        self,
        output: str = "joint",
        temperature: float | np.ndarray = 1.0,
        neighbours_mm: float = SHIPPED.classification.neighbours_mm,
    ) -> np.ndarray:
        """What the application tells of the slices, `(slice, class)`.

        Args:
            output: one of `outputs`.
            temperature: divides the scores, one or `(slice,)`.
            neighbours_mm: as of `with_neighbours`, among the slices of a group.
        """
        scores = self.scores.sum(axis=2) if output == "joint" else self.scores[:, :, SCALES.index(output)]
        divided = scores.astype(np.float64) / np.reshape(temperature, (-1, 1, 1))
        found = np.asarray(softmax(divided, axis=2).mean(axis=1))
        for group in np.unique(self.group[np.isfinite(self.height_mm)]):
            own = self.group == group
            found[own] = with_neighbours(found[own], self.height_mm[own], neighbours_mm)
        return found

    def pneumonia(
        self,
        output: str = "joint",
        temperature: float | np.ndarray = 1.0,
        neighbours_mm: float = SHIPPED.classification.neighbours_mm,
    ) -> np.ndarray:
        """P(CAP) + P(COVID-19), `(slice,)`; arguments as of `probabilities`."""
        return 1.0 - self.probabilities(output, temperature, neighbours_mm)[:, 0]

    def select(self, chosen: np.ndarray) -> "SliceScores":
        """Those of a bool or index array."""
        rows = {name: array[chosen] for name, array in vars(self).items() if name != "weights"}
        return SliceScores(**rows, weights=self.weights)

    def save(self, path: Path) -> None:
        """Write the file whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.part.npz")
        np.savez_compressed(aside, **vars(self))
        os.replace(aside, path)

    @classmethod
    def load(cls, path: Path) -> "SliceScores":
        with np.load(path, allow_pickle=False) as stored:
            return cls(**{key: stored[key] for key in stored.files})


def slices_of_patients(patients: Sequence[Patient]) -> LabelledSlices:
    """All slices of patients; their kinds are those of `SliceScores`."""
    kinds = []
    for patient in patients:
        if not patient.label:
            kinds.append(np.full(len(patient.slices.hu), HEALTHY))
        elif patient.infected is None:
            kinds.append(np.full(len(patient.slices.hu), UNMARKED))
        else:
            kinds.append(np.where(patient.infected, INFECTED, FREE))
    sizes = [len(patient.slices.hu) for patient in patients]
    fields = (
        np.concatenate([getattr(patient.slices, field) for patient in patients]) for field in SliceSet.__annotations__
    )
    return LabelledSlices(
        SliceSet(*fields),
        np.repeat([patient.label for patient in patients], sizes),
        np.repeat([patient.name for patient in patients], sizes),
        np.concatenate(kinds),
    )


def tested_sets(data: ClassifierData, tested: Sequence[Sequence[str]]) -> dict[str, tuple[LabelledSlices, np.ndarray]]:
    """All that the folds test by set, and the fold of each slice, `(slice,)`.

    Args:
        data: everything to score.
        tested: the names of the patients that each fold tests.
    """
    patients = slices_of_patients(data.patients.patients)
    fold_of = {name: fold for fold, names in enumerate(tested) for name in names}
    sets = {
        "iq_oth": (data.iq_oth, data.iq_oth.places(len(tested))),
        "patients": (patients, np.array([fold_of[str(name)] for name in patients.group])),
    }
    if data.mosmed is not None:
        sets["mosmed"] = (data.mosmed, data.mosmed.places(len(tested)))
    return sets


def read_every_scale(weights: Path) -> EveryScale:
    """The paper's network, each scale for itself."""
    return EveryScale(load_classifier(weights))


def score_folds(
    file: Path,
    networks: Sequence[Path],
    slices: LabelledSlices,
    place: np.ndarray,
    read: Callable[[Path], nn.Module] = read_every_scale,
) -> SliceScores:
    """Score each slice with the network of the fold that tests it; done once for the same networks and slices.

    Args:
        file: keeps the scores.
        networks: weights of each fold's network; where there is none, the scores in `file` are taken as they are.
        slices: all that the folds test.
        place: fold of each slice, `(slice,)`.
        read: from the weights to a network whose output is `(batch, scale, class)`.
    """
    weights = np.array([sha256_of(network) for network in networks])
    if file.exists():
        kept = SliceScores.load(file)
        same_slices = np.array_equal(kept.group, slices.group) and np.array_equal(kept.fold, place)
        if not len(weights) or (same_slices and np.array_equal(kept.weights, weights)):
            return kept
    masked = SHIPPED.classification.hide_outside_lungs
    of_fold = {
        fold: score_scales(read(networks[fold]), slices.select(place == fold).slices, masked)
        for fold in map(int, np.unique(place))
    }
    scores = np.empty((len(place), *of_fold[int(place[0])].shape[1:]), dtype=np.float32)
    for fold, part in of_fold.items():
        scores[place == fold] = part
    found = SliceScores(place, slices.group, slices.kind, slices.label, slices.slices.height_mm, scores, weights)
    found.save(file)
    return found
