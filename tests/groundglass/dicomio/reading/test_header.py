"""A header that the scan walks over itself says what pydicom says."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from groundglass.dicomio.reading.attributes import number, quiet_pydicom, text
from groundglass.dicomio.reading.header import KEPT, Header, read_header
from groundglass.dicomio.reading.whole_header import is_cut, read_whole
from groundglass.domain.errors import Refusal
from tests.groundglass.dicomio.ct_samples import Sample, make_series, write

SAMPLE = Sample(slices=1, rows=40, columns=40)


def read(path: Path) -> tuple[Header | None, bool]:
    content = path.read_bytes()
    with quiet_pydicom():
        return read_header(str(path), len(content), content[: 1 << 14])


def agrees_with_pydicom(path: Path) -> None:
    header, cut = read(path)
    with quiet_pydicom():
        whole = read_whole(str(path))
        if header is None:
            assert whole is None
            return
        if whole is None:
            with pytest.raises(Refusal, match="UNREADABLE_HEADER"):
                header.StationName  # noqa: B018
            return
        assert cut or not is_cut(whole, path.stat().st_size)
        for keyword in KEPT:
            assert text(header, keyword) == text(whole, keyword), keyword
            assert number(header, keyword) == number(whole, keyword), keyword
        assert header.syntax == text(whole.file_meta, "TransferSyntaxUID")


def furnished(image: Dataset, undefined_length: bool) -> Dataset:
    """An image with sequences in sequences, long values and private attributes."""
    inner, outer = Dataset(), Dataset()
    inner.CodeMeaning, inner.CodeValue = "inside", "1"
    outer.PurposeOfReferenceCodeSequence = Sequence([inner, inner])
    outer["PurposeOfReferenceCodeSequence"].is_undefined_length = undefined_length
    outer.is_undefined_length_sequence_item = undefined_length
    image.ReferencedImageSequence = Sequence([outer, outer])
    image["ReferencedImageSequence"].is_undefined_length = undefined_length
    image.private_block(0x29, "LONG", create=True).add_new(1, "OB", bytes(range(256)) * 200)
    image.ImageType = ["DERIVED ", "PRIMARY", "AXIAL "]
    return image


@pytest.mark.parametrize("undefined_length", [True, False])
@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless, DeflatedExplicitVRLittleEndian]
)
def test_every_value_that_is_kept_is_pydicoms(tmp_path: Path, syntax: str, undefined_length: bool) -> None:
    path = write(furnished(make_series(SAMPLE)[0], undefined_length), tmp_path / "image", syntax)
    agrees_with_pydicom(path)


def test_a_big_endian_header_is_read_too(tmp_path: Path) -> None:
    path = write(make_series(SAMPLE)[0], tmp_path / "image", ExplicitVRBigEndian)
    agrees_with_pydicom(path)
    assert read(path)[0].syntax == ExplicitVRBigEndian  # type: ignore[union-attr]


def test_nothing_but_the_kept_values_is_read_until_it_is_asked_for(tmp_path: Path) -> None:
    image = furnished(make_series(SAMPLE)[0], True)
    image.StationName = "SCANNER"
    path = write(image, tmp_path / "image")
    header, _ = read(path)
    assert isinstance(header, Header)
    assert number(header, "Rows") == 40
    assert "_dict" not in header.__dict__
    assert header.StationName == "SCANNER"
    assert header.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert dcmread(path) == header


def test_a_value_that_is_changed_is_told_as_changed(tmp_path: Path) -> None:
    header, _ = read(write(make_series(SAMPLE)[0], tmp_path / "image"))
    assert header is not None
    header.Rows, header.Modality = 7, "MR"
    assert number(header, "Rows") == 7
    assert text(header, "Modality") == "MR"


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_a_file_holds_the_walk_and_pydicom_agree(tmp_path_factory: pytest.TempPathFactory, data) -> None:
    folder = tmp_path_factory.getbasetemp()
    syntax = data.draw(st.sampled_from([ImplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless]))
    path = folder / f"mutated_{syntax}"
    if not path.exists():
        write(furnished(make_series(SAMPLE)[0], True), path, syntax)
        (folder / f"whole_{syntax}").write_bytes(path.read_bytes())
    content = bytearray((folder / f"whole_{syntax}").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(132, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(140, len(content)))])
    agrees_with_pydicom(path)


def test_a_compressed_file_is_walked_over_to_its_end(tmp_path: Path) -> None:
    image = make_series(SAMPLE)[0]
    path = write(image, tmp_path / "image", RLELossless)
    content = path.read_bytes()
    header, cut = read(path)
    assert header is not None
    assert header.pixels is not None
    assert header.pixels[1] == -1
    assert not cut
    path.write_bytes(content[:-8])
    assert read(path)[1]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_of_an_element_that_comes_again_after_the_pixels_the_one_counts_that_pydicom_reads(
    tmp_path: Path, syntax: str
) -> None:
    path = write(make_series(SAMPLE)[0], tmp_path / "image", syntax)
    with path.open("ab") as file:
        file.write(b"\x28\x00\x52\x10DS\x02\x00-7")
    header, cut = read(path)
    assert header is not None
    assert not cut
    assert (number(header, "RescaleIntercept"), header.RescaleIntercept) == (-7, -7)


@pytest.mark.parametrize("value", ["1_024", "-1_0", "1_0e3"])
def test_digits_in_groups_are_no_number(tmp_path: Path, value: str) -> None:
    path = write(make_series(SAMPLE)[0], tmp_path / "image")
    path.write_bytes(path.read_bytes().replace(b"-1024.0 ", value.ljust(8).encode()))
    header, _ = read(path)
    assert header is not None
    assert number(header, "RescaleIntercept") is None
    assert header.RescaleIntercept is not None  # the elements are read from here on
    assert number(header, "RescaleIntercept") is None


def test_an_attribute_that_a_file_makes_a_sequence_is_neither_text_nor_number() -> None:
    """Found by fuzzing: the items hold anything, and pydicom fails to print what it can't read."""
    item = Dataset()
    item._dict[Tag(0x00085453)] = RawDataElement(Tag(0x00085453), "AN", 4, b"abcd", 0, False, True)
    header = Dataset()
    header.add(DataElement("SeriesInstanceUID", "SQ", [item]))
    header.add(DataElement("SliceThickness", "SQ", [item]))
    assert text(header, "SeriesInstanceUID") == ""
    assert number(header, "SliceThickness") is None
