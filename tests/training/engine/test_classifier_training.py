"""Training on phantom slices: it runs, survives a kill, and gives the same weights as an unbroken run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from groundglass.method.classifier_network import MultiScaleClassifier
from training.data.drawing import Draw, painted_draw
from training.data.patients import TrainingSet
from training.data.slices import SliceSet
from training.engine.classifier_training import equal_class_loss, fine_tune
from training.engine.loop import Plan, fit


class Killed(Exception):
    pass


@pytest.mark.slow
def test_a_killed_training_of_the_classifier_goes_on_to_the_same_weights(tmp_path: Path, slices: SliceSet) -> None:
    plan = Plan(iterations=2, batch=2, average_decay=0.9, save_every=1, validate_every=10)
    whole = painted_draw(slices, 0, range(3))

    def painted(iteration: int, n: int) -> tuple[np.ndarray, int]:
        image, label = whole(iteration, n)
        return image[:, 64:128, 64:128], label  # the network takes any size, and a part is quicker

    def train(out: Path, draw: Draw) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        return fit(out, MultiScaleClassifier(), draw, equal_class_loss, plan).state_dict()

    def killing(iteration: int, n: int) -> tuple[np.ndarray, int]:
        if iteration == 1:
            raise Killed
        return painted(iteration, n)

    unbroken = train(tmp_path / "a", painted)
    with pytest.raises(Killed):
        train(tmp_path / "b", killing)
    resumed = train(tmp_path / "b", painted)
    assert all(torch.equal(resumed[key], unbroken[key]) for key in unbroken)


def test_two_classes_are_enough_to_fine_tune_and_keep_their_labels(
    tmp_path: Path, training_set: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    patients = [patient for patient in training_set.patients if patient.name in ("np1", "covid191")]
    drawn: list[int] = []

    def fit(out: Path, network: nn.Module, draw: Draw, *rest: object, **options: object) -> nn.Module:
        drawn.extend(draw(0, n)[1] for n in range(1, 12, 2))  # every second sample is real
        return network

    monkeypatch.setattr("training.engine.classifier_training.fit", fit)
    torch.manual_seed(0)
    plan = Plan(iterations=1, batch=2)
    fine_tune(tmp_path / "all", MultiScaleClassifier().eval(), patients, patients[0].slices, plan, 0)
    assert drawn == [0, 2, 0, 2, 0, 2]
