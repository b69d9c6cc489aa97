"""Figures of the COVID-CT benchmark: the folders COVID and NonCOVID of each split."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from tqdm import tqdm

from groundglass.method.lung_network import LungUNet
from training.data.pictures import gather_pictures, prepare_views, read_picture
from training.data.slices import SliceSet, lungs_digest

BENCHMARK_CLASSES = ("NonCOVID", "COVID")
"""Folders, in the order of the network's two scores."""


VIEWS = ("whole", "lungs")
"""Of a figure: all of it, or the square around its lungs."""


class UnusableBenchmark(ValueError):
    """A folder of the benchmark, or the output folder, can't be used."""


@dataclass(frozen=True)
class Split:
    """One split of the benchmark.

    Attributes:
        views: its figures by view.
        label: index into BENCHMARK_CLASSES, `(image,)`.
        group: figures that may be of one patient share one, `(image,)`.
        without_lungs: images on which no lungs were found.
        fingerprint: SHA-256 of the files and their labels.
    """

    views: dict[str, SliceSet]
    label: np.ndarray
    group: np.ndarray
    without_lungs: int
    fingerprint: str

    def images(self, view: str = "whole") -> list[np.ndarray]:
        """The inputs, each float32 `(224, 224)` in [0, 1], nothing hidden."""
        return [self.views[view].image(number, masked=False) for number in range(len(self.label))]


def group_figures(names: Sequence[str]) -> np.ndarray:
    """The group of each figure of one class, by its name without ending, `(figure,)`.

    Figures of one preprint (`<preprint>-p<page>-<number>`), of one case (`<case>%<number>`), and those with bare
    numbers that follow one another: nothing else says whose they are.
    """
    bare = sorted(int(name) for name in names if name.isdecimal())
    first = {number: number for number in bare}
    for before, number in pairwise(bare):
        if number - before <= 1:
            first[number] = first[before]
    groups = []
    for name in names:
        preprint = re.match(r"(.+?)-p\d+", name)
        whole = f"from {first[int(name)]}" if name.isdecimal() else name.partition("%")[0]
        groups.append(preprint[1] if preprint else whole)
    return np.array(groups)


def read_split(folder: Path, cache: Path, lungs: LungUNet) -> Split:
    """Read and prepare a split; what is prepared is kept in `cache`, by the split's fingerprint and the lung network's.

    Raises:
        UnusableBenchmark: a class folder is missing or has no images.
        PictureRefused: an image can't be read.
    """
    files: list[tuple[Path, int]] = []
    groups = []
    digest = hashlib.sha256()
    for label, name in enumerate(BENCHMARK_CLASSES):
        names = sorted(path for path in folder.glob(f"{name}/*") if path.suffix.lower() in (".png", ".jpg", ".jpeg"))
        if not names:
            raise UnusableBenchmark(f"There are no images in {folder / name}: a split holds COVID and NonCOVID.")
        for path in names:
            digest.update(f"{label} {path.name} ".encode() + path.read_bytes())
            files.append((path, label))
        groups += [f"{name}/{group}" for group in group_figures([path.stem for path in names])]
    fingerprint = digest.hexdigest()
    prepared_as = f"{fingerprint[:16]}.{lungs_digest(lungs).hex()[:16]}"
    stored = {view: cache / f"{prepared_as}-{view}.npz" for view in VIEWS}
    marks = cache / f"{prepared_as}.json"
    if not (marks.exists() and all(path.exists() for path in stored.values())):
        prepared = [prepare_views(lungs, read_picture(path)) for path, _ in tqdm(files, desc=folder.name, unit="image")]
        for view, path in stored.items():
            slices, found = gather_pictures(figure[view] for figure in prepared)
            slices.save(path)
        marks.write_text(json.dumps({"without_lungs": int((~found).sum())}) + "\n", encoding="utf-8")
    return Split(
        {view: SliceSet.load(path) for view, path in stored.items()},
        np.array([label for _, label in files]),
        np.array(groups),
        json.loads(marks.read_text(encoding="utf-8"))["without_lungs"],
        fingerprint,
    )
