"""Slices whose lesions radiologists marked, as the classifier sees them: for scoring alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from groundglass.method.classifier_network import INPUT_SIZE
from groundglass.method.lung_network import LungUNet
from groundglass.method.slice_input import LungSquare, normalise_square
from training.data.pictures import find_lungs, place_window, read_picture

BODY_MM = 360.0
"""Field of view assumed, since neither form states a pixel size: the usual one of a chest CT."""
SMALLEST_LESION = 0.002
"""Part of the slice's lungs that has to be marked for the slice to count as one with a lesion."""


class UnusableSet(ValueError):
    """A folder of images, masks or volumes can't be used."""


@dataclass(frozen=True)
class LesionSlice:
    """One slice, cut to the square around its lungs, `(224, 224)`.

    Attributes:
        source: the set it comes from.
        group: the patient, or the slice itself where its patient is unknown: what intervals are drawn over.
        image: float32 in [0, 1], zero outside the lungs.
        lung, lesion: bool; lesions outside the lungs are left out.
        pixel_mm: assumed.
    """

    source: str
    group: str
    image: np.ndarray
    lung: np.ndarray
    lesion: np.ndarray
    pixel_mm: float


def read_pictures(images: Path, masks: Path, network: LungUNet) -> Iterator[LesionSlice]:
    """PNG pairs of the same name; the lungs are found by the shipped network.

    Raises:
        UnusableSet: there are no images, or a mask is missing or of another size.
        PictureRefused: a file can't be read.
    """
    paths = sorted(images.glob("*.png"))
    if not paths:
        raise UnusableSet(f"There is no PNG in {images}.")
    for path in paths:
        if not (masks / path.name).exists():
            raise UnusableSet(f"{masks} holds no mask named {path.name}: each image needs one of its own name.")
        grey, lesion = read_picture(path), read_picture(masks / path.name) > 0
        if grey.shape != lesion.shape:
            raise UnusableSet(f"The mask {path.name} has {lesion.shape} pixels, its image {grey.shape}.")
        lung = find_lungs(network, grey)
        if lung.any():
            yield cut_slice(images.parent.name, f"{images.parent.name}/{path.stem}", grey, lung, lesion)


def read_volumes(folder: Path, slices_each: int) -> Iterator[LesionSlice]:
    """`.npz` volumes with `image`, `lung` and `lesion`: as many slices with lesions as asked, evenly spread.

    Raises:
        UnusableSet: there is no volume, or one lacks an array.
    """
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise UnusableSet(f"There is no .npz in {folder}.")
    for path in paths:
        with np.load(path) as stored:
            if missing := {"image", "lung", "lesion"} - set(stored.files):
                raise UnusableSet(f"{path.name} lacks {', '.join(sorted(missing))}.")
            image, lung, lesion = stored["image"], stored["lung"], stored["lesion"] & stored["lung"]
        for index in evenly(usable_slices(lung, lesion), slices_each):
            yield cut_slice(folder.name, f"{folder.name}/{path.stem}", image[index], lung[index], lesion[index])


def usable_slices(lung: np.ndarray, lesion: np.ndarray) -> np.ndarray:
    """Indices of the slices of a volume that show enough lung and a lesion; both `(slice, row, col)`."""
    lungs = lung.sum(axis=(1, 2))
    usable: np.ndarray = np.nonzero((lungs > 0.2 * lungs.max()) & (lesion.sum(axis=(1, 2)) >= SMALLEST_LESION * lungs))[
        0
    ]
    return usable


def evenly(values: Sequence[int] | np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the values, evenly spread, without the very ends."""
    values = np.asarray(values)
    if len(values) <= count:
        return values
    return np.asarray(values[((np.arange(count) + 0.5) * len(values) / count).astype(int)])


def cut_slice(
    source: str,
    group: str,
    grey: np.ndarray,
    lung: np.ndarray,
    lesion: np.ndarray,
    square: LungSquare | None = None,
) -> LesionSlice:
    """The square around the lungs of one slice, or another."""
    square = square or LungSquare.around(lung, (1.0, 1.0))
    cut_lung = square.resize(lung, 0.0) > 0.5
    values = square.resize(grey.astype(np.float32), 0.0)
    image = normalise_square(values, cut_lung, place_window(grey, lung), masked=True)
    pixel_mm = square.rows * BODY_MM / max(grey.shape) / INPUT_SIZE
    marked = (square.resize(lesion, 0.0) > 0.5) & cut_lung
    return LesionSlice(source, group, image.astype(np.float32), cut_lung, marked, pixel_mm)
