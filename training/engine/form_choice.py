"""Which form the COVID-CT benchmark's machine has: chosen by cross-validation inside the training split alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from tqdm import tqdm

from training.data.covid_ct_figures import VIEWS
from training.networks.frozen_features import CopiesMachine

FOLDS = 5
BLOCKS: tuple[tuple[int, ...], ...] = ((0, 1, 2, 3, 4), (0, 1, 2), (2, 3, 4), (3, 4))
"""Which of the network's five blocks the machine sees."""
PENALTIES = (1.0, 10.0)
Folds = Sequence[tuple[np.ndarray, np.ndarray]]
"""Of each, the images that it learns from and those it is asked about, as indices."""
Features = Mapping[str, Sequence[np.ndarray]]
"""By view, the features `(image, copy, feature)` of each block."""


@dataclass(frozen=True)
class Form:
    """What the machine sees, and how it is fitted.

    Attributes:
        views: of each figure, whose features stand side by side.
        blocks: of the network, from 0.
        penalty: C of the machine.
    """

    views: tuple[str, ...]
    blocks: tuple[int, ...]
    penalty: float

    @property
    def title(self) -> str:
        views, blocks = " and ".join(self.views), ", ".join(str(block + 1) for block in self.blocks)
        return f"view {views}, blocks {blocks}, C = {self.penalty:g}"

    def select(self, features: Features) -> np.ndarray:
        """Its features `(image, copy, feature)`."""
        return np.concatenate([features[view][block] for view in self.views for block in self.blocks], axis=2)


FORMS = tuple(
    Form(views, blocks, penalty)
    for views, blocks, penalty in product((*((v,) for v in VIEWS), VIEWS), BLOCKS, PENALTIES)
)


def areas_of_folds(found: np.ndarray, label: np.ndarray, folds: Folds) -> list[float]:
    """AUC within each fold of what is said of its images, `(image,)`."""
    return [float(roc_auc_score(label[asked], found[asked])) for _, asked in folds]


def deal_folds(label: np.ndarray, group: np.ndarray, seed: int = 0) -> Folds:
    """Folds with a like part of each class, each group whole in one of them.

    Args:
        label: 0 or 1, `(image,)`.
        group: images of one group stay in one fold, `(image,)`.
        seed: of the folds.
    """
    folds = min(FOLDS, *(len(np.unique(group[label == value])) for value in (0, 1)))
    if folds < 2:
        raise ValueError("Cross-validation needs two groups of figures of each class.")
    return list(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(label, label, group))


def choose_form(
    features: Features, label: np.ndarray, group: np.ndarray, forms: Sequence[Form] = FORMS, seed: int = 0
) -> tuple[Form, dict[str, Any], np.ndarray]:
    """The form of the highest mean AUC over folds by group, the report of all, and what it says.

    Args:
        features: of the training split.
        label: 0 or 1, `(image,)`.
        group: images of one group stay in one fold, `(image,)`.
        forms: to choose from.
        seed: of the folds.

    Returns:
        The form; `folds`, `groups`, `chosen` and by form's title the `mean` and the `folds`' AUC, best first; and of
        each image what the machine of its fold says, `(image,)`.
    """
    parts = deal_folds(label, group, seed)
    areas: dict[Form, list[float]] = {}
    found: dict[Form, np.ndarray] = {}
    for form in tqdm(forms, desc="forms", unit="form"):
        seen = form.select(features)
        found[form] = np.empty(len(label))
        for learned, asked in parts:
            machine = CopiesMachine(form.penalty).fit(seen[learned], label[learned])
            found[form][asked] = machine.predict(seen[asked])
        areas[form] = areas_of_folds(found[form], label, parts)
    ordered = sorted(areas, key=lambda form: -float(np.mean(areas[form])))
    report = {
        "folds": len(parts),
        "groups": len(np.unique(group)),
        "chosen": ordered[0].title,
        "forms": {form.title: {"mean": float(np.mean(areas[form])), "folds": areas[form]} for form in ordered},
    }
    return ordered[0], report, found[ordered[0]]
