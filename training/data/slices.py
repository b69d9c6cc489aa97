"""Slices for the classifier: healthy ones to paint disease into, and the six COVID-CT-MD patients.

Every slice becomes the classifier's own input: the square around the lungs, 224 x 224. The lungs come from the shipped
lung network, as they do in the application.
"""

import csv
import hashlib
import inspect
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from groundglass.dicomio.reading.scan import scan_folder
from groundglass.dicomio.reading.volume import read_images
from groundglass.domain.errors import Refusal
from groundglass.domain.refusals import RefusalCode
from groundglass.domain.volume import CANONICAL_AXES, LEFT_LUNG, RIGHT_LUNG, CTVolume
from groundglass.method import lung_regions, lung_segmentation
from groundglass.method.classifier_network import INPUT_SIZE
from groundglass.method.lung_network import LungUNet
from groundglass.method.slice_input import AIR_HU, LungSquare, SliceInputs, normalise_square
from groundglass.presets import SHIPPED
from training.data.segmentation import segment, segment_planes

PATIENT_CLASS = {
    "P001": "covid19", "P002": "covid19", "cap001": "cap", "cap002": "cap", "normal001": "np", "normal002": "np",
}  # fmt: skip
PAINTING_BASES = ("luna", "lung_slices", "lung_dx_A0001")
"""Healthy slices to paint disease into: of 375, of 197 and of one patient."""
MINIMUM_LUNG_MM2 = SHIPPED.classification.minimum_lung_mm2
WINDOW = SHIPPED.classification.window


@dataclass(frozen=True)
class SliceSet:
    """Slices of one patient or of one source, already cut to the square around the lungs.

    Attributes:
        hu: int16 `(slice, 224, 224)`.
        lung: bool, same shape.
        window: low and high end of the normalisation, `(slice, 2)`.
        pixel_mm: pixel size of each slice, `(slice,)`.
        index: slice index in the source volume, `(slice,)`.
        height_mm: where each slice lies in its volume, from the first one down; not a number for a single picture.
    """

    hu: np.ndarray
    lung: np.ndarray
    window: np.ndarray
    pixel_mm: np.ndarray
    index: np.ndarray
    height_mm: np.ndarray

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.stem}.{os.getpid()}.part.npz")  # of this process: several prepare at once
        np.savez_compressed(aside, **vars(self))
        os.replace(aside, path)  # a half-written cache would be read as if it were whole

    @classmethod
    def load(cls, path: Path) -> "SliceSet":
        with np.load(path) as stored:
            return cls(**{key: stored[key] for key in stored.files})

    def image(self, number: int, masked: bool) -> np.ndarray:
        """The classifier's input in [0, 1]."""
        return normalise_square(self.hu[number], self.lung[number], self.window[number], masked)


def _cut(
    hu: np.ndarray, lungs: np.ndarray, square: LungSquare, pixel_mm: float
) -> tuple[np.ndarray, np.ndarray, float]:
    cut_hu = np.rint(square.resize(hu, AIR_HU)).astype(np.int16)
    cut_lung = square.resize(lungs.astype(np.float32), 0.0) > 0.5
    return cut_hu, cut_lung, square.rows * pixel_mm / INPUT_SIZE


def _gather(
    cuts: list, windows: Sequence[tuple[float, float]], indices: Sequence[int] | np.ndarray, slice_mm: float
) -> SliceSet:
    hu, lung, pixel_mm = zip(*cuts, strict=True)
    index = np.array(indices)
    return SliceSet(np.stack(hu), np.stack(lung), np.array(windows), np.array(pixel_mm), index, index * slice_mm)


def slices_of_volume(network: LungUNet, volume: CTVolume) -> SliceSet:
    """All slices of a volume with enough lung.

    Raises:
        Refusal: TOO_LITTLE_LUNG, or what the segmentation found wrong.
    """
    labels = segment(network, volume).labels
    inputs = SliceInputs.of_volume(volume, labels, WINDOW, masked=False)
    enough = np.nonzero(inputs.lung_pixels() * volume.pixel_area_mm2 >= MINIMUM_LUNG_MM2)[0]
    if not len(enough):
        raise Refusal(RefusalCode.TOO_LITTLE_LUNG, f"No slice shows {MINIMUM_LUNG_MM2 / 100:.0f} cm2 of lung.")
    cuts = [_cut(inputs.hu[index], inputs.lung(int(index)), inputs.square, volume.spacing_mm[1]) for index in enough]
    return _gather(cuts, [inputs.window] * len(cuts), enough, volume.canonical_spacing_mm[0])


def slices_of_images(
    network: LungUNet, images: np.ndarray, pixel_mm: float, lungs: np.ndarray | None = None
) -> SliceSet:
    """Single slices of many patients, HU int16 `(slice, row, col)`; `lungs` where the source marks them."""
    cuts, windows, kept = [], [], []
    for index, image in enumerate(tqdm(images, desc="slices", unit="slice", leave=False)):
        lung = segment_planes(network, image[None], SHIPPED.lungs.windows)[0] if lungs is None else lungs[index]
        if lung.sum() * pixel_mm**2 < MINIMUM_LUNG_MM2:
            continue
        square = LungSquare.around(lung, (pixel_mm, pixel_mm))
        cuts.append(_cut(image, lung, square, pixel_mm))
        windows.append(WINDOW.place(image))
        kept.append(index)
    return _gather(cuts, windows, kept, np.nan)


def read_patient(data: Path, name: str) -> CTVolume:
    """One COVID-CT-MD patient, or `lung_dx_A0001`, as a volume."""
    folder = data / "dicom" / name
    if folder.is_dir():
        return read_images(scan_folder(folder).series[0].instances).volume
    with np.load(data / "volumes" / f"{name}.npz") as stored:
        spacing_mm = tuple(float(step) for step in stored["spacing_mm"])
        return CTVolume(stored["hu"], spacing_mm, np.zeros(3), CANONICAL_AXES)  # type: ignore[arg-type]


def lungs_digest(network: LungUNet) -> bytes:
    """SHA-256 of what finds the lungs, weights and the code and settings that use them, and of what is kept."""
    digest = hashlib.sha256(repr((SHIPPED.lungs, *SliceSet.__annotations__)).encode())
    for module in (lung_segmentation, lung_regions):
        digest.update(inspect.getsource(module).encode())
    for tensor in network.state_dict().values():
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.digest()


def prepare_slices(
    data: Path, cache: Path, network: LungUNet, names: Sequence[str] = tuple(PATIENT_CLASS)
) -> dict[str, SliceSet]:
    """Slice sets by name, made once and kept in `cache`: the six patients, or any of `PAINTING_BASES`.

    Each is kept as `<name>.<hash>.npz`, with the hash of what found their lungs.
    """
    weights = lungs_digest(network).hex()[:16]
    stored = {name: cache / f"{name}.{weights}.npz" for name in names}
    missing = [name for name, path in stored.items() if not path.exists()]
    for name in tqdm(missing, desc="lungs of the data", unit="source", disable=not missing):
        if name == "luna":
            files = sorted((data / "luna_slices").glob("*.png"))
            images = np.stack([np.asarray(Image.open(file).convert("L")) for file in files])
            hu = np.rint(images.astype(np.float32) / 255 * 1400 - 1000).astype(np.int16)
            slices = slices_of_images(network, hu, 1.4)
        elif name == "lung_slices":
            with np.load(data / "lung_slices.npz") as source:
                slices = slices_of_images(network, source["hu"], 1.4, source["lung"])
        else:
            slices = slices_of_volume(network, read_patient(data, name))
        slices.save(stored[name])
    return {name: SliceSet.load(path) for name, path in stored.items()}


def prepare_bases(data: Path, cache: Path, network: LungUNet) -> SliceSet:
    """All slices to paint disease into, as one set."""
    sets = prepare_slices(data, cache, network, PAINTING_BASES).values()
    return SliceSet(*(np.concatenate([getattr(item, field) for item in sets]) for field in SliceSet.__annotations__))


LOBES = {"right": ("RUL", "RML", "RLL"), "left": ("LUL", "LLL")}
"""Columns of the radiologists' labels."""


def read_infected(data: Path) -> dict[str, np.ndarray]:
    """The radiologists' slice labels by patient, bool by slice index, apex first. For scoring, never for training."""
    return {
        name: np.array([line["infected"] == "1" for line in lines]) for name, lines in _read_slice_labels(data).items()
    }


def read_marked_sides(data: Path) -> dict[str, np.ndarray]:
    """Whether radiologists marked a lobe of a lung on a slice, by patient: bool `(slice, side)`, apex first.

    Sides are numbered as labels of lungs are: RIGHT_LUNG, LEFT_LUNG, and what is neither is not marked. For scoring,
    never for training.
    """
    marked = {}
    for name, lines in _read_slice_labels(data).items():
        marked[name] = np.zeros((len(lines), 3), dtype=bool)
        for side, lobes in ((RIGHT_LUNG, LOBES["right"]), (LEFT_LUNG, LOBES["left"])):
            marked[name][:, side] = [any(line[lobe] == "1" for lobe in lobes) for line in lines]
    return marked


def _read_slice_labels(data: Path) -> dict[str, list[dict[str, str]]]:
    """Lines by patient, apex first."""
    labels: dict[str, list[dict[str, str]]] = {}
    with (data / "slice_labels.csv").open(newline="") as file:
        for line in sorted(csv.DictReader(file), key=lambda row: (row["case"], int(row["index_desc"]))):
            labels.setdefault(line["case"], []).append(line)
    return labels
