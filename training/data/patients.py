"""Patients to train and to test on: a hospital's own folder, or the six public ones.

A training set of one's own is a folder for each class, in it a folder for each patient, in it the patient's CT:

    export/
        np/                       no pneumonia
            0001/
                IM0001.dcm
                IM0002.dcm ...
            0002/
                20200311/         a patient's folder may hold folders,
                    thin/*.dcm    and several series
                    localizer/*.dcm
        cap/                      community-acquired pneumonia
            0001/*.dcm
        covid19/                  COVID-19
            0001/*.dcm

- The class folders are named exactly `np`, `cap` and `covid19`; two of them are enough. Hidden files are passed over.
- A patient has one folder, with all that there is of the patient; cross-validation needs two patients of each class.
  Where a folder holds several series or studies, the one is taken that the application would take of one study
  (`groundglass.dicomio.reading.select`).
- A patient is called by class and folder, `np/0001`, in progress, tables and errors: name folders by pseudonyms.
- All classes should come from the same scanners, protocols and months. Where one of them does not, the network learns
  the scanner and its accuracy means nothing.
- The prepared slices are kept in a cache, so that a run that was stopped goes on where it was. They are images of
  patients: keep them as safe as the export.
- All slices are held in memory, 150 kB each: 450 patients of 120 slices are 8 GB, in every process of a training.

Everything that is wrong with the folder is reported at once, before the first lung is segmented. A patient under two
names would be trained on and tested at the same time; Patient ID and Study Instance UID are compared to find such, as
hashes that are never written, and so are the prepared slices, for a CT that was exported twice under other identifiers.
"""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
from tqdm import tqdm

from groundglass.dicomio.reading.attributes import quiet_pydicom, text
from groundglass.dicomio.reading.geometry import Grid
from groundglass.dicomio.reading.scan import Series, scan_folder
from groundglass.dicomio.reading.select import choose_series
from groundglass.dicomio.reading.volume import read_grid
from groundglass.domain.class_names import CLASS_ABBREVIATIONS, CLASSES
from groundglass.domain.errors import Refusal
from groundglass.method.lung_network import LungUNet
from groundglass.presets import SHIPPED
from training.data.slices import (
    PATIENT_CLASS,
    SliceSet,
    lungs_digest,
    prepare_slices,
    read_infected,
    slices_of_volume,
)

TRAINED = ("hu", "lung", "window", "pixel_mm", "index")
"""Fields of a patient's slices that make a training set what it is."""


@dataclass(frozen=True)
class Patient:
    """One patient's slices.

    Attributes:
        name: unique in the training set.
        label: index into CLASSES.
        slices: those with enough lung, apex first.
        infected: bool `(slice,)`, the radiologists' truth, for scoring and never for training; None where nobody
            marked slices.
    """

    name: str
    label: int
    slices: SliceSet
    infected: np.ndarray | None


@dataclass(frozen=True)
class TrainingSet:
    """Patients, by class and then by name.

    Attributes:
        fingerprint: SHA-256 over labels and slices, in the order of the patients.
        source: what a table's caption says of the data; no full stop.
    """

    patients: tuple[Patient, ...]
    fingerprint: str
    source: str


class TrainingSetError(Exception):
    """A training set that can't be used as it is.

    Attributes:
        problems: all that were found, as sentences. They name folders, and nothing that a DICOM header says.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(["The training set must be corrected:", *(f"- {problem}" for problem in problems)]))
        self.problems = tuple(problems)


def read_training_set(folder: Path, cache: Path, lungs: LungUNet) -> TrainingSet:
    """The patients of `folder`, laid out as above.

    Args:
        folder: the class folders.
        cache: keeps the prepared slices, `<class>/<patient>.<hash>.npz`. The hash is of the names, sizes and times of
            the patient's files and of what finds the lungs: what changes is prepared anew.
        lungs: in evaluation mode.

    Raises:
        TrainingSetError: the folder is not laid out so, a patient has no usable series or no lungs, or one patient is
            in two folders.
    """
    patient_folders, problems = _find_patients(folder)
    problems += _check_headers(patient_folders)
    if problems:
        raise TrainingSetError(problems)
    weights = lungs_digest(lungs)
    patients = []
    for path in tqdm(patient_folders, desc="slices", unit="patient"):
        stored = cache / path.parent.name / f"{path.name}.{_hash_state(path, weights)}.npz"
        try:
            if not stored.exists():
                volume = read_grid(_choose(scan_folder(path).series)).volume
                slices_of_volume(lungs, volume).save(stored)
            patients.append(Patient(_name(path), CLASSES.index(path.parent.name), SliceSet.load(stored), None))
        except (Refusal, NothingEligible) as refusal:
            problems.append(_refused(path, refusal))
    if problems:
        raise TrainingSetError(problems)
    # A name of other letters than UTF-8's could be written into no table.
    name = os.fsencode(folder.resolve().name).decode("utf-8", "backslashreplace")
    return _training_set(patients, name)


def read_covid_ct_md(data: Path, cache: Path, lungs: LungUNet) -> TrainingSet:
    """The six public patients, two for each class, with the radiologists' labels of their slices.

    Args:
        data: the CT data folder.
        cache: keeps the prepared slices, as `prepare_slices` does.
        lungs: in evaluation mode.
    """
    infected = read_infected(data)
    patients = [
        Patient(name, CLASSES.index(PATIENT_CLASS[name]), slices, infected[name][slices.index])
        for name, slices in prepare_slices(data, cache, lungs, tuple(PATIENT_CLASS)).items()
    ]
    return _training_set(patients, "COVID-CT-MD")


def split_patients(patients: Sequence[Patient], folds: int = 5) -> tuple[tuple[str, ...], ...]:
    """The names of the patients that each fold tests; every fold tests patients of every class.

    Patients are sorted by class and name and dealt out in turn, not shuffled: the same patients give the same folds on
    every machine, and where names follow the calendar each fold spans all of it.

    Args:
        patients: in any order.
        folds: at most so many, and no more than the smallest class has patients.

    Raises:
        TrainingSetError: a class has one patient: without the patient in training, there is none of the class.
    """
    sizes = Counter(patient.label for patient in patients)
    if folds < 2 or not sizes:
        raise ValueError("Cross-validation needs patients, and at least 2 folds.")
    lonely = [CLASSES[label] for label, size in sorted(sizes.items()) if size < 2]
    if lonely:
        raise TrainingSetError(
            [f"The class {name} has one patient; cross-validation needs two. Add a patient." for name in lonely]
        )
    dealt: list[list[str]] = [[] for _ in range(min(folds, *sizes.values()))]
    for patient, fold in zip(sorted(patients, key=_class_and_name), cycle(dealt), strict=False):
        fold.append(patient.name)
    return tuple(tuple(sorted(names)) for names in dealt)


def _class_and_name(patient: Patient) -> tuple[int, str]:
    return patient.label, patient.name


def _training_set(patients: Sequence[Patient], origin: str) -> TrainingSet:
    patients = sorted(patients, key=_class_and_name)
    digest = hashlib.sha256()
    same: dict[bytes, list[str]] = defaultdict(list)
    for patient in patients:
        same[hashlib.sha256(patient.slices.hu.tobytes()).digest()].append(patient.name)
        digest.update(CLASSES[patient.label].encode())
        for field in TRAINED:
            array = getattr(patient.slices, field)
            digest.update(f"{field} {array.dtype} {array.shape}".encode() + array.tobytes())
    if repeated := [names for names in same.values() if len(names) > 1]:
        raise TrainingSetError(
            [f"{', '.join(names)} hold the same CT under other identifiers. Keep one of them." for names in repeated]
        )
    sizes = Counter(CLASSES[patient.label] for patient in patients)
    parts = ", ".join(f"{sizes[name]} {CLASS_ABBREVIATIONS[name]}" for name in CLASSES if name in sizes)
    return TrainingSet(tuple(patients), digest.hexdigest(), f"{len(patients)} patients of {origin}: {parts}")


def _find_patients(folder: Path) -> tuple[list[Path], list[str]]:
    """The patients' folders, and what is wrong with the layout."""
    if not folder.is_dir():
        return [], ["The folder of the training set does not exist, or is not a folder. Check the path."]
    layout = f"Patients belong into the class folders {', '.join(CLASSES)}, in a folder each: class/patient/*.dcm."
    class_folders = [entry for entry in _visible(folder) if entry.is_dir()]
    problems = [
        f"The folder {entry.name} is not a class. {layout}" for entry in class_folders if entry.name not in CLASSES
    ]
    class_folders = [folder / name for name in CLASSES if folder / name in class_folders]
    if len(class_folders) < 2:
        found = f"one class, {class_folders[0].name}" if class_folders else "no class folder"
        problems.append(f"The training set has {found}; at least two classes are needed. {layout}")
    patient_folders = []
    for class_folder in class_folders:
        entries = _visible(class_folder)
        of_class = [entry for entry in entries if entry.is_dir()]
        if not of_class:
            problems.append(f"The class {class_folder.name} has no patient. {layout}")
        if len(of_class) < len(entries):
            problems.append(f"Files lie directly in the class folder {class_folder.name}. {layout}")
        patient_folders += of_class
    return patient_folders, problems


def _visible(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _name(patient_folder: Path) -> str:
    return f"{patient_folder.parent.name}/{patient_folder.name}"


def _check_headers(patient_folders: Sequence[Path]) -> list[str]:
    """What the headers alone say against the patients."""
    problems = []
    holders: dict[tuple[str, bytes], list[str]] = defaultdict(list)
    for path in tqdm(patient_folders, desc="headers", unit="patient"):
        scan = scan_folder(path)
        try:
            _choose(scan.series)
        except (Refusal, NothingEligible) as refusal:
            problems.append(_refused(path, refusal))
        identities = _hash_identities(scan.series)
        patient_ids = sum(attribute == "Patient ID" for attribute, _ in identities)
        if patient_ids > 1:
            problems.append(f"{_name(path)} holds images with {patient_ids} Patient IDs. Give each patient a folder.")
        for identity in identities:
            holders[identity].append(_name(path))

    shared: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for (attribute, _), names in holders.items():
        if len(names) > 1:
            shared[tuple(names)].add(attribute)
    return problems + [
        f"{', '.join(names)} have the same {' and '.join(sorted(attributes))}: a patient would be trained on and "
        "tested at the same time. Put what belongs to one patient into one folder; where de-identification gave "
        "several patients one identifier, export them again with an identifier each."
        for names, attributes in shared.items()
    ]


@quiet_pydicom()
def _hash_identities(series: Sequence[Series]) -> set[tuple[str, bytes]]:
    """Name and hash of each Patient ID and Study Instance UID."""
    found = {("Study Instance UID", item.study_instance_uid) for item in series}
    found |= {("Patient ID", text(header, "PatientID")) for item in series for header in item.instances}
    return {(attribute, hashlib.sha256(value.encode()).digest()) for attribute, value in found if value}


class NothingEligible(Exception):
    """A patient's folder holds no series that can be analysed."""

    code = "NO_ELIGIBLE_SERIES"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _choose(series: Sequence[Series]) -> Grid:
    """The geometry of the series that is read of all that a patient's folder holds.

    Raises:
        NothingEligible: no series is eligible.
        Refusal: any code of `CheckedSeries.grid`.
    """
    selection = choose_series(series, SHIPPED.selection)
    if selection.chosen is None:
        reasons = dict.fromkeys(reason for rejection in selection.rejected for reason in rejection.reasons)
        raise NothingEligible(" ".join(reasons) or "There is no DICOM image in the folder.")
    return selection.chosen.grid


def _refused(patient_folder: Path, refusal: Refusal | NothingEligible) -> str:
    return (
        f"{_name(patient_folder)} has no usable chest CT ({refusal.code}). {refusal.reason} Correct the folder, or "
        "take it out; patients prepared before are kept."
    )


def _hash_state(patient_folder: Path, weights: bytes) -> str:
    """Changes with the patient's files and with the lung network."""
    digest = hashlib.sha256(weights)
    for path in sorted(patient_folder.rglob("*")):
        if path.is_file():
            status = path.stat()
            name = path.relative_to(patient_folder).as_posix()
            digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]
