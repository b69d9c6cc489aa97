"""Slices of many patients: what folds and fingerprints tell apart."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from groundglass.method.lung_network import LungUNet
from tests.training.made_up import make_slices
from training.data.public_slices import LabelledSlices, NoPictures, read_iq_oth, read_mosmed


def labelled() -> LabelledSlices:
    """Ten groups of one kind and five of another, two slices each."""
    group = np.array([f"{kind}{number}" for kind, count in (("a", 10), ("b", 5)) for number in range(count)] * 2)
    kind = np.array([name[0] for name in group])
    return LabelledSlices(make_slices(30, 0, side=8), np.zeros(30, dtype=int), group, kind)


def test_a_group_is_tested_once_and_never_trained_on_then() -> None:
    found = labelled()
    tested = [found.fold(number, 3, tested=True) for number in range(3)]
    trained = [found.fold(number, 3, tested=False) for number in range(3)]
    assert sorted(np.concatenate([part.group for part in tested])) == sorted(found.group)
    for part, rest in zip(tested, trained, strict=True):
        assert not set(part.group) & set(rest.group)
        assert len(part.group) + len(rest.group) == 30


def test_each_fold_tests_groups_of_every_kind() -> None:
    found = labelled()
    place = found.places(5)
    for number in range(5):
        assert np.unique(found.kind[place == number]).tolist() == ["a", "b"]


def test_another_label_or_another_picture_is_other_data() -> None:
    found = labelled()
    other_label = replace(found, label=np.ones(30, dtype=int))
    other_slices = replace(found, slices=make_slices(30, 1, side=8))
    assert len({found.fingerprint, other_label.fingerprint, other_slices.fingerprint}) == 3
    assert labelled().fingerprint == found.fingerprint


@pytest.mark.parametrize("read", [read_mosmed, read_iq_oth])
def test_a_data_folder_without_the_pictures_says_so(read: object, tmp_path: Path) -> None:
    with pytest.raises(NoPictures, match="has no pictures in"):
        read(tmp_path, tmp_path / "cache", LungUNet())  # type: ignore[operator]
