"""Samples for the classifier: slices of patients, and healthy slices with disease painted in, augmented."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from groundglass.method.classifier_network import INPUT_SIZE
from groundglass.method.normalisation import scale_to_window
from groundglass.phantom.painted_lesions import paint_pattern
from training.data.augmentation import turn, warp
from training.data.patients import Patient
from training.data.slices import SliceSet

Draw = Callable[[int, int], tuple[np.ndarray, Any]]
"""From iteration and number in the batch to planes, float32 `(channel, row, col)`, and target (a label or a mask)."""
ATTEMPTS = 20
"""Base slices tried until one takes the disease."""
SLICE_MM = 5.0
"""Thickness that a single slice is painted with."""
SMALLEST_DISEASE_MM2 = 60.0
"""A painted slice with less painted lung than this counts as healthy."""


def painted_draw(bases: SliceSet, seed: int, labels: Sequence[int], contrast: bool = True) -> Draw:
    """Draw painted slices, `labels` in turn.

    Args:
        bases: healthy slices.
        seed: of all random choices.
        labels: class indices to paint; a sample's target is its position among them.
        contrast: with contrast augmentation.
    """

    def draw(iteration: int, n: int) -> tuple[np.ndarray, int]:
        for attempt in range(ATTEMPTS):
            rng = np.random.default_rng((seed, iteration, n, attempt))
            number, label = int(rng.integers(len(bases.hu))), labels[n % len(labels)]
            image, painted = draw_painted(bases, number, label, rng, contrast)
            if painted in labels:  # a slice too small for its disease is healthy, which no label may stand for
                return image[None], labels.index(painted)
        raise RuntimeError(f"{ATTEMPTS} healthy slices in turn were too small for a lesion: use larger bases.")

    return draw


def patients_draw(
    patients: Sequence[Patient],
    suspects: dict[str, np.ndarray],
    seed: int,
    labels: Sequence[int],
    contrast: bool = True,
) -> Draw:
    """Draw slices of real patients, `labels` in turn; `suspects` are the slices of each patient that may be drawn."""
    pool = {
        label: [(patient, int(number)) for patient in patients if patient.label == label
                for number in suspects[patient.name]]
        for label in labels
    }  # fmt: skip

    def draw(iteration: int, n: int) -> tuple[np.ndarray, int]:
        rng = np.random.default_rng((seed, iteration, n, 1))
        position = n % len(labels)
        patient, number = pool[labels[position]][rng.integers(len(pool[labels[position]]))]
        return draw_real(patient.slices, number, rng, contrast)[None], position

    return draw


def slices_draw(slices: SliceSet, label: int, seed: int) -> Draw:
    """Draw real slices of one class; `label` is the target."""

    def draw(iteration: int, n: int) -> tuple[np.ndarray, int]:
        rng = np.random.default_rng((seed, iteration, n, 2))
        return draw_real(slices, int(rng.integers(len(slices.hu))), rng)[None], label

    return draw


def in_turn(draws: Sequence[Draw]) -> Draw:
    """The samples of a batch from each in turn: every batch of their number, or a multiple, holds all equally often."""

    def draw(iteration: int, n: int) -> tuple[np.ndarray, int]:
        return draws[n % len(draws)](iteration, n // len(draws))

    return draw


def half_and_half(real: Draw, painted: Draw) -> Draw:
    """Every second sample from each: every batch holds both."""

    def draw(iteration: int, n: int) -> tuple[np.ndarray, int]:
        return real(iteration, n // 2) if n % 2 else painted(iteration, n // 2)

    return draw


def draw_painted(
    bases: SliceSet, number: int, label: int, rng: np.random.Generator, contrast: bool = True
) -> tuple[np.ndarray, int]:
    """One augmented input `(224, 224)` and its class: base slice `number` with the disease of `label` painted in.

    Where too little of the disease fits into the slice, the class is NP.
    """
    hu, lung = bases.hu[number][None].copy(), bases.lung[number][None]
    pixel_mm = float(bases.pixel_mm[number])
    if rng.random() < 0.4:
        _add_dependent_density(hu, lung, rng)
    if label:
        painted = paint_pattern(hu, lung, (SLICE_MM, pixel_mm, pixel_mm), "cap" if label == 1 else "covid19", rng)
        if painted.sum() * pixel_mm**2 < SMALLEST_DISEASE_MM2:
            label = 0
    return augment(hu[0], lung[0], bases.window[number], rng, contrast), label


def _add_dependent_density(hu: np.ndarray, lung: np.ndarray, rng: np.random.Generator) -> None:
    """The haze at the back of the lungs of anyone who lies down.

    Args:
        hu: int16 `(1, row, col)` in HU, changed in place.
        lung: bool, same shape.
        rng: random source.
    """
    rows = np.nonzero(lung.any(axis=(0, 2)))[0]
    if not len(rows):
        return
    depth = (np.arange(lung.shape[1]) - rows[0]) / max(rows[-1] - rows[0], 1)
    band = np.clip((depth - rng.uniform(0.6, 0.9)) / 0.15, 0, 1)[None, :, None] * rng.uniform(30.0, 160.0)
    hu[:] = np.rint(hu + band * lung * (hu < -500)).astype(np.int16)


def draw_real(slices: SliceSet, number: int, rng: np.random.Generator, contrast: bool = True) -> np.ndarray:
    """One augmented input `(224, 224)` of a real slice."""
    return augment(slices.hu[number], slices.lung[number], slices.window[number], rng, contrast)


def augment(
    hu: np.ndarray, lung: np.ndarray, window: np.ndarray, rng: np.random.Generator, contrast: bool = True
) -> np.ndarray:
    """II-G.3 on one slice: crop, rotation, mirror, contrast; and noise, blur, and lungs alone or not.

    Args:
        hu: `(224, 224)` in HU.
        lung: bool, same shape.
        window: low and high end of the normalisation.
        rng: random source.
        contrast: whether brightness and contrast change (the row "NCA" of the tables goes without).
    """
    image = scale_to_window(hu, *window)
    matrix = turn(rng.uniform(-25.0, 25.0), rng.uniform(0.8, 1.05))
    if rng.random() < 0.5:
        matrix[0] *= -1
    shift = rng.uniform(-0.05, 0.05, (2, 1))
    image, mask = warp(np.stack([image, lung.astype(np.float32)]), matrix, shift, INPUT_SIZE)
    if rng.random() < 0.3:
        image = ndimage.gaussian_filter(image, rng.uniform(0.3, 1.1))
    if rng.random() < 0.5:
        image = image + rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(0.0, 0.04))
    if rng.random() < 0.5:
        image = image * (mask > 0.5)
    gamma, factor = np.float32(rng.uniform(0.8, 1.25)), np.float32(rng.uniform(0.7, 1.3))
    if contrast:
        image = np.clip(image, 0, 1) ** gamma * factor
    return np.clip(image, 0.0, 1.0).astype(np.float32)
