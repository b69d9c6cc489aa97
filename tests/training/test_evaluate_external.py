"""Scoring the shipped classifier on a folder of 8-bit slices."""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groundglass.locations import ROOT
from groundglass.phantom.thorax import make_thorax
from groundglass.presets import SHIPPED
from training.evaluate_external import (
    UnusableImages,
    as_markdown,
    figures_of,
    list_images,
    main,
    score,
    score_level,
)


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


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(path)


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


def test_names_are_read_from_the_right(tmp_path: Path) -> None:
    put(tmp_path / "covid-19" / "NCP_2_v1_12_3b_0007.png")
    put(tmp_path / "covid-19" / "NCP_2_v1_12_4_0007.png")
    put(tmp_path / "normal" / "N1_12_3b_1.jpg")
    images = list_images(tmp_path)
    assert [image.patient[1:] for image in images] == [("NCP_2_v1", "12"), ("NCP_2_v1", "12"), ("N1", "12")]
    assert [image.scan for image in images] == ["3b", "4", "3b"]
    assert [image.label for image in images] == [2, 2, 0]


def test_wrong_names_are_refused_with_their_number_and_the_first_few(tmp_path: Path) -> None:
    put(tmp_path / "normal" / "a_1_1_1.png")
    for number in range(9):
        put(tmp_path / "normal" / f"slice{number}.png")
    with pytest.raises(
        UnusableImages, match=r"9 files.*normal/slice0\.png.*<prefix>_<patient>_<scan>_<slice>"
    ) as caught:
        list_images(tmp_path)
    assert "slice8" not in str(caught.value)


def test_unknown_classes_missing_folders_and_empty_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableImages, match="no folder"):
        list_images(tmp_path / "nowhere")
    (tmp_path / "normal").mkdir()
    with pytest.raises(UnusableImages, match="no pictures"):
        list_images(tmp_path)
    (tmp_path / "COVID").mkdir()
    with pytest.raises(UnusableImages, match=r"1 class folders are unknown, first: COVID\."):
        list_images(tmp_path)


def test_an_unreadable_picture_is_refused_and_not_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path / "normal" / "a_1_1_1.png")
    (tmp_path / "normal" / "a_1_1_2.png").write_bytes(b"\x89PNG\r\n")
    assert main(["--images", str(tmp_path)]) == 2
    assert "a_1_1_2.png" in capsys.readouterr().err


def test_figures_of_a_known_table() -> None:
    label = np.array([0, 0, 1, 1, 2, 2])
    answer = np.array([0, 1, 1, 1, 2, 0])
    figures = figures_of(label, np.eye(3)[answer] * 0.8 + 0.2 / 3)
    assert figures["accuracy"] == pytest.approx(4 / 6)
    assert figures["np/SEN"] == pytest.approx(0.5)
    assert figures["np/PRC"] == pytest.approx(0.5)
    assert figures["np/SPE"] == pytest.approx(0.75)
    assert figures["cap/PRC"] == pytest.approx(2 / 3)
    assert figures["macro_f1"] == pytest.approx((0.5 + 0.8 + 2 / 3) / 3)
    assert figures["auc_diseased"] == pytest.approx(0.625)


def test_a_missing_class_leaves_its_figures_open(tmp_path: Path) -> None:
    for name in ("covid-19", "pneumonia"):
        for number in range(3):
            put(tmp_path / name / f"x_{number}_1_1.png")
    images = list_images(tmp_path)
    probabilities = np.tile([0.2, 0.3, 0.5], (6, 1))
    lungs_found = np.ones(6, dtype=bool)
    report = score(images, probabilities, lungs_found, SHIPPED.classification.study_rule, repeats=10, seed=0)
    assert report == score(images, probabilities, lungs_found, SHIPPED.classification.study_rule, repeats=10, seed=0)
    report["fingerprint"] = "f"
    assert report["slice"]["figures"]["np/SEN"]["value"] is None
    assert report["slice"]["figures"]["auc_diseased"]["value"] is None
    assert "| NP | 0 | – | – |" in as_markdown(report)


def test_there_is_no_interval_where_a_class_has_few_patients() -> None:
    patient = np.repeat(np.arange(17), 3)
    label = np.repeat([0] * 6 + [1] * 6 + [2] * 5, 3)
    probabilities = np.random.default_rng(0).dirichlet([1, 1, 1], len(label))
    figures = score_level(label, probabilities, patient, repeats=20, seed=0)["figures"]
    assert {figure["interval"] for figure in figures.values()} == {None}
    assert all(figure["value"] is not None for figure in figures.values())


@pytest.mark.parametrize("mode", ["RGB", "LA"])
def test_a_picture_of_16_bits_a_channel_is_refused_before_anything_is_scored(tmp_path: Path, mode: str) -> None:
    """Pillow would read it as black; it can't write one either."""
    path = tmp_path / "normal" / "x_1_1_1.png"
    path.parent.mkdir()
    channels, color_type = {"RGB": (3, 2), "LA": (2, 4)}[mode]
    lines = b"".join(b"\0" + bytes(2 * channels * 8) for _ in range(8))
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        header = struct.pack(">IIBBBBB", 8, 8, 16, color_type, 0, 0, 0)
        for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")):
            file.write(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)))
    with pytest.raises(UnusableImages, match="more than 8 bits a channel"):
        list_images(tmp_path)


def test_an_output_folder_that_cannot_be_written_is_told_before_anything_is_scored(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    assert main(["--images", str(folder), "--out", str(tmp_path / "file" / "out")]) == 2
    assert "output folder can't be written" in capsys.readouterr().err


def test_intervals_are_of_patients_and_not_of_slices() -> None:
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1, 2], 80)
    patient = np.repeat(np.arange(24), 10)
    right = np.repeat(rng.random(24) < 0.5, 10)  # all slices of a patient are right, or all are wrong
    probabilities = np.eye(3)[np.where(right, label, (label + 1) % 3)]
    of_patients, of_slices = (
        score_level(label, probabilities, unit, repeats=200, seed=0)["figures"]["accuracy"]["interval"]
        for unit in (patient, np.arange(240))
    )
    assert np.ptp(of_patients) > 1.5 * np.ptp(of_slices)
