"""Files appear whole or not at all."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread

from dicomio import files
from dicomio.files import write_dicom, write_image, write_text
from dicomio.segmentation import make_segmentation
from tests.dicomio.outputs_fixture import SOFTWARE, make_case


def test_each_kind_is_read_back(tmp_path: Path) -> None:
    case = make_case()
    segmentation = make_segmentation(case.sources, case.volume, case.findings, SOFTWARE)
    write_dicom(segmentation, tmp_path / "a.dcm")
    write_text("grüß Gott\n", tmp_path / "b.json")
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    write_image(Image.fromarray(pixels), tmp_path / "c.png")
    assert dcmread(tmp_path / "a.dcm").PixelData == segmentation.PixelData
    assert (tmp_path / "b.json").read_text(encoding="utf-8") == "grüß Gott\n"
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "c.png")), pixels)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.dcm", "b.json", "c.png"]


def test_files_are_readable_by_the_group_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_text("text", tmp_path / "a.json")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o640


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(b"old")
    incomplete = Dataset()  # without file meta information
    with pytest.raises((AttributeError, ValueError)):
        write_dicom(incomplete, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_nobody_sees_a_file_before_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with files._written_aside(path) as file:
        file.write(b"half")
        file.flush()
        assert not path.exists()
        assert all(entry.name.startswith(".") for entry in tmp_path.iterdir())
        file.write(b" and half")
    assert path.read_bytes() == b"half and half"


def test_an_interruption_removes_the_temporary_file(tmp_path: Path) -> None:
    def interrupted(file: BinaryIO) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files._write(tmp_path / "a.json", interrupted)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_text("text", tmp_path / "missing" / "a.json")
