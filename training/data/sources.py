"""The data sets behind the shipped weights: where each comes from, and under which licence."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from groundglass.domain.class_names import CLASS_ABBREVIATIONS, CLASSES
from training.data.classifier_data import ClassifierData
from training.data.slices import SliceSet


@dataclass(frozen=True)
class Source:
    """One data set.

    Attributes:
        key: its name in the counts of a report.
        title: as the cards call it.
        url: its own page.
        licence: as its authors state it.
        role: what it is for in the classifier; empty where that never saw it.
        lungs: whether the lung network was trained on it.
    """

    key: str
    title: str
    url: str
    licence: str
    role: str
    lungs: bool

    @property
    def networks(self) -> tuple[str, ...]:
        """Those of the shipped networks that were trained on it."""
        return tuple(name for name, trained in (("classifier", self.role), ("lungs", self.lungs)) if trained)


SOURCES = (
    Source(
        "luna",
        "LUNA16 / LIDC-IDRI",
        "https://doi.org/10.7937/K9/TCIA.2015.LO9QL9SX",
        "CC BY 3.0",
        "healthy bases for painted disease, NP",
        False,
    ),
    Source(
        "lung_slices",
        "Finding lungs in CT",
        "https://www.kaggle.com/datasets/kmader/finding-lungs-in-ct-data",
        "none stated",
        "healthy bases for painted disease, NP",
        True,
    ),
    Source(
        "lung_dx_A0001",
        "Lung-PET-CT-Dx, A0001",
        "https://doi.org/10.7937/TCIA.2020.NNC2-0461",
        "CC BY 4.0",
        "bases for painted disease, NP",
        False,
    ),
    Source(
        "iq_oth",
        "IQ-OTH/NCCD",
        "https://data.mendeley.com/datasets/bhmdr45bh2",
        "CC BY 4.0",
        "NP: healthy, nodules, cancer; those without cancer are bases for painted disease",
        False,
    ),
    Source(
        "mosmed",
        "MosMedData",
        "https://mosmed.ai/en/datasets/covid191110",
        "CC BY-NC-ND 3.0",
        "CT-0: NP and bases for painted disease; CT-1: COVID-19 as a weak label; CT-2: COVID-19",
        False,
    ),
    Source(
        "patients",
        "COVID-CT-MD, sample",
        "https://github.com/ShahinSHH/COVID-CT-MD",
        "none stated",
        "the patient's label, on the slices that look most diseased",
        True,
    ),
    Source(
        "cases_20",
        "COVID-19 CT lung and infection segmentation, 20 cases",
        "https://doi.org/10.5281/zenodo.3757476",
        "CC BY 4.0",
        "",
        True,
    ),
)
"""In the order of the cards' tables."""


def count_sources(data: ClassifierData, bases: Mapping[str, SliceSet]) -> dict[str, str]:
    """How much of each source is there to train on, in words, by `Source.key`.

    Args:
        data: all of it; slices without lungs are no part of it.
        bases: healthy slices by source.
    """
    counts = {name: f"{len(slices.hu)} slices" for name, slices in bases.items()}
    counts["iq_oth"] = f"{len(data.iq_oth.label)} slices: {_by_kind(data.iq_oth.kind)}"
    if data.mosmed is not None:
        counts["mosmed"] = f"{len(data.mosmed.label)} patients, a slice each: {_by_kind(data.mosmed.kind)}"
    sizes = Counter(CLASS_ABBREVIATIONS[CLASSES[patient.label]] for patient in data.patients.patients)
    slices = sum(len(patient.slices.hu) for patient in data.patients.patients)
    counts["patients"] = f"{sum(sizes.values())} patients, {slices} slices: " + ", ".join(
        f"{count} {name}" for name, count in sizes.items()
    )
    return counts


def _by_kind(kind: np.ndarray) -> str:
    return ", ".join(f"{count} {name}" for name, count in zip(*np.unique(kind, return_counts=True), strict=True))
