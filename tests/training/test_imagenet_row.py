"""The command that trains an ImageNet backbone beside the paper's network, with a small network in its place."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from groundglass.domain.software import sha256_of
from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.method.lung_network import LungUNet
from groundglass.method.weights import load_network
from tests.training.made_up import tiny_network
from training import imagenet_row
from training.data.classifier_data import ClassifierData
from training.data.drawing import Draw
from training.engine import classifier_training
from training.engine.checkpoint import export_weights
from training.engine.classifier_training import REAL_PLAN, train_further
from training.engine.slice_scores import SliceScores
from training.evaluate import score_run
from training.networks.imagenet_network import NoBackbone, OneScale

Batch = list[tuple[np.ndarray, int]]


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = tiny_network(3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.layers(images[:, :1])
        return scores


def read_tiny(weights: Path) -> OneScale:
    return OneScale(load_network(Tiny(), weights))


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object, Batch]]:
    """Folder, plan and the first samples of every training, which trains nothing."""
    found: list[tuple[str, object, Batch]] = []

    def fit(out: Path, network: nn.Module, draw: Draw, loss: object, plan: object, **options: object) -> nn.Module:
        found.append((f"{out.parent.name}/{out.name}", plan, [draw(0, n) for n in range(16)]))
        return network

    monkeypatch.setattr(classifier_training, "fit", fit)
    return found


@pytest.fixture
def run(tmp_path: Path, data: ClassifierData, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """The command, on `data` and from networks in `start`."""
    for seed, name in enumerate(data.networks):
        torch.manual_seed(seed)
        export_weights(MultiScaleClassifier(), tmp_path / "start" / f"{name}.safetensors")
    monkeypatch.setattr(imagenet_row, "read_data", lambda *_: data)
    monkeypatch.setattr(imagenet_row, "load_lung_network", lambda _: LungUNet(channels=(4, 4)))
    monkeypatch.setattr(imagenet_row, "imagenet_network", lambda: OneScale(Tiny()))
    monkeypatch.setattr(imagenet_row, "read_imagenet_network", read_tiny)
    return lambda: imagenet_row.main(["--out", str(tmp_path / "run"), "--start", str(tmp_path / "start")])


@pytest.mark.slow
def test_each_fold_is_trained_on_the_samples_of_the_shipped_recipe_and_scored_for_the_report(
    tmp_path: Path, data: ClassifierData, fitted: list[tuple[str, object, Batch]], run: Callable[[], int]
) -> None:
    assert run() == 0
    for name in ("fold1", "fold2"):
        train_further(
            tmp_path / "shipped" / name, tmp_path / "start" / f"{name}.safetensors", data.of_network(name), REAL_PLAN, 0
        )
    fits = {place: rest for place, *rest in fitted}
    conv5 = ["fold1/conv5", "fold2/conv5"]
    assert sorted(fits) == [*conv5, "imagenet/fold1", "imagenet/fold2", "shipped/fold1", "shipped/fold2"]
    for name in ("fold1", "fold2"):
        (plan, samples), (shipped_plan, shipped_samples) = fits[f"imagenet/{name}"], fits[f"shipped/{name}"]
        assert plan == shipped_plan
        for (image, label), (shipped_image, shipped_label) in zip(samples, shipped_samples, strict=True):
            assert np.array_equal(image, shipped_image)
            assert label == shipped_label

    scores = tmp_path / "run" / "scores"
    assert sorted(path.name for path in scores.iterdir()) == [
        f"imagenet.{name}.npz" for name in ("iq_oth", "mosmed", "patients")
    ]
    patients = SliceScores.load(scores / "imagenet.patients.npz")
    networks = [tmp_path / "run" / "imagenet" / f"fold{number}.safetensors" for number in (1, 2)]
    assert patients.weights.tolist() == [sha256_of(network) for network in networks]
    for fold, names in enumerate(data.folds):
        assert {str(name) for name in patients.group[patients.fold == fold]} == set(names)
    assert patients.outputs == ("joint",)

    run()
    assert len(fitted) == 6  # all is there


@pytest.mark.slow
def test_the_report_tells_the_row_without_the_packages_it_was_trained_with(
    tmp_path: Path, data: ClassifierData, fitted: list[tuple[str, object, Batch]], run: Callable[[], int]
) -> None:
    run()
    for number in (1, 2):
        export_weights(MultiScaleClassifier(), tmp_path / "run" / f"fold{number}.safetensors")
    report = score_run(tmp_path / "run", tmp_path / "tables", data, data.folds)
    assert list(report["iq_oth"]) == ["shipped", "imagenet"]
    assert list(report["mosmed"]["imagenet"]) == ["joint"]
    assert report["started"]
    json.dumps(report)


def test_without_the_packages_the_command_ends_before_it_reads_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> OneScale:
        raise NoBackbone("install it")

    monkeypatch.setattr(imagenet_row, "imagenet_network", missing)
    with pytest.raises(SystemExit) as ended:
        imagenet_row.main(["--out", str(tmp_path / "run")])
    assert ended.value.code == 2
    assert "install it" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
