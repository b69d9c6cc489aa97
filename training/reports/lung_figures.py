"""How well lungs are found: Dice, 95 % Hausdorff distance, and their means over patients."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from groundglass.dicomio.reading.scan import scan_folder
from groundglass.dicomio.reading.volume import read_images
from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG
from groundglass.method.lung_network import LungUNet
from groundglass.method.lung_segmentation import VIEWS
from groundglass.phantom.study import STORED_AXES, write_study
from groundglass.phantom.thorax import make_thorax
from training.data.lung_images import LungImages, threshold_images
from training.data.normalisation import Normalisation
from training.data.scored_lungs import ScoredSet, fingerprint
from training.data.segmentation import find_lungs, segment, segment_planes
from training.networks.monai_parts import compute_hausdorff_distance


def dice_score(found: np.ndarray, true: np.ndarray) -> float:
    """Dice of two bool masks; 1 where both are empty."""
    total = int(found.sum()) + int(true.sum())
    return 2.0 * int((found & true).sum()) / total if total else 1.0


def hausdorff_95_mm(found: np.ndarray, true: np.ndarray, spacing_mm: Sequence[float]) -> float | None:
    """95 % Hausdorff distance of two masks, the larger of the two directions; None where a mask is empty."""
    if not found.any() or not true.any():
        return None
    pair = [torch.from_numpy(np.ascontiguousarray(mask))[None, None] for mask in (found, true)]
    spacing = list(spacing_mm)
    if len(found) == 1:
        pair, spacing = [mask[:, :, 0] for mask in pair], spacing[1:]
    distance = compute_hausdorff_distance(*pair, include_background=True, percentile=95, spacing=spacing)
    return float(distance)


def mean_over_patients(values: Sequence[float | None], seed: int = 0, resamples: int = 10_000) -> dict[str, Any]:
    """Mean with its 95 % interval by bootstrap over patients; patients with no value are counted apart.

    One patient has no interval, and none no mean: None.
    """
    known = np.array([value for value in values if value is not None])
    figures: dict[str, Any] = {
        "patients": len(known),
        "without_value": len(values) - len(known),
        "mean": float(known.mean()) if len(known) else None,
        "interval": None,
        "values": [None if value is None else round(float(value), 5) for value in values],
    }
    if len(known) > 1:
        means = np.random.default_rng(seed).choice(known, (resamples, len(known))).mean(axis=1)
        figures["interval"] = [float(end) for end in np.percentile(means, (2.5, 97.5))]
    return figures


def score_held_out(
    network: LungUNet, held_out: dict[str, list[LungImages]], normalisation: Normalisation
) -> dict[str, Any]:
    """Dice of every held-out patient, all axial slices of one taken together, by source."""
    scores = {
        name: [
            dice_score(segment_planes(network, item.image, normalisation.windows(item.image)), item.lung)
            for item in items
        ]
        for name, items in held_out.items()
    }
    every = [score for values in scores.values() for score in values]
    return {
        "held_out_dice": {name: mean_over_patients(values) | {"worst": min(values)} for name, values in scores.items()},
        "patients": len(every),
        "mean_dice": float(np.mean(every)),
    }


ROWS = {"none": "no normalisation", "fixed": "fixed window", "sliding": "sliding window"}
"""Fig. 3's rows by the name of the folder in the run."""
VIEWS_OF = {"single view": ("axial",), "multi-view voting": tuple(VIEWS)}
SHIPPED, THRESHOLD = "shipped weights", "thresholding"
Masks = dict[str, list[np.ndarray]]
"""Lungs found by one method: by set, one bool `(plane, row, col)` a patient."""


def find_everywhere(method: Callable[[LungImages], np.ndarray], sets: dict[str, ScoredSet], title: str) -> Masks:
    """Lungs that `method` finds in every patient of `sets`."""
    return {
        name: [method(item) for item in tqdm(scored.patients, desc=f"{title}: {name}", unit="patient")]
        for name, scored in sets.items()
    }


def find_by_all(
    networks: dict[str, tuple[LungUNet, Normalisation]], sets: dict[str, ScoredSet]
) -> dict[str, dict[str, Masks]]:
    """Lungs by every method: row, view, set. Single slices appear under the single view alone."""
    volumes = {name: scored for name, scored in sets.items() if scored.is_volumes}
    found = {THRESHOLD: {"": find_everywhere(threshold_images, sets, THRESHOLD)}}
    for row, (network, normalisation) in networks.items():
        found[row] = {
            view: find_everywhere(
                partial(find_lungs, network, normalisation, views=planes),
                sets if len(planes) == 1 else volumes,
                f"{row}, {view}",
            )
            for view, planes in VIEWS_OF.items()
        }
    return found


def score_masks(masks: Sequence[np.ndarray], scored: ScoredSet) -> dict[str, Any]:
    """Dice and 95 % Hausdorff distance over all planes, and Dice over the consolidated planes of those who have any."""
    pairs = list(zip(masks, scored.patients, strict=True))
    dense = [
        dice_score(found[planes], item.lung[planes])
        for (found, item), planes in zip(pairs, scored.consolidated, strict=True)
        if planes.any()
    ]
    return {
        "dice": mean_over_patients([dice_score(found, item.lung) for found, item in pairs]),
        "hausdorff_95_mm": mean_over_patients(
            [hausdorff_95_mm(found, item.lung, item.spacing_mm) for found, item in pairs]
        ),
        "dice_consolidated": mean_over_patients(dense)
        | {"slices": int(sum(planes.sum() for planes in scored.consolidated))},
    }


def score_all(networks: dict[str, tuple[LungUNet, Normalisation]], sets: dict[str, ScoredSet]) -> dict[str, Any]:
    """The report's part `dice`: figures by row, view and set."""
    found = find_by_all(networks, sets)
    return {
        "fingerprint": fingerprint(sets),
        "sets": {name: {"note": scored.note, "patients": len(scored.patients)} for name, scored in sets.items()},
        "rows_missing": [title for row, title in ROWS.items() if title not in networks],
        "figures": {
            row: {
                view: {name: score_masks(masks, sets[name]) for name, masks in by_set.items()}
                for view, by_set in by_view.items()
            }
            for row, by_view in found.items()
        },
    }


def score_sides(network: LungUNet, slices: int = 60, size: int = 256) -> dict[str, Any]:
    """Dice of each lung on the phantom, written as DICOM and read back, by Patient Position."""
    preset = "covid19"
    volume, truth = make_thorax(preset, slices=slices, size=size)
    figures = {}
    for position in tqdm(STORED_AXES, desc="right and left", unit="series"):
        with TemporaryDirectory() as folder:
            write_study(volume, Path(folder), preset=preset, patient_position=position)
            stored = read_images(scan_folder(Path(folder)).series[0].instances).volume
        labels = stored.to_canonical(segment(network, stored).labels)
        figures[position] = {
            "right": dice_score(labels == RIGHT_LUNG, truth.lungs == RIGHT_LUNG),
            "left": dice_score(labels == LEFT_LUNG, truth.lungs == LEFT_LUNG),
            "right_called_left": float((labels[truth.lungs == RIGHT_LUNG] == LEFT_LUNG).mean()),
            "left_called_right": float((labels[truth.lungs == LEFT_LUNG] == RIGHT_LUNG).mean()),
        }
    return figures
