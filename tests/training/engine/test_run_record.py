"""A run goes on from what lies in its folder only where that is its own."""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.made_up import make_slices
from training.data.classifier_data import ClassifierData
from training.data.patients import TrainingSet
from training.data.public_slices import LabelledSlices
from training.engine.classifier_run import bind_recipe
from training.engine.classifier_training import BASE_PLAN, REAL_PLAN
from training.engine.run_record import RunMismatch, bind_run


def test_a_run_made_alike_goes_on(tmp_path: Path) -> None:
    for _ in range(2):
        bind_run(tmp_path / "run", "classifier", {"fingerprint": "a", "seed": 0})


@pytest.mark.parametrize("other", [{"fingerprint": "b", "seed": 0}, {"fingerprint": "a", "seed": 1}])
def test_a_run_made_otherwise_is_refused_and_leaves_what_is_there(tmp_path: Path, other: dict[str, object]) -> None:
    bind_run(tmp_path, "classifier", {"fingerprint": "a", "seed": 0})
    with pytest.raises(RunMismatch, match="Give a new folder with --out"):
        bind_run(tmp_path, "classifier", other)
    bind_run(tmp_path, "classifier", {"fingerprint": "a", "seed": 0})


def test_the_cross_validation_takes_no_fold_of_another_run_of_the_classifier(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    options = argparse.Namespace(out=tmp_path, seed=0, start=None)
    slices = make_slices(2, 0, side=8)
    pictures = LabelledSlices(slices, np.zeros(2), np.array(["a", "b"]), np.array(["normal"] * 2))
    first, second = (
        ClassifierData(TrainingSet((), fingerprint, "patients"), slices, pictures, pictures, True)
        for fingerprint in "ab"
    )
    without = replace(first, mosmed=None)
    bind_recipe(parser, options, first, BASE_PLAN, REAL_PLAN)
    bind_recipe(parser, options, first, BASE_PLAN, REAL_PLAN)
    for data, seed, plan in (
        (second, 0, BASE_PLAN),
        (without, 0, BASE_PLAN),
        (first, 5, BASE_PLAN),
        (first, 0, REAL_PLAN),
    ):
        with pytest.raises(SystemExit):
            bind_recipe(parser, argparse.Namespace(out=tmp_path, seed=seed, start=None), data, plan, REAL_PLAN)
        assert "Give a new folder" in capsys.readouterr().err


def test_a_folder_whose_run_did_not_say_what_it_was_made_with_is_refused(tmp_path: Path) -> None:
    bind_run(tmp_path, "classifier", {"fingerprint": "a"})
    with pytest.raises(RunMismatch, match="another seed"):
        bind_run(tmp_path, "classifier", {"fingerprint": "a", "seed": 0})
