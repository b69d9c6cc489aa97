"""Folders of 8-bit slices from elsewhere are checked before anything is scored."""

import struct
import zlib
from pathlib import Path

import pytest

from tests.training.made_up import put
from training.data.external_images import UnusableImages, list_images


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
