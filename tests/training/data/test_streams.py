"""What a batch is made of: classes balanced, with and without MosMedData, and no class of one source."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.training.made_up import label_slices
from training.data import streams
from training.data.drawing import Draw
from training.data.patients import TrainingSet
from training.data.public_slices import CAP, COVID19, NP, WEAK_COVID19, LabelledSlices
from training.data.slices import SliceSet
from training.data.streams import base_draw, own_draw, real_draw

BATCH = 16


@pytest.fixture
def mosmed(slices: SliceSet) -> LabelledSlices:
    kinds = {"ct0": NP, "ct1": WEAK_COVID19, "ct2": COVID19}
    return label_slices(slices, list(kinds), kinds)


@pytest.fixture
def iq_oth(slices: SliceSet) -> LabelledSlices:
    return label_slices(slices, ["normal", "benign", "malignant"], dict.fromkeys(("normal", "benign", "malignant"), NP))


def labels_of(draw: Draw, iteration: int = 0) -> list[int]:
    return [int(draw(iteration, n)[1]) for n in range(BATCH)]


def suspects_of(training_set: TrainingSet) -> dict[str, np.ndarray]:
    return {patient.name: np.arange(2) for patient in training_set.patients}


def test_the_base_sees_both_diseases_and_as_many_slices_without_in_each_source(slices: SliceSet) -> None:
    assert labels_of(base_draw(slices, 0)) == [NP, CAP, COVID19] * 5 + [NP]


def test_a_batch_of_real_slices_has_the_classes_of_the_recipe_in_its_order(
    mosmed: LabelledSlices, iq_oth: LabelledSlices, slices: SliceSet, training_set: TrainingSet
) -> None:
    """The order decides which random numbers a sample gets: another one would be another run."""
    draw = real_draw(mosmed, iq_oth, slices, training_set.patients, suspects_of(training_set), 7)
    assert labels_of(draw) == [
        NP, COVID19, WEAK_COVID19, CAP, COVID19, NP, CAP, COVID19, NP, CAP, COVID19, NP, CAP, WEAK_COVID19, NP, NP,
    ]  # fmt: skip


def test_without_mosmed_the_classes_are_as_many_and_none_is_weak(
    iq_oth: LabelledSlices, slices: SliceSet, training_set: TrainingSet
) -> None:
    draw = real_draw(None, iq_oth, slices, training_set.patients, suspects_of(training_set), 7)
    assert Counter(labels_of(draw)) == {NP: 6, COVID19: 6, CAP: 4}


@pytest.mark.parametrize("with_mosmed", [True, False])
def test_no_class_comes_from_one_source(
    with_mosmed: bool,
    mosmed: LabelledSlices,
    iq_oth: LabelledSlices,
    slices: SliceSet,
    training_set: TrainingSet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The network would learn the source."""
    drawn: list[tuple[float, int]] = []

    def of_slices(source: SliceSet, label: int, seed: int) -> Draw:
        drawn.append((float(source.pixel_mm[0]), label))
        return lambda iteration, n: (np.zeros(0), label)

    def of_patients(patients: object, suspects: object, seed: int, labels: Sequence[int]) -> Draw:
        return of_slices(training_set.patients[0].slices, labels[0], seed)

    monkeypatch.setattr(streams, "painted_draw", lambda base, seed, labels: of_slices(base, labels[0], seed))
    monkeypatch.setattr(streams, "slices_draw", of_slices)
    monkeypatch.setattr(streams, "patients_draw", of_patients)
    for number, source in enumerate((mosmed, iq_oth), start=10):
        source.slices.pixel_mm[:] = number
    bases = replace(slices, pixel_mm=np.full(8, 20.0))
    real_draw(mosmed if with_mosmed else None, iq_oth, bases, training_set.patients, {}, 0)
    for label in (NP, CAP, COVID19):
        assert len({source for source, found in drawn if found == label}) >= 3


def test_a_hospital_of_two_classes_keeps_their_labels(slices: SliceSet, training_set: TrainingSet) -> None:
    patients = [patient for patient in training_set.patients if patient.name in ("np1", "covid191")]
    found = labels_of(own_draw(patients, suspects_of(training_set), slices, 0))
    assert found[1::2] == [NP, COVID19] * 4  # every second sample is real
