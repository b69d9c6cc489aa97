"""COVID-19 patients of other hospitals whose lesions are marked: they score the classifier, and never train it.

Three public sets, pictures of 8 bits: `lesion_volumes` has whole lungs, `lesion_masks` the slices with lesions from the
middle of the lungs, `lesion_slices` single slices that name no patient.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from groundglass.method.lung_network import LungUNet
from training.data.pictures import read_picture
from training.data.public_slices import slices_in_hu
from training.data.slices import SliceSet, lungs_digest

VOLUMES = ("lesion_volumes", "lesion_masks")
SINGLE_SLICES = "lesion_slices"


@dataclass(frozen=True)
class MarkedSlices:
    """Slices on which lungs are found, of one patient or of a set of single slices.

    Attributes:
        name: the set's, and of a patient the case's.
        slices: in HU.
        lesion: whether a slice has a lesion, bool `(slice,)`.
    """

    name: str
    slices: SliceSet
    lesion: np.ndarray


def read_marked_lesions(data: Path, cache: Path, network: LungUNet) -> list[MarkedSlices]:
    """What the data folder has of the three sets; prepared slices are kept in `cache`.

    Args:
        data: the data folder.
        cache: for `<name>.<hash>.npz`, with the hash of the pictures and of what found their lungs.
        network: finds the lungs.
    """
    found = []
    for source in VOLUMES:
        for path in sorted((data / source).glob("*.npz")):
            with np.load(path) as stored:
                pictures, lesion = list(stored["image"]), stored["lesion"].any(axis=(1, 2))
            found.append(_prepare(f"{source} {path.stem}", pictures, lesion, cache, network))
    files = sorted((data / SINGLE_SLICES / "image").glob("*.png"))
    if files:
        lesion = np.ones(len(files), dtype=bool)  # the set has no slice without
        found.append(_prepare(SINGLE_SLICES, [read_picture(file) for file in files], lesion, cache, network))
    return found


def _prepare(name: str, pictures: list[np.ndarray], lesion: np.ndarray, cache: Path, network: LungUNet) -> MarkedSlices:
    digest = hashlib.sha256(lungs_digest(network))
    for picture in pictures:
        digest.update(f"{picture.dtype} {picture.shape}".encode() + picture.tobytes())
    stored = cache / f"{name.replace(' ', '.')}.{digest.hexdigest()[:16]}.npz"
    if not stored.exists():
        slices_in_hu(network, pictures, name, len(pictures)).save(stored)
    slices = SliceSet.load(stored)
    return MarkedSlices(name, slices, lesion[slices.index])
