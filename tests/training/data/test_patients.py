"""Training sets from folders: what is read, what is kept, what is refused, and how patients are split."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydicom import dcmread

from groundglass.domain.class_names import CLASSES
from groundglass.domain.volume import CTVolume
from groundglass.method.lung_network import LungUNet
from groundglass.phantom.study import write_study
from groundglass.phantom.thorax import make_thorax
from training.data.patients import (
    Patient,
    TrainingSet,
    TrainingSetError,
    read_covid_ct_md,
    read_training_set,
    split_patients,
)
from training.data.slices import (
    PAINTING_BASES,
    PATIENT_CLASS,
    SliceSet,
    lungs_digest,
    prepare_slices,
    slices_of_volume,
)


def make_network(answer: float) -> LungUNet:
    """A lung network, small and fast, that gives every voxel the same logit."""
    network = LungUNet(channels=(4, 4)).eval().requires_grad_(False)
    torch.nn.init.zeros_(network.head.weight)
    torch.nn.init.constant_(network.head.bias, answer)
    return network


@pytest.fixture(scope="module")
def lungs() -> LungUNet:
    torch.manual_seed(0)
    return make_network(5.0)


@pytest.fixture(scope="module")
def volume() -> CTVolume:
    """A chest of 122 mm by 96 mm by 96 mm, so that it is soon segmented."""
    chest, _ = make_thorax("normal", slices=20, size=64)
    return replace(chest, spacing_mm=(6.4, 1.5, 1.5))


def write_patient(folder: Path, volume: CTVolume, number: int) -> list[Path]:
    """A study whose Patient ID, UIDs and pixels come from `number`."""
    return write_study(replace(volume, hu=volume.hu + np.int16(number)), folder, preset="normal", seed=number)


@dataclass(frozen=True)
class FirstReading:
    """Two classes of one patient each, in `folder`/export, and what was read and kept in `folder`/cache."""

    folder: Path
    found: TrainingSet


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, volume: CTVolume, lungs: LungUNet) -> FirstReading:
    folder = tmp_path_factory.mktemp("first")
    write_patient(folder / "export/np/0001", volume, 1)
    write_patient(folder / "export/covid19/0001", volume, 2)
    return FirstReading(folder, read_training_set(folder / "export", folder / "cache", lungs))


@pytest.fixture
def export(tmp_path: Path, first: FirstReading) -> Path:
    """A copy of the two patients, with the times of their files, beside a copy of the cache of their first reading."""
    shutil.copytree(first.folder, tmp_path, dirs_exist_ok=True)
    return tmp_path / "export"


def problems_of(export: Path, lungs: LungUNet) -> tuple[str, ...]:
    with pytest.raises(TrainingSetError) as caught:
        read_training_set(export, export.parent / "cache", lungs)
    assert all(problem in str(caught.value) for problem in caught.value.problems)
    return caught.value.problems


def rewrite(files: Sequence[Path], keyword: str, value: str) -> None:
    for file in files:
        dataset = dcmread(file)
        setattr(dataset, keyword, value)
        dataset.save_as(file)


# Reading


def test_a_folder_of_classes_is_read_as_labelled_patients(
    first: FirstReading, lungs: LungUNet, volume: CTVolume
) -> None:
    found = first.found
    assert [(patient.name, CLASSES[patient.label]) for patient in found.patients] == [
        ("np/0001", "np"),
        ("covid19/0001", "covid19"),
    ]
    assert found.source == "2 patients of export: 1 NP, 1 COVID-19"
    for number, patient in enumerate(found.patients, start=1):
        expected = slices_of_volume(lungs, replace(volume, hu=volume.hu + np.int16(number)))
        assert len(expected.hu) == 20
        assert patient.infected is None
        for field, values in vars(expected).items():
            np.testing.assert_allclose(getattr(patient.slices, field), values)


def test_of_nested_series_the_one_is_read_that_the_application_takes(
    export: Path, tmp_path: Path, lungs: LungUNet, volume: CTVolume
) -> None:
    finer = replace(volume, hu=volume.hu.repeat(2, axis=0), spacing_mm=(3.2, 1.5, 1.5))
    write_patient(export / "np/0002/a/thick", volume, 3)
    write_patient(export / "np/0002/b/thin", finer, 3)
    write_patient(export / "np/0002/c/fragment", replace(finer, hu=finer.hu[:15]), 3)
    (export / "np/0002/report.txt").write_text("not an image")
    found = read_training_set(export, tmp_path / "cache", lungs)
    assert [(patient.name, len(patient.slices.hu)) for patient in found.patients] == [
        ("np/0001", 20),
        ("np/0002", 40),
        ("covid19/0001", 20),
    ]


def test_hidden_files_are_passed_over(export: Path, tmp_path: Path, lungs: LungUNet) -> None:
    (export / ".Trash").mkdir()
    (export / "np/.DS_Store").touch()
    assert len(read_training_set(export, tmp_path / "cache", lungs).patients) == 2


@pytest.mark.slow
def test_the_fingerprint_follows_labels_and_pixels_alone(
    first: FirstReading, export: Path, tmp_path: Path, lungs: LungUNet, volume: CTVolume
) -> None:
    fingerprint = first.found.fingerprint
    (export / "np/0001").rename(export / "np/renamed")
    assert read_training_set(export, tmp_path / "cache", lungs).fingerprint == fingerprint
    (export / "covid19").rename(export / "cap")
    other_label = read_training_set(export, tmp_path / "cache", lungs).fingerprint
    write_patient(tmp_path / "brighter", replace(volume, hu=volume.hu + np.int16(1)), 2)
    for file in (tmp_path / "brighter").iterdir():
        file.replace(export / "cap/0001" / file.name)
    other_pixels = read_training_set(export, tmp_path / "cache", lungs).fingerprint
    assert len({fingerprint, other_label, other_pixels}) == 3


# Cache


def cached(tmp_path: Path) -> dict[str, int]:
    """Time of writing by path, of every slice set in the cache."""
    files = (tmp_path / "cache").rglob("*.npz")
    return {file.relative_to(tmp_path / "cache").as_posix(): file.stat().st_mtime_ns for file in files}


def test_a_second_reading_takes_the_slices_from_the_cache(
    first: FirstReading, export: Path, tmp_path: Path, lungs: LungUNet
) -> None:
    kept = cached(tmp_path)
    second = read_training_set(export, tmp_path / "cache", lungs)
    assert cached(tmp_path) == kept
    assert sorted(name.split(".")[0] for name in kept) == ["covid19/0001", "np/0001"]
    assert second.fingerprint == first.found.fingerprint


def test_only_what_has_changed_is_prepared_anew(export: Path, tmp_path: Path, lungs: LungUNet) -> None:
    before = cached(tmp_path)
    os.utime(export / "np/0001/IM0003.dcm", (1, 1))
    read_training_set(export, tmp_path / "cache", lungs)
    new = cached(tmp_path).items() - before.items()
    assert [name.split(".")[0] for name, _ in new] == ["np/0001"]
    read_training_set(export, tmp_path / "cache", make_network(4.0))
    assert len(cached(tmp_path)) == len(before) + len(new) + 2


# Errors


def test_all_that_is_wrong_with_a_folder_is_said_at_once(export: Path, lungs: LungUNet, volume: CTVolume) -> None:
    (export / "COVID").mkdir()
    (export / "cap").mkdir()
    (export / "np/IM0001.dcm").touch()
    (export / "np/empty").mkdir()
    write_patient(export / "np/short", replace(volume, hu=volume.hu[:9]), 3)
    write_patient(export / "np/twin", volume, 2)
    problems = problems_of(export, lungs)
    expected = [
        "Files lie directly in the class folder np.",
        "The class cap has no patient.",
        "The folder COVID is not a class.",
        "np/empty has no usable chest CT (NO_ELIGIBLE_SERIES). There is no DICOM image in the folder.",
        "np/short has no usable chest CT (NO_ELIGIBLE_SERIES). The series has 9 slices; at least 20 are needed.",
        "np/twin, covid19/0001 have the same Patient ID and Study Instance UID",
    ]
    assert len(problems) == len(expected)
    for begin in expected:
        assert sum(problem.startswith(begin) for problem in problems) == 1, begin


def test_a_series_that_the_application_refuses_is_an_error_with_its_reason(
    export: Path, lungs: LungUNet, volume: CTVolume
) -> None:
    longer = replace(volume, hu=np.concatenate([volume.hu, volume.hu[-5:]]))
    write_patient(export / "np/0002", longer, 3)[10].unlink()
    (problem,) = problems_of(export, lungs)
    assert problem.startswith("np/0002 has no usable chest CT (GAP). Neighbouring slices are 6.40 mm apart")


@pytest.mark.parametrize(
    ("keyword", "called"), [("PatientID", "Patient ID"), ("StudyInstanceUID", "Study Instance UID")]
)
def test_one_patient_in_two_classes_is_found_and_not_named(
    export: Path, lungs: LungUNet, keyword: str, called: str
) -> None:
    rewrite(sorted((export / "np/0001").iterdir()), keyword, "1.2.345.678")
    rewrite(sorted((export / "covid19/0001").iterdir()), keyword, "1.2.345.678")
    (problem,) = problems_of(export, lungs)
    assert problem.startswith(f"np/0001, covid19/0001 have the same {called}: a patient would be trained on and tested")
    assert "1.2.345.678" not in problem


def test_a_patient_copied_into_two_folders_of_a_class_is_one_problem(
    export: Path, lungs: LungUNet, volume: CTVolume
) -> None:
    write_patient(export / "np/copy", volume, 1)
    (problem,) = problems_of(export, lungs)
    assert problem.startswith("np/0001, np/copy have the same Patient ID and Study Instance UID:")
    assert "PHANTOM" not in problem


def test_one_ct_under_two_names_is_an_error(export: Path, lungs: LungUNet, volume: CTVolume) -> None:
    """As when an archive is exported twice, each time with new pseudonyms."""
    write_study(replace(volume, hu=volume.hu + np.int16(1)), export / "np/0003", preset="normal", seed=3)
    assert problems_of(export, lungs) == (
        "np/0001, np/0003 hold the same CT under other identifiers. Keep one of them.",
    )


def test_patients_without_patient_id_are_told_apart_by_their_studies(
    export: Path, tmp_path: Path, lungs: LungUNet
) -> None:
    rewrite(sorted(export.rglob("*.dcm")), "PatientID", "")
    assert len(read_training_set(export, tmp_path / "cache", lungs).patients) == 2


def test_two_patients_in_one_folder_are_an_error(export: Path, lungs: LungUNet, volume: CTVolume) -> None:
    write_patient(export / "np/0001/other", volume, 3)
    assert problems_of(export, lungs) == ("np/0001 holds images with 2 Patient IDs. Give each patient a folder.",)


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        ([], "does not exist"),
        (["export"], "has no class folder"),
        (["export/np/0001"], "has one class, np"),
        (["export/NP/0001"], "The folder NP is not a class."),
    ],
)
def test_a_folder_without_two_classes_is_an_error(
    tmp_path: Path, lungs: LungUNet, folders: list[str], said: str
) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    assert said in problems_of(tmp_path / "export", lungs)[0]


def test_patients_in_whom_no_lungs_are_found_are_all_listed(export: Path) -> None:
    problems = problems_of(export, make_network(-5.0))
    assert [problem.partition(". ")[0] for problem in problems] == [
        "np/0001 has no usable chest CT (NO_LUNGS)",
        "covid19/0001 has no usable chest CT (NO_LUNGS)",
    ]


# Public patients


def make_slices(index: Sequence[int]) -> SliceSet:
    count = len(index)
    images = np.zeros((count, 8, 8))
    place = np.array(index, dtype=np.int64)
    return SliceSet(images.astype(np.int16), images > 0, np.zeros((count, 2)), np.ones(count), place, 2.0 * place)


def test_the_public_patients_carry_the_radiologists_labels_of_their_slices(tmp_path: Path, lungs: LungUNet) -> None:
    lines = ["case,index_desc,infected"]
    for name in PATIENT_CLASS:
        slices = make_slices([1, 2, 4])
        slices.hu[:] = len(lines)  # each patient another
        slices.save(tmp_path / "cache" / f"{name}.{lungs_digest(lungs).hex()[:16]}.npz")
        lines += [f"{name},{index},{int(name == 'P002' and index in (0, 2, 3))}" for index in range(5)]
    (tmp_path / "slice_labels.csv").write_text("\n".join(lines))
    found = read_covid_ct_md(tmp_path, tmp_path / "cache", lungs)
    assert {patient.name: CLASSES[patient.label] for patient in found.patients} == PATIENT_CLASS
    infected = {patient.name: patient.infected.tolist() for patient in found.patients if patient.infected is not None}
    assert infected == {name: [False, name == "P002", False] for name in PATIENT_CLASS}
    assert found.source == "6 patients of COVID-CT-MD: 2 NP, 2 CAP, 2 COVID-19"
    assert split_patients(found.patients) == (("P001", "cap001", "normal001"), ("P002", "cap002", "normal002"))


def test_bases_are_prepared_once_for_each_lung_network(tmp_path: Path, lungs: LungUNet) -> None:
    lung = np.zeros((2, 256, 256), dtype=bool)
    lung[:, 60:200, 30:110] = lung[:, 60:200, 150:230] = True
    np.savez(tmp_path / "lung_slices.npz", hu=np.where(lung, -850, 40).astype(np.int16), lung=lung)
    (tmp_path / "luna_slices").mkdir()
    Image.fromarray(np.where(lung[0], 27, 190).astype(np.uint8)).save(tmp_path / "luna_slices" / "a.png")
    made = prepare_slices(tmp_path, tmp_path / "cache", lungs, PAINTING_BASES[:2])
    assert {name: len(slices.hu) for name, slices in made.items()} == {"luna": 1, "lung_slices": 2}
    for source in ("lung_slices.npz", "luna_slices/a.png"):
        (tmp_path / source).unlink()
    again = prepare_slices(tmp_path, tmp_path / "cache", lungs, PAINTING_BASES[:2])
    np.testing.assert_array_equal(again["lung_slices"].hu, made["lung_slices"].hu)
    with pytest.raises(FileNotFoundError):  # another network finds other lungs
        prepare_slices(tmp_path, tmp_path / "cache", make_network(4.0), ("lung_slices",))


# Folds


def make_patients(**sizes: int) -> list[Patient]:
    return [
        Patient(f"{name}/{number:02}", CLASSES.index(name), make_slices([0]), None)
        for name, size in sizes.items()
        for number in range(size)
    ]


@pytest.mark.parametrize(
    ("sizes", "folds"),
    [
        ({"np": 2, "cap": 9, "covid19": 4}, 2),
        ({"np": 7, "cap": 5, "covid19": 11}, 5),
        ({"np": 40, "covid19": 31}, 5),
    ],
)
def test_every_patient_is_tested_once_and_every_class_in_every_fold(sizes: dict[str, int], folds: int) -> None:
    patients = make_patients(**sizes)
    dealt = split_patients(patients)
    assert len(dealt) == folds
    assert sorted(name for names in dealt for name in names) == sorted(patient.name for patient in patients)
    for name, size in sizes.items():
        counts = [sum(tested.startswith(f"{name}/") for tested in names) for names in dealt]
        assert min(counts) == size // folds
        assert max(counts) == -(-size // folds)
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1


def test_folds_do_not_depend_on_the_order_of_the_patients() -> None:
    patients = make_patients(np=7, cap=6, covid19=5)
    shuffled = [patients[index] for index in np.random.default_rng(0).permutation(len(patients))]
    assert split_patients(shuffled) == split_patients(patients)


def test_a_class_of_one_patient_cannot_be_cross_validated() -> None:
    with pytest.raises(TrainingSetError, match="The class cap has one patient"):
        split_patients(make_patients(np=3, cap=1, covid19=4))
