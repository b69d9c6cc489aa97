"""Cross-validation by patient: every patient is tested once, by a network that never saw them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from groundglass.domain.class_names import CLASSES
from groundglass.method.classifier_network import INPUT_SIZE, SCALES, MultiScaleClassifier
from training.augmentation import augment_as_paper
from training.classifier import find_suspects, fine_tune, patients_draw
from training.classifier_data import SliceSet
from training.cross_validation import (
    ROWS,
    TASKS,
    Row,
    SingleScaleClassifier,
    build,
    cross_validate,
    keep_classes,
    paper_setup,
    train_fold,
)
from training.dataset import Patient, TrainingSet
from training.loop import Draw, Plan
from training.nts_net import NTSNet
from training.predictions import Predictions


def make_patient(name: str, label: int, slices: int = 3) -> Patient:
    rng = np.random.default_rng(len(name) + label)
    lung = np.zeros((slices, INPUT_SIZE, INPUT_SIZE), dtype=bool)
    lung[:, 40:180, 30:100] = lung[:, 40:180, 120:190] = True
    hu = np.where(lung, -850, 40) + rng.integers(-30, 30, lung.shape)
    window, pixel_mm = np.tile([-1040.0, 360.0], (slices, 1)), np.full(slices, 1.5)
    infected = np.arange(slices) < 1 if label else np.zeros(slices, dtype=bool)
    return Patient(name, label, SliceSet(hu.astype(np.int16), lung, window, pixel_mm, np.arange(slices) + 5), infected)


def tiny_network(classes: int) -> nn.Module:
    """Where who trains and who is tested is the point, not what is learned."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16, classes))


@pytest.fixture(scope="module")
def training_set() -> TrainingSet:
    patients = tuple(make_patient(f"{CLASSES[label]}{number}", label) for label in range(3) for number in (1, 2))
    return TrainingSet(patients, "fingerprint", "six made-up patients")


def test_every_patient_is_tested_once_by_a_network_that_never_saw_him(
    tmp_path: Path, training_set: TrainingSet
) -> None:
    seen: list[set[str]] = []

    def train(out: Path, patients: Sequence[Patient]) -> nn.Module:
        seen.append({patient.name for patient in patients})
        return tiny_network(2)

    cross_validate(tmp_path, training_set, train, "joint", ("np", "covid19"))
    found = Predictions.load(tmp_path / "predictions" / "joint.np-covid19.npz")
    assert sorted(set(found.patient)) == ["covid191", "covid192", "np1", "np2"]
    assert len(found.patient) == 4 * 3
    for fold, trained_on in enumerate(seen):
        tested = set(found.patient[found.fold == fold])
        assert tested
        assert not tested & trained_on
    assert found.counted.sum() == 3 + 3 + 1 + 1  # healthy slices, and the infected one of each diseased patient
    assert set(found.label[found.patient == "covid191"]) == {1}
    cross_validate(tmp_path, training_set, train, "joint", ("np", "covid19"))
    assert len(seen) == 2  # what is done is not done again


def test_a_single_scale_scores_with_its_own_map_alone() -> None:
    torch.manual_seed(0)
    network = MultiScaleClassifier().eval()
    images = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        scores = network.score_maps(images).scores()
        for number, scale in enumerate(SCALES):
            torch.testing.assert_close(SingleScaleClassifier(network, scale).eval()(images), scores[number])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("make", "size"), [(MultiScaleClassifier, 64), (NTSNet, INPUT_SIZE)])
def test_the_classes_of_a_task_keep_their_scores(make: type[torch.nn.Module], size: int, task: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    network = make().eval()
    images = torch.rand(1, 1, size, size)
    with torch.no_grad():
        expected = network(images)[:, [CLASSES.index(name) for name in task]]
        torch.testing.assert_close(keep_classes(network, task).eval()(images), expected)
        assert network(images).shape == (1, 3)  # the original is as it was


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_scores_the_classes_of_its_task(row: Row) -> None:
    torch.manual_seed(0)
    size = 64 if row.scales else INPUT_SIZE
    with torch.no_grad():
        assert build(row, ("cap", "covid19"), None).eval()(torch.rand(1, 1, size, size)).shape == (1, 2)


def test_rare_classes_weigh_more_and_validation_slices_never_train(training_set: TrainingSet) -> None:
    more = [replace(patient, slices=make_patient("x", 0, 9).slices) if patient.name == "np1" else patient
            for patient in training_set.patients]  # fmt: skip
    draw, validate, class_weight = paper_setup(more, CLASSES, contrast=False, seed=0)
    assert class_weight[0] < class_weight[1] == class_weight[2]
    labels = {draw(iteration, 0)[1] for iteration in range(30)}
    assert labels == {0, 1, 2}
    loss, accuracy = validate(tiny_network(3).eval())
    assert loss > 0
    assert 0 <= accuracy <= 1


@pytest.mark.slow
def test_two_iterations_of_the_painted_recipe_train_what_they_should(tmp_path: Path, training_set: TrainingSet) -> None:
    torch.manual_seed(0)
    finder = MultiScaleClassifier().eval()
    bases = training_set.patients[0].slices
    plan = Plan(iterations=2, batch=2, validate_every=10, save_every=10)
    patients = [patient for patient in training_set.patients if patient.name in ("np1", "cap1")]
    row = next(row for row in ROWS if row.name == "joint")
    painted = finder, find_suspects(finder, patients), bases
    trained = train_fold(tmp_path / "fold", row, ("np", "cap"), patients, painted, plan, 0)
    before, after = keep_classes(finder, ("np", "cap")).state_dict(), trained.state_dict()
    assert torch.equal(before["blocks.0.0.weight"], after["blocks.0.0.weight"])  # the first two blocks stay
    assert not torch.equal(before["blocks.4.0.weight"], after["blocks.4.0.weight"])


def test_two_classes_are_enough_to_fine_tune_and_keep_their_labels(
    tmp_path: Path, training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    patients = [patient for patient in training_set.patients if patient.name in ("np1", "covid191")]
    drawn: list[int] = []

    def fit(out: Path, network: nn.Module, draw: Draw, *rest: object, **options: object) -> nn.Module:
        drawn.extend(draw(0, n)[1] for n in range(1, 12, 2))  # every second sample is real
        return network

    monkeypatch.setattr("training.classifier.fit", fit)
    torch.manual_seed(0)
    plan = Plan(iterations=1, batch=2)
    fine_tune(tmp_path / "all", MultiScaleClassifier().eval(), patients, patients[0].slices, plan, 0)
    assert drawn == [0, 2, 0, 2, 0, 2]


def test_without_contrast_augmentation_only_the_contrast_differs(training_set: TrainingSet) -> None:
    """II-G.3, and the row NCA of the tables."""
    image = training_set.patients[0].slices.image(0, masked=True)
    with_contrast, without = (augment_as_paper(image, np.random.default_rng(3), contrast) for contrast in (True, False))
    lit = (without > 0.05) & (with_contrast < 1)
    ratio = with_contrast[lit] / without[lit]
    assert np.ptp(ratio) < 1e-3
    assert 0.5 <= ratio.mean() <= 1.5
    assert abs(ratio.mean() - 1) > 0.01


@pytest.mark.slow
def test_healthy_patients_lend_all_slices_and_diseased_ones_the_suspicious(training_set: TrainingSet) -> None:
    torch.manual_seed(0)
    patients = [make_patient("np1", 0, 5), make_patient("cap1", 1, 5)]
    suspects = find_suspects(MultiScaleClassifier().eval(), patients)
    assert len(suspects["np1"]) == 5
    assert len(suspects["cap1"]) == 2
    draw = patients_draw(patients, suspects, 0, (0, 1), contrast=True)
    assert [draw(0, n)[1] for n in range(4)] == [0, 1, 0, 1]
    assert not np.array_equal(draw(0, 0)[0], draw(1, 0)[0])
