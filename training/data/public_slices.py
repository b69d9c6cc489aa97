"""Single slices of many patients as training data: MosMedData and IQ-OTH/NCCD, pictures of 8 bits, in HU again.

A picture has lost its HU. Aerated lung and soft tissue are found in each (`training.data.pictures`) and put where they
lie in slices in HU, so that disease can be painted in and every source looks alike.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from groundglass.domain.class_names import CLASSES
from groundglass.method.classifier_network import INPUT_SIZE
from groundglass.method.lung_network import LungUNet
from groundglass.presets import SHIPPED
from training.data.pictures import AERATED_GREY, prepare_picture, read_picture
from training.data.slices import SliceSet, lungs_digest

NP, CAP, COVID19 = range(len(CLASSES))
WEAK_COVID19 = len(CLASSES)
"""Label of a slice of a COVID-19 patient that may show none of it; see `training.engine.scale_loss`."""
AERATED_HU = -866.0
"""Where the aerated lung of a picture is put: .10 of the window of 1400 HU from -1006 HU, as in slices in HU."""
LUNGS_MM = 300.0
"""Side of the square around the lungs of an adult: pictures state no pixel size, and painting needs a rough one."""
BLOCK = 12
"""Pictures of IQ-OTH in a block: numbers run by patient, about ten a patient, and no file says where one ends."""


class NoPictures(ValueError):
    """A set of pictures is not in the data folder."""


@dataclass(frozen=True)
class LabelledSlices:
    """Slices of many patients.

    Attributes:
        slices: in HU; `index` counts the pictures.
        label: index into CLASSES, or WEAK_COVID19, `(slice,)`.
        group: of each slice; slices of one patient have one group, `(slice,)`.
        kind: what the source says of each: CT-0, CT-1, CT-2, or normal, benign, malignant, `(slice,)`.
    """

    slices: SliceSet
    label: np.ndarray
    group: np.ndarray
    kind: np.ndarray

    def select(self, chosen: np.ndarray) -> "LabelledSlices":
        """Those of a bool or index array."""
        slices = SliceSet(*(array[chosen] for array in vars(self.slices).values()))
        return LabelledSlices(slices, self.label[chosen], self.group[chosen], self.kind[chosen])

    def places(self, folds: int) -> np.ndarray:
        """The fold of `folds` that tests each slice, `(slice,)`: the groups of each kind in runs of equal length.

        Runs, because neighbouring groups of IQ-OTH may share a patient: so one patient a kind and border can, at most.
        """
        place = np.zeros(len(self.group), dtype=int)
        for kind in np.unique(self.kind):
            own = self.kind == kind
            groups, number = np.unique(self.group[own], return_inverse=True)
            place[own] = number * folds // len(groups)
        return place

    def fold(self, number: int, folds: int, tested: bool) -> "LabelledSlices":
        """The slices that fold `number` of `folds` tests, or those that it trains on."""
        return self.select((self.places(folds) == number) == tested)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over slices, labels and groups."""
        digest = hashlib.sha256()
        for array in (*vars(self.slices).values(), self.label, self.group):
            digest.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
        return digest.hexdigest()


def read_mosmed(data: Path, cache: Path, network: LungUNet) -> LabelledSlices:
    """MosMedData: one slice through the middle of the chest of each patient.

    CT-0 is NP, CT-2 COVID-19. CT-1 has disease in less than a quarter of the lungs, and in many a middle slice none.

    Raises:
        NoPictures: the folder `mosmed_slices` is missing or empty.
    """
    label_of = {"ct0": NP, "ct1": WEAK_COVID19, "ct2": COVID19}
    files = _pictures(data / "mosmed_slices")
    kinds = [re.search(r"_(ct\d)-", file.name)[1] for file in files]  # type: ignore[index]
    return _read(
        files, [label_of[kind] for kind in kinds], [file.stem for file in files], kinds, cache / "mosmed", network
    )


def read_iq_oth(data: Path, cache: Path, network: LungUNet) -> LabelledSlices:
    """IQ-OTH/NCCD: healthy lungs, benign nodules and cancer, all of them NP.

    Raises:
        NoPictures: the folder `iq_oth_nccd` is missing or empty.
    """
    files = _pictures(data / "iq_oth_nccd")
    kinds = [file.parent.name for file in files]
    groups = [f"{file.parent.name}-{int(file.stem.rpartition('_')[2]) // BLOCK:03d}" for file in files]
    return _read(files, [NP] * len(files), groups, kinds, cache / "iq_oth", network)


def _pictures(folder: Path) -> list[Path]:
    files = sorted(folder.rglob("*.jpg"))
    if not files:
        raise NoPictures(f"The data folder has no pictures in {folder.name}/: put them there, or name another --data.")
    return files


def _read(
    files: Sequence[Path], label: list[int], group: list[str], kind: list[str], cache: Path, network: LungUNet
) -> LabelledSlices:
    stored = cache.with_name(f"{cache.name}.{lungs_digest(network).hex()[:16]}.npz")
    if not stored.exists():
        slices_in_hu(network, map(read_picture, files), cache.name, len(files)).save(stored)
    slices = SliceSet.load(stored)
    return LabelledSlices(
        slices, np.array(label)[slices.index], np.array(group)[slices.index], np.array(kind)[slices.index]
    )


def slices_in_hu(network: LungUNet, pictures: Iterable[np.ndarray], description: str, count: int) -> SliceSet:
    """Pictures on which lungs are found, as slices in HU; `index` is the picture's place.

    Args:
        network: finds the lungs.
        pictures: uint8 `(row, col)` each, any size.
        description: of the progress bar.
        count: how many pictures there are.
    """
    window = SHIPPED.classification.window
    hu, lung, index = [], [], []
    for number, grey in enumerate(tqdm(pictures, desc=description, total=count, unit="picture")):
        picture = prepare_picture(network, grey)
        if not picture.found:
            continue
        low, high = picture.window
        part = (picture.grey - low) / (high - low)
        hu.append(np.rint(np.clip(AERATED_HU + (part - AERATED_GREY) * window.width, -1024, 1500)).astype(np.int16))
        lung.append(picture.lung)
        index.append(number)
    low_hu = AERATED_HU - AERATED_GREY * window.width
    windows = np.tile([low_hu, low_hu + window.width], (len(hu), 1))
    pixel_mm = np.full(len(hu), LUNGS_MM / INPUT_SIZE)
    return SliceSet(np.stack(hu), np.stack(lung), windows, pixel_mm, np.array(index), np.full(len(hu), np.nan))
