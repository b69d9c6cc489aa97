"""Files appear whole or not at all, and those of a case together."""

import errno
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread

from groundglass.dicomio.writing.files import FileGroup, check_room, write_dicom, write_image, write_text
from groundglass.dicomio.writing.segmentation import make_segmentation
from groundglass.domain.errors import OutputFailed
from tests.groundglass.dicomio.outputs_fixture import make_case


def test_each_kind_is_read_back(tmp_path: Path) -> None:
    case = make_case()
    segmentation = make_segmentation(case)
    write_dicom(segmentation, tmp_path / "a.dcm")
    write_text("grüß Gott\n", tmp_path / "b.json")
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    write_image(Image.fromarray(pixels), tmp_path / "c.png")
    assert dcmread(tmp_path / "a.dcm").PixelData == segmentation.PixelData
    assert (tmp_path / "b.json").read_text(encoding="utf-8") == "grüß Gott\n"
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "c.png")), pixels)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.dcm", "b.json", "c.png"]


@pytest.mark.parametrize("umask", [0o077, 0o000])
def test_files_are_readable_by_the_group_and_by_nobody_else_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
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


def test_files_of_a_group_appear_together_when_all_are_complete(tmp_path: Path) -> None:
    with FileGroup(tmp_path) as group:
        group.write_text("one", "a.json")
        group.write_text("two", "b.json")
        assert all(entry.name.startswith(".") for entry in tmp_path.iterdir())
    assert group.names == ["a.json", "b.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_a_group_that_is_interrupted_leaves_nothing(tmp_path: Path, interruption: type[BaseException]) -> None:
    def write_and_stop() -> None:
        with FileGroup(tmp_path) as group:
            group.write_text("one", "a.json")
            raise interruption

    with pytest.raises(interruption):
        write_and_stop()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_turns_read_only_is_told_as_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    def write_on_it() -> None:
        with FileGroup(tmp_path) as group:
            group.write_text("one", "a.json")
            monkeypatch.setattr(os, "open", refuse)
            monkeypatch.setattr(Path, "unlink", refuse)
            group.write_text("two", "b.json")

    with pytest.raises(OutputFailed) as caught:
        write_on_it()
    assert caught.value.code == "OUTPUT_NOT_WRITABLE"


def test_a_missing_folder_is_told_without_its_name(tmp_path: Path) -> None:
    with pytest.raises(OutputFailed) as caught:
        write_text("text", tmp_path / "PLANTED" / "a.json")
    assert caught.value.code == "OUTPUT_NOT_WRITABLE"
    assert "PLANTED" not in str(caught.value)


def test_a_link_planted_under_the_hidden_name_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine", encoding="utf-8")
    out = tmp_path / "out"
    out.mkdir()
    (out / f".a.json.{os.getpid()}.part").symlink_to(victim)
    write_text("text", out / "a.json")
    assert victim.read_text(encoding="utf-8") == "mine"
    assert (out / "a.json").read_text(encoding="utf-8") == "text"


def test_a_disk_that_is_too_full_is_told_with_the_figures(tmp_path: Path) -> None:
    check_room(tmp_path, 1)
    with pytest.raises(OutputFailed, match=r"need about 1000000000 MB, and .* MB free") as caught:
        check_room(tmp_path, 10**15)
    assert caught.value.code == "DISK_FULL"
