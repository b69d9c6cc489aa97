"""Which data the commands read that train the classifier."""

import argparse
from pathlib import Path
from typing import Any

import pytest

from groundglass.method.lung_network import LungUNet
from tests.training.made_up import label_slices
from training.data.classifier_data import ClassifierData
from training.data.patients import TrainingSet
from training.data.slices import SliceSet
from training.engine import classifier_run
from training.engine.classifier_training import BASE_PLAN, REAL_PLAN


@pytest.mark.parametrize(
    ("arguments", "mosmed"), [([], True), (["--without", "mosmed"], False), (["--training-set", "export"], False)]
)
def test_mosmed_is_read_where_it_may_train(
    arguments: list[str], mosmed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A site may have to keep away from its licence; a hospital's own patients take the place of all such slices."""
    read: list[tuple[Any, ...]] = []
    monkeypatch.setattr(classifier_run, "read_classifier_data", lambda *given: read.append(given))
    parser = argparse.ArgumentParser()
    classifier_run.add_classifier_options(parser)
    options = parser.parse_args(["--data", str(tmp_path), "--out", str(tmp_path / "run"), *arguments])
    classifier_run.read_data(parser, options, LungUNet(channels=(4, 4)))
    assert [given[-1] for given in read] == [mosmed]


def test_another_set_than_mosmed_can_not_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    classifier_run.add_classifier_options(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--out", "run", "--without", "luna"])
    assert "mosmed" in capsys.readouterr().err


def test_a_run_goes_on_from_named_networks_and_no_others_afterwards(
    tmp_path: Path, training_set: TrainingSet, slices: SliceSet, capsys: pytest.CaptureFixture[str]
) -> None:
    """What another start has trained is no part of this run; a network that is missing is named before hours are."""
    pictures = label_slices(slices, ["normal"] * 6, {"normal": 0})
    data = ClassifierData(training_set, slices, pictures, None, True)
    parser = argparse.ArgumentParser()
    start = tmp_path / "start"
    start.mkdir()
    for name in ("all", "fold1"):
        (start / f"{name}.safetensors").write_bytes(name.encode())
    options = argparse.Namespace(out=tmp_path / "run", seed=0, start=start)
    with pytest.raises(SystemExit):
        classifier_run.bind_recipe(parser, options, data, BASE_PLAN, REAL_PLAN)
    assert "fold2.safetensors" in capsys.readouterr().err
    (start / "fold2.safetensors").write_bytes(b"fold2")
    classifier_run.bind_recipe(parser, options, data, BASE_PLAN, REAL_PLAN)
    (start / "fold2.safetensors").write_bytes(b"another")
    with pytest.raises(SystemExit):
        classifier_run.bind_recipe(parser, options, data, BASE_PLAN, REAL_PLAN)
    assert "another start" in capsys.readouterr().err
