"""Figures of the COVID-CT benchmark: the folders COVID and NonCOVID of each split."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from groundglass.method.lung_network import LungUNet
from training.data.pictures import gather_pictures, prepare_views, read_picture
from training.data.slices import SliceSet

BENCHMARK_CLASSES = ("NonCOVID", "COVID")
"""Folders, in the order of the network's two scores."""


class UnusableBenchmark(ValueError):
    """A folder of the benchmark, or the output folder, can't be used."""


@dataclass(frozen=True)
class Split:
    """One split of the benchmark.

    Attributes:
        slices: its figures.
        label: index into BENCHMARK_CLASSES, `(image,)`.
        without_lungs: images on which no lungs were found.
        fingerprint: SHA-256 of the files and their labels.
    """

    slices: SliceSet
    label: np.ndarray
    without_lungs: int
    fingerprint: str

    def images(self) -> list[np.ndarray]:
        """The inputs, each float32 `(224, 224)` in [0, 1], nothing hidden."""
        return [self.slices.image(number, masked=False) for number in range(len(self.label))]


def read_split(folder: Path, cache: Path, lungs: LungUNet) -> Split:
    """Read and prepare a split; what is prepared is kept in `cache` under the split's fingerprint.

    Raises:
        UnusableBenchmark: a class folder is missing or has no images.
        PictureRefused: an image can't be read.
    """
    files: list[tuple[Path, int]] = []
    digest = hashlib.sha256()
    for label, name in enumerate(BENCHMARK_CLASSES):
        names = sorted(path for path in folder.glob(f"{name}/*") if path.suffix.lower() in (".png", ".jpg", ".jpeg"))
        if not names:
            raise UnusableBenchmark(f"There are no images in {folder / name}: a split holds COVID and NonCOVID.")
        for path in names:
            digest.update(f"{label} {path.name} ".encode() + path.read_bytes())
            files.append((path, label))
    fingerprint = digest.hexdigest()
    stored, marks = cache / f"{fingerprint[:16]}-whole.npz", cache / f"{fingerprint[:16]}.json"
    if not marks.exists():
        figures = (read_picture(path) for path, _ in tqdm(files, desc=folder.name, unit="image"))
        slices, found = gather_pictures(prepare_views(lungs, figure)["whole"] for figure in figures)
        slices.save(stored)
        marks.write_text(json.dumps({"without_lungs": int((~found).sum())}) + "\n", encoding="utf-8")
    return Split(
        SliceSet.load(stored),
        np.array([label for _, label in files]),
        json.loads(marks.read_text(encoding="utf-8"))["without_lungs"],
        fingerprint,
    )
