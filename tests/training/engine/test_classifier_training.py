"""Training on phantom slices: it survives a kill, does nothing twice, and each network sees what it should."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from groundglass.method.classifier_network import MultiScaleClassifier
from training.data.classifier_data import ClassifierData
from training.data.drawing import Draw, painted_draw
from training.data.public_slices import CAP, COVID19, NP, WEAK_COVID19
from training.data.slices import SliceSet
from training.engine import classifier_training
from training.engine.checkpoint import export_weights
from training.engine.classifier_training import BASE_PLAN, OWN_PLAN, REAL_PLAN, plan_of, train_base, train_further
from training.engine.loop import Plan, fit
from training.engine.scale_loss import EveryScale, scale_loss

PLAN = Plan(iterations=1, batch=2)


class Killed(Exception):
    pass


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[int]]]:
    """Name and the labels of the first batch of every training, which trains nothing."""
    found: list[tuple[str, list[int]]] = []

    def fit(out: Path, network: nn.Module, draw: Draw, *rest: object, **options: object) -> nn.Module:
        found.append((out.name, [int(draw(0, n)[1]) for n in range(16)]))
        return network

    monkeypatch.setattr(classifier_training, "fit", fit)
    return found


@pytest.mark.slow
def test_a_killed_training_of_the_classifier_goes_on_to_the_same_weights(tmp_path: Path, slices: SliceSet) -> None:
    plan = Plan(iterations=2, batch=2, average_decay=0.9, save_every=1, validate_every=10)
    whole = painted_draw(slices, 0, range(3))

    def painted(iteration: int, n: int) -> tuple[np.ndarray, int]:
        image, label = whole(iteration, n)
        return image[:, 64:128, 64:128], label  # the network takes any size, and a part is quicker

    def train(out: Path, draw: Draw) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        return fit(out, EveryScale(MultiScaleClassifier()), draw, scale_loss, plan).state_dict()

    def killing(iteration: int, n: int) -> tuple[np.ndarray, int]:
        if iteration == 1:
            raise Killed
        return painted(iteration, n)

    unbroken = train(tmp_path / "a", painted)
    with pytest.raises(Killed):
        train(tmp_path / "b", killing)
    resumed = train(tmp_path / "b", painted)
    assert all(torch.equal(resumed[key], unbroken[key]) for key in unbroken)


def test_each_network_is_trained_once_and_read_from_its_file_then(
    tmp_path: Path, data: ClassifierData, fitted: list[tuple[str, list[int]]]
) -> None:
    for _ in range(2):
        base = train_base(tmp_path, data, PLAN, 0)
        train_further(tmp_path / "all", base, data, PLAN, 0)
    assert [name for name, _ in fitted] == ["base", "all"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.safetensors", "base.safetensors"]


@pytest.mark.slow
def test_going_on_trains_all_with_the_last_scale_silent_and_that_one_anew_then(
    tmp_path: Path, data: ClassifierData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its block had died in a network that only the sum taught; what the others have learnt stays meanwhile."""
    torch.manual_seed(0)
    before = MultiScaleClassifier().eval()
    export_weights(before, tmp_path / "start.safetensors")
    found: dict[str, tuple[set[str], dict[str, torch.Tensor]]] = {}

    def fit(out: Path, network: nn.Module, *rest: object, **options: object) -> nn.Module:
        moved = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
        found[out.name] = moved, {name: value.detach().clone() for name, value in network.named_parameters()}
        return network

    monkeypatch.setattr(classifier_training, "fit", fit)
    train_further(tmp_path / "all", tmp_path / "start.safetensors", data, PLAN, 0)
    (_, (moved, whole)), (last, (moved_last, anew)) = found.items()
    assert moved == set(whole)
    assert not whole["network.heads.2.weight"].any()
    assert last == "conv5"
    assert moved_last == {name for name in whole if ".blocks.4." in name or ".heads.2." in name}
    for name, value in EveryScale(before).named_parameters():
        if value.dim() == 4:
            assert torch.allclose(anew[name], value, rtol=1e-3, atol=1e-4) == (name not in moved_last), name


def test_the_public_data_gives_real_slices_and_weak_labels(
    tmp_path: Path, data: ClassifierData, fitted: list[tuple[str, list[int]]]
) -> None:
    torch.manual_seed(0)
    train_further(tmp_path / "all", MultiScaleClassifier().eval(), data, PLAN, 0)
    train_further(tmp_path / "without", MultiScaleClassifier().eval(), replace(data, mosmed=None), PLAN, 0)
    (_, labels), (_, without) = fitted
    assert sorted(labels) == [NP] * 6 + [CAP] * 4 + [COVID19] * 4 + [WEAK_COVID19] * 2
    assert sorted(without) == [NP] * 6 + [CAP] * 4 + [COVID19] * 6


def test_a_hospitals_two_classes_are_enough_and_keep_their_labels(
    tmp_path: Path, data: ClassifierData, fitted: list[tuple[str, list[int]]]
) -> None:
    kept = tuple(patient for patient in data.patients.patients if patient.label != CAP)
    own = replace(data, patients=replace(data.patients, patients=kept), mosmed=None, public=False)
    torch.manual_seed(0)
    train_further(tmp_path / "all", MultiScaleClassifier().eval(), own, PLAN, 0)
    assert fitted[0][1][1::2] == [NP, COVID19] * 4  # every second sample is real


def test_a_fold_trains_without_what_it_tests(data: ClassifierData) -> None:
    part = data.trained_on(0)
    tested = set(data.folds[0])
    assert tested
    assert {patient.name for patient in part.patients.patients} == {
        patient.name for patient in data.patients.patients
    } - tested
    for name in ("iq_oth", "mosmed"):
        whole, kept = getattr(data, name), getattr(part, name)
        assert set(kept.group) == set(whole.group[whole.places(len(data.folds)) != 0])


def test_the_plans_are_those_of_the_shipped_run(data: ClassifierData) -> None:
    assert (BASE_PLAN.iterations, BASE_PLAN.learning_rate) == (1000, 6e-4)
    assert (REAL_PLAN.iterations, REAL_PLAN.learning_rate) == (250, 3e-4)
    assert plan_of(data) == REAL_PLAN
    assert plan_of(replace(data, public=False)) == OWN_PLAN
