"""Cross-validation by patient: every patient is tested once, by a network that never saw them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from groundglass.domain.class_names import CLASSES
from groundglass.method.classifier_network import MultiScaleClassifier
from tests.training.made_up import make_patient, tiny_network
from training.data.patients import Patient, TrainingSet
from training.engine.cross_validation import cross_validate, paper_setup, train_fold
from training.engine.inference import find_suspects
from training.engine.loop import Plan
from training.engine.predictions import Predictions
from training.networks.table_rows import ROWS, keep_classes


def test_every_patient_is_tested_once_by_a_network_that_never_saw_them(
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
