"""Public patients whose lungs are marked and who did not train: the sets that score the lung network."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.data.lung_images import HELD_OUT_CASE, LungImages, consolidated_planes, load_sources
from training.data.lung_samples import paint_consolidation


@dataclass(frozen=True)
class ScoredSet:
    """Patients with known lungs, none of them trained on.

    Attributes:
        note: what it is and what was assumed, a sentence for the captions.
        patients: planes from the apex downwards; one plane where there is no volume.
        consolidated: for each patient, which planes are consolidated, bool.
    """

    note: str
    patients: tuple[LungImages, ...]
    consolidated: tuple[np.ndarray, ...]

    @property
    def is_volumes(self) -> bool:
        return all(len(item.image) > 1 for item in self.patients)


def paint_held_out(items: Sequence[LungImages], seed: int = 0, attempts: int = 30) -> ScoredSet:
    """Single slices with a consolidation painted in; those into which none of the size fits are left out."""
    painted_items = []
    for number, item in enumerate(items):
        rng = np.random.default_rng((seed, number))
        for _ in range(attempts):
            image = item.image.copy()
            painted = LungImages(image, item.lung, item.spacing_mm)
            where = paint_consolidation(image, item.lung, item.spacing_mm, rng)
            if consolidated_planes(painted, where).all():
                painted_items.append(painted)
                break
    note = "the same slices, each with a consolidation painted into the lungs by the painter that training uses too"
    return ScoredSet(note, tuple(painted_items), tuple(np.ones(1, dtype=bool) for _ in painted_items))


VOLUMES = {
    "lesion_masks": (
        HELD_OUT_CASE,
        (1.5, 1.4, 1.4),
        "the middle of the lungs, too low for more than the axial view, slices with lesions alone, 8-bit with local "
        "contrast enhancement",
    ),
    "lesion_volumes": ("case_*", (8.0, 1.5, 1.5), "whole lungs, 8-bit; no patient of the source trained"),
}
"""Files, spacing and description by source. Neither source states its spacing: these make the lungs about as high and
as wide as lungs are."""
APEX_FIRST = (("lesion_volumes", "case_1"),)
"""The one volume that is stored from the apex downwards."""


def load_scored_sets(data: Path) -> dict[str, ScoredSet]:
    """Every public patient whose lungs are marked and who did not train.

    Raises:
        FileNotFoundError: a part of the data folder is missing.
    """
    _, held_out = load_sources(data)
    singles = [LungImages(item.image[1:2], item.lung[1:2], item.spacing_mm) for item in held_out["lung_slices"]]
    note = "one axial slice a patient: no other view exists; 1.4 mm pixels assumed"
    sets = {
        "lung_slices": ScoredSet(note, tuple(singles), tuple(np.zeros(1, dtype=bool) for _ in singles)),
        "lung_slices, painted": paint_held_out(singles),
    }
    for name, (pattern, spacing_mm, note) in VOLUMES.items():
        paths = sorted((data / name).glob(f"{pattern}.npz"))
        if not paths:
            raise FileNotFoundError(f"The data folder holds no volume of '{name}'. Name a complete one with --data.")
        items, consolidated = [], []
        for path in paths:
            step = 1 if (name, path.stem) in APEX_FIRST else -1
            with np.load(path) as stored:
                item = LungImages(stored["image"][::step], stored["lung"][::step], spacing_mm)
                consolidated.append(consolidated_planes(item, stored["lesion"][::step]))
            items.append(item)
        spacing = " × ".join(f"{length:g}" for length in spacing_mm)
        sets[name] = ScoredSet(f"{note}; spacing {spacing} mm assumed", tuple(items), tuple(consolidated))
    return sets


def fingerprint(sets: dict[str, ScoredSet]) -> str:
    """SHA-256 over images and lungs of all sets, in order."""
    digest = hashlib.sha256()
    for scored in sets.values():
        for item in scored.patients:
            digest.update(item.image.tobytes())
            digest.update(item.lung.tobytes())
    return digest.hexdigest()
