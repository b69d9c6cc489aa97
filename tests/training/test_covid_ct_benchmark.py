"""The COVID-CT benchmark on phantom figures: it trains, resumes, scores, and keeps the test split out of choices."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.phantom.thorax import make_thorax
from training.covid_ct_benchmark import MODELS, ROWS, main
from training.engine import form_choice
from training.engine.checkpoint import export_weights
from training.networks import frozen_features
from training.reports.covid_ct_benchmark import as_markdown

LUNGS = MODELS / "lungs" / "lungs.safetensors"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three splits, one figure a class each, and in train one of a second case."""
    root = tmp_path_factory.mktemp("benchmark")
    volume, _ = make_thorax("covid19", slices=16, size=80)
    for first, name in ((5, "NonCOVID"), (8, "COVID")):
        for number, split in enumerate(("train", "val", "test")):
            (root / split / name).mkdir(parents=True)
            grey = np.clip((volume.hu[first + number, 8:70] + 1350) / 1500, 0, 1) * 255
            for case in ("1%0", "5%0")[: 2 if split == "train" else 1]:
                Image.fromarray(grey.astype(np.uint8)).save(root / split / name / f"{case}.png")
                grey = grey[::-1]
    return root


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "three.safetensors"
    export_weights(MultiScaleClassifier(), path)
    return path


@pytest.fixture(scope="module", autouse=True)
def one_copy() -> Iterator[None]:
    """One augmented copy of each image, and few forms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frozen_features, "COPIES", 1)
        patch.setattr(form_choice.choose_form, "__defaults__", (form_choice.FORMS[::8], 0))
        yield


def arguments(folder: Path, pretrained: Path, out: Path, iterations: int = 2) -> list[str]:
    splits = ["--train", str(folder / "train"), "--val", str(folder / "val")]
    weights = ["--pretrained", str(pretrained), "--lungs", str(LUNGS)]
    short = ["--iterations", str(iterations), "--batch", "2", "--validate-every", "2", "--repeats", "20"]
    short += ["--tuned-iterations", str(iterations)]
    return [*splits, *weights, *short, "--out", str(out)]


@pytest.fixture(scope="module")
def trained(folder: Path, pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All rows, with the test split; `images` are what later calls find prepared."""
    out = tmp_path_factory.mktemp("trained")
    assert main([*arguments(folder, pretrained, out), "--test", str(folder / "test")]) == 0
    return out


@pytest.mark.slow
def test_all_rows_are_scored_beside_the_published_ones(trained: Path) -> None:
    report = json.loads((trained / "benchmark.json").read_text(encoding="utf-8"))
    for row in ROWS:
        assert {name: sum(split["images"].values()) for name, split in report["rows"][row]["splits"].items()} == {
            "val": 2,
            "test": 2,
        }
    markdown = as_markdown(report)
    assert markdown == (trained / "benchmark.md").read_text(encoding="utf-8")
    # Val chose the plain row's checkpoint and nothing of the others, whose form train chose.
    plain = next(line for line in markdown.splitlines() if "(plain) | val | 2 |" in line)
    assert [cell.strip()[0] for cell in plain.split("|")[4:-1]] == ["["] * 3
    for row in ROWS[1:]:
        assert "[" not in next(line for line in markdown.splitlines() if f"({row}) | val | 2 |" in line)
        assert f"({row}) | train, which chose its form |" in markdown
    assert "among 3 by cross-validation inside train, 2 folds of 4 groups" in markdown
    assert "whose form val chose (AUC there .911) | test | 203 | 0.675 | – | 0.765 (0.702 to 0.827) |" in markdown
    assert "| DenseNet-169, ImageNet pretraining (He et al. 2020) | test, published | 203 | 0.847 | 0.854 |" in markdown


@pytest.mark.slow
def test_the_test_split_changes_no_weight_and_a_second_call_trains_no_further(
    trained: Path, folder: Path, pretrained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained / "images", tmp_path / "images")
    call = [*arguments(folder, pretrained, tmp_path), "--rows", "plain"]
    assert main(call) == 0
    weights = tmp_path / "plain0" / "weights.safetensors"
    first, with_test = load_file(weights), load_file(trained / "plain0" / "weights.safetensors")
    assert all(torch.equal(first[key], with_test[key]) for key in first)
    log = (tmp_path / "plain0" / "log.csv").read_text()
    assert main(call) == 0
    assert all(torch.equal(first[key], value) for key, value in load_file(weights).items())
    assert (tmp_path / "plain0" / "log.csv").read_text() == log


@pytest.mark.slow
def test_rows_of_an_earlier_call_stay_where_the_images_are_the_same(
    trained: Path, folder: Path, pretrained: Path, tmp_path: Path
) -> None:
    earlier = json.loads((trained / "benchmark.json").read_text(encoding="utf-8"))
    (tmp_path / "benchmark.json").write_text(json.dumps(earlier), encoding="utf-8")
    shutil.copytree(trained / "images", tmp_path / "images")
    call = [*arguments(folder, pretrained, tmp_path), "--rows", "machine"]
    assert main([*call, "--test", str(folder / "test")]) == 0
    rows = json.loads((tmp_path / "benchmark.json").read_text(encoding="utf-8"))["rows"]
    assert list(rows) == list(ROWS)
    assert rows["imagenet"] == earlier["rows"]["imagenet"]
    assert rows["plain"] == earlier["rows"]["plain"]
    assert main(call) == 0  # without the test split
    assert list(json.loads((tmp_path / "benchmark.json").read_text(encoding="utf-8"))["rows"]) == ["machine"]


def test_weights_are_never_written_into_the_model_folder(
    folder: Path, pretrained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(folder, pretrained, MODELS / "benchmark")) == 2
    assert "never shipped" in capsys.readouterr().err
    assert not (MODELS / "benchmark").exists()


def test_missing_packages_are_told_before_anything_is_computed(
    folder: Path, pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    assert main([*arguments(folder, pretrained, tmp_path), "--rows", "best"]) == 2
    assert "pip install '.[imagenet]'" in capsys.readouterr().err
    assert not (tmp_path / "images").exists()


def test_a_split_without_a_class_folder_is_refused(
    folder: Path, pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(folder / "train", pretrained, tmp_path)) == 2
    assert "COVID and NonCOVID" in capsys.readouterr().err
