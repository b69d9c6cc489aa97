"""Which data the commands read that train the classifier."""

import argparse
from pathlib import Path
from typing import Any

import pytest

from groundglass.method.lung_network import LungUNet
from training.engine import classifier_run


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
