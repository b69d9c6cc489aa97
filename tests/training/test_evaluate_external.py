"""Scoring the shipped classifier on a folder of 8-bit slices."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groundglass.locations import ROOT
from groundglass.phantom.thorax import make_thorax
from tests.training.made_up import put
from training.evaluate_external import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two patients of each class, with one slice and with two."""
    root = tmp_path_factory.mktemp("external")
    volume, _ = make_thorax("covid19", slices=20, size=96)
    for first, name in ((5, "normal"), (8, "pneumonia"), (11, "covid-19")):
        (root / name).mkdir()
        for patient, index in (("7", first), ("7", first + 1), ("A12", first + 2)):
            grey = np.clip((volume.hu[index] + 1000) / 1400, 0, 1) * 255
            Image.fromarray(grey.astype(np.uint8)).save(root / name / f"CT2x_{patient}_s1b_{index:04d}.png")
    return root


@pytest.mark.slow
def test_the_command_writes_every_figure_of_the_folder(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--images", str(folder), "--models", str(ROOT / "models"), "--out", str(tmp_path)]
    assert main([*arguments, "--repeats", "20"]) == 0
    report = json.loads((tmp_path / "external.json").read_text(encoding="utf-8"))
    assert (report["images"], report["patients"], report["scans"]) == (9, 6, 6)
    assert np.sum(report["slice"]["confusion_true_by_predicted"]) == 9
    assert np.sum(report["patient"]["confusion_true_by_predicted"]) == 6
    markdown = (tmp_path / "external.md").read_text(encoding="utf-8")
    assert markdown in capsys.readouterr().out
    assert "6 patients (NP 2, CAP 2, COVID-19 2)" in markdown
    with Image.open(tmp_path / "external-confusion.png") as image:
        assert image.width > 500


def test_an_unreadable_picture_is_refused_and_not_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path / "normal" / "a_1_1_1.png")
    (tmp_path / "normal" / "a_1_1_2.png").write_bytes(b"\x89PNG\r\n")
    assert main(["--images", str(tmp_path)]) == 2
    assert "a_1_1_2.png" in capsys.readouterr().err


def test_an_output_folder_that_cannot_be_written_is_told_before_anything_is_scored(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    assert main(["--images", str(folder), "--out", str(tmp_path / "file" / "out")]) == 2
    assert "output folder can't be written" in capsys.readouterr().err
