"""Every form of CT pixels becomes the same Hounsfield units."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from groundglass.dicomio.reading import pixels
from groundglass.dicomio.reading.header import Header
from groundglass.dicomio.reading.pixels import read_slice_hu
from groundglass.dicomio.reading.scan import scan_folder
from groundglass.dicomio.reading.volume import read_images
from groundglass.domain.errors import Refusal
from tests.groundglass.dicomio.ct_samples import EVERY, Sample, chest_hu, make_series, on, set_pixels, write_series

SIGNED = Sample(slices=6, rows=64, columns=48, is_signed=True, intercept=0)
UNSIGNED = Sample(slices=6, rows=64, columns=48)
TWELVE = Sample(slices=6, rows=64, columns=48, bits_stored=12)
SIGNED_TWELVE = Sample(slices=6, rows=64, columns=48, bits_stored=12, is_signed=True, intercept=0)
FORMS = {"unsigned": UNSIGNED, "signed": SIGNED, "12 bits": TWELVE, "12 bits, signed": SIGNED_TWELVE}


def encode(stored: np.ndarray, syntax: str, bits: int) -> bytes:
    """One frame as an encoder of another project writes it; `stored` is uint16, or int16 for JPEG 2000."""
    if syntax == JPEGExtended12Bit:
        return bytes(imagecodecs.jpeg8_encode(stored, level=100, bitspersample=12))
    if syntax in (JPEGLossless, JPEGLosslessSV1):
        predictor = 1 if syntax == JPEGLosslessSV1 else 6
        bits = max(bits, 10)  # libjpeg-turbo takes 16 or fewer, but knows no 9
        return bytes(imagecodecs.jpeg8_encode(stored, lossless=True, predictor=predictor, bitspersample=bits))
    if syntax == JPEGLSLossless:
        return bytes(imagecodecs.jpegls_encode(stored))
    if syntax in (JPEG2000, JPEG2000Lossless):
        return bytes(imagecodecs.jpeg2k_encode(stored, codecformat="j2k", level=0, reversible=True, bitspersample=bits))
    return bytes(imagecodecs.htj2k_encode(stored))


def compress(image: Dataset, syntax: str) -> None:
    bits, is_signed = int(image.BitsStored), image.PixelRepresentation == 1
    stored = np.frombuffer(image.PixelData, "<u2").reshape(image.Rows, image.Columns)
    if is_signed and syntax not in (JPEGLossless, JPEGLosslessSV1, JPEGLSLossless):
        # JPEG 2000 says itself that its values are signed.
        stored = (stored.astype(np.int16) << (16 - bits)) >> (16 - bits)
    image.PixelData = encapsulate([encode(stored, syntax, bits)])
    image["PixelData"].VR = "OB"
    image["PixelData"].is_undefined_length = True
    image.file_meta.TransferSyntaxUID = syntax


def scanned(folder: Path, images: list[Dataset], syntax: str) -> tuple[Dataset, ...]:
    write_series(folder, images, syntax)
    (series,) = scan_folder(folder).series
    return series.instances


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "syntax",
    [
        JPEGLossless,
        JPEGLosslessSV1,
        JPEGLSLossless,
        JPEG2000Lossless,
        JPEG2000,
        HTJ2KLossless,
        HTJ2KLosslessRPCL,
        HTJ2K,
    ],
)
def test_compressed_pixels_are_decoded_to_the_last_bit(tmp_path: Path, syntax: str, form: str) -> None:
    images = make_series(FORMS[form])
    for image in images:
        compress(image, syntax)
    volume = read_images(scanned(tmp_path, images, syntax)).volume
    np.testing.assert_array_equal(volume.hu, chest_hu(FORMS[form]))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless]
)
def test_other_pixels_are_read_to_the_last_bit(tmp_path: Path, syntax: str, form: str) -> None:
    volume = read_images(scanned(tmp_path, make_series(FORMS[form]), syntax)).volume
    np.testing.assert_array_equal(volume.hu, chest_hu(FORMS[form]))


@pytest.mark.parametrize("form", FORMS)
def test_big_endian_pixels_are_read_to_the_last_bit(tmp_path: Path, form: str) -> None:
    images = make_series(FORMS[form])
    for image in images:
        image.PixelData = np.frombuffer(image.PixelData, "<u2").astype(">u2").tobytes()
    volume = read_images(scanned(tmp_path, images, ExplicitVRBigEndian)).volume
    np.testing.assert_array_equal(volume.hu, chest_hu(FORMS[form]))


@pytest.mark.parametrize("slope", [1.0, 2.0, 0.5])
@pytest.mark.parametrize("padding", [None, 3])
def test_the_table_and_the_sum_give_what_the_formula_gives(tmp_path: Path, slope: float, padding: int | None) -> None:
    random = np.random.default_rng(3)
    stored = random.integers(0, 2**16, (64, 48))

    def fill(image: Dataset, index: int) -> None:
        set_pixels(image, stored)
        if padding is not None:
            image.add_new("PixelPaddingValue", "US", padding)

    sample = Sample(slices=1, rows=64, columns=48, slope=slope)
    (header,) = scanned(tmp_path, make_series(sample, fill), ExplicitVRLittleEndian)
    hu = np.empty((64, 48), np.int16)
    read_slice_hu(header, hu)
    expected = np.clip(np.rint(stored * slope - 1024), -1024, 2**15 - 1)
    if padding is not None:
        expected[stored == padding] = -1024
    np.testing.assert_array_equal(hu, expected)


def test_bits_above_the_stored_ones_do_not_count_in_a_file(tmp_path: Path) -> None:
    def overlay(image: Dataset, index: int) -> None:
        image.PixelData = (np.frombuffer(image.PixelData, "<u2") | 0x8000).tobytes()

    volume = read_images(scanned(tmp_path, make_series(TWELVE, overlay), ExplicitVRLittleEndian)).volume
    np.testing.assert_array_equal(volume.hu, chest_hu(TWELVE))


def test_a_frame_of_another_size_than_the_header_says_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    images = make_series(UNSIGNED)
    huge = encode(np.zeros((4000, 4000), np.uint16), JPEGLosslessSV1, 16)
    compress(images[3], JPEGLosslessSV1)
    images[3].PixelData = encapsulate([huge])
    for image in images[:3] + images[4:]:
        compress(image, JPEGLosslessSV1)
    instances = scanned(tmp_path, images, JPEGLosslessSV1)
    with pytest.raises(Refusal, match="PIXELS: The pixels of 1 of 6 images"):
        read_images(instances)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, HTJ2KLossless])
def test_a_broken_jpeg_2000_frame_is_given_to_no_second_library(
    tmp_path: Path, syntax: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GDCM, which pydicom would ask, throws what nobody catches: the process ends."""
    (image,) = make_series(Sample(slices=1))
    compress(image, syntax)
    (header,) = scanned(tmp_path, [image], syntax)
    path = Path(str(header.filename))
    content = path.read_bytes()
    start = content.index(b"\xff\x4f\xff\x51") + 60
    path.write_bytes(content[:start] + bytes(len(content) - start - 12) + content[-12:])
    monkeypatch.setattr(pixels, "pixel_array", lambda *_, **__: pytest.fail("pydicom was asked"))
    monkeypatch.setattr(pixels, "whole_codestream", lambda frame, _: frame)
    with contextlib.suppress(Exception):  # any error will do
        read_slice_hu(header, np.empty((24, 32), np.int16))


END = b"\xff\xd9"
BEHIND = {
    "FF": b"\xff",
    "other bytes": b"\x12\xff\x34\x56",
    "another end": b"\xff\xff\xff\xd9",
    "a marker": b"\xff\xda\x00\x02",
}
CUT_OFF = (JPEGLosslessSV1, JPEGLossless, JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless)


def change_frame(image: Dataset, change: Callable[[bytes], bytes]) -> None:
    frame = get_frame(image.PixelData, 0, number_of_frames=1).rstrip(b"\0")
    image.PixelData = encapsulate([change(frame)])


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("syntax", CUT_OFF)
def test_bytes_behind_the_end_of_a_codestream_count_for_nothing(tmp_path: Path, syntax: str, behind: str) -> None:
    """Two CT sets of a public archive have them; pydicom reads those to the same pixels."""
    images = make_series(TWELVE)
    for image in images:
        compress(image, syntax)
        change_frame(image, lambda frame: frame + BEHIND[behind])
    instances = scanned(tmp_path, images, syntax)
    read = read_images(instances)
    np.testing.assert_array_equal(read.volume.hu, chest_hu(TWELVE))
    if syntax in (JPEGLosslessSV1, JPEGLossless):
        by_pydicom = [dcmread(str(source.filename)).pixel_array - 1024.0 for source in read.sources]
        np.testing.assert_array_equal(read.volume.hu, by_pydicom)


@pytest.mark.parametrize("behind", ["", *BEHIND])
@pytest.mark.parametrize("syntax", CUT_OFF)
def test_a_codestream_that_is_cut_and_goes_on_with_other_bytes_is_refused(
    tmp_path: Path, syntax: str, behind: str
) -> None:
    images = make_series(TWELVE)
    for image in images:
        compress(image, syntax)
    change_frame(images[4], lambda frame: frame[: len(frame) * 3 // 4] + BEHIND.get(behind, b""))
    with pytest.raises(Refusal, match="PIXELS: The pixels of 1 of 6 images cannot be read"):
        read_images(scanned(tmp_path, images, syntax))


@pytest.mark.parametrize("behind", ["", "FF"])
@pytest.mark.parametrize("kept", [0.5, 0.75, 0.999])
@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLossless, JPEGExtended12Bit])
def test_a_jpeg_codestream_that_lacks_pixels_before_its_end_is_refused(
    tmp_path: Path, syntax: str, kept: float, behind: str
) -> None:
    """Its decoders make up the missing pixels and say nothing."""
    images = make_series(TWELVE)
    for image in images:
        compress(image, syntax)
    change_frame(images[4], lambda frame: frame[: int(len(frame) * kept) - 2] + END + BEHIND.get(behind, b""))
    with pytest.raises(Refusal, match=r"end before the image does\. Send the series again, uncompressed"):
        read_images(scanned(tmp_path, images, syntax))


@pytest.mark.parametrize("syntax", CUT_OFF)
def test_a_whole_codestream_without_the_marker_of_its_end_is_read(tmp_path: Path, syntax: str) -> None:
    images = make_series(TWELVE)
    for image in images:
        compress(image, syntax)
        change_frame(image, lambda frame: frame.removesuffix(END))
    np.testing.assert_array_equal(read_images(scanned(tmp_path, images, syntax)).volume.hu, chest_hu(TWELVE))


def test_jpeg_extended_of_twelve_bits_is_read_and_its_loss_noted(tmp_path: Path) -> None:
    images = make_series(TWELVE)
    for image in images:
        compress(image, JPEGExtended12Bit)
    read = read_images(scanned(tmp_path, images, JPEGExtended12Bit))
    assert np.abs(read.volume.hu.astype(int) - chest_hu(TWELVE)).max() <= 3
    (note,) = (note for note in read.notes if note.attribute == "LossyImageCompression")
    assert note.problem == "tells of a lossy compression of 6 of 6 images: their values are not exact"


def test_a_jpeg_2000_codestream_in_the_boxes_of_a_file_is_read(tmp_path: Path) -> None:
    images = make_series(UNSIGNED)
    for image in images:
        stored = np.frombuffer(image.PixelData, "<u2").reshape(64, 48)
        boxed = bytes(imagecodecs.jpeg2k_encode(stored, codecformat="jp2", level=0, reversible=True, bitspersample=16))
        compress(image, JPEG2000Lossless)
        change_frame(image, lambda frame, boxed=boxed: boxed)
    volume = read_images(scanned(tmp_path, images, JPEG2000Lossless)).volume
    np.testing.assert_array_equal(volume.hu, chest_hu(UNSIGNED))


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"BitsStored": 12, "HighBit": 7}, "HighBit is 7 where BitsStored is 12"),
        ({"BitsStored": 20, "HighBit": 19}, "BitsStored is 20, and whole numbers up to 16 are read"),
        ({"BitsAllocated": 8224}, "BitsAllocated is 8224, and 8, 16 or 32 bits are read"),
        ({"SamplesPerPixel": 2}, "SamplesPerPixel is 2 where a CT image has one"),
        ({"BitsStored": 12, "BitsAllocated": 8}, "BitsStored is 12 where BitsAllocated is 8"),
        ({"BitsStored": None}, "BitsAllocated or BitsStored is missing"),
        ({"PixelRepresentation": 7}, "PixelRepresentation doesn't say"),
    ],
)
def test_a_header_that_contradicts_itself_is_named_and_not_blamed_on_the_compression(
    attributes: dict[str, object], reason: str
) -> None:
    with pytest.raises(Refusal, match=f"PIXELS: The pixels of 6 of 6 images cannot be read: {reason}") as caught:
        read_images(make_series(UNSIGNED, on(EVERY, **attributes)))
    assert caught.value.reason.endswith("to send the images uncompressed, or once more, doesn't help.")


@pytest.mark.parametrize(("stored", "high"), [(12, 15), (12, 13), (16, 11)])
def test_a_high_bit_that_changes_no_value_is_noted(stored: int, high: int) -> None:
    read = read_images(make_series(TWELVE, on(EVERY, BitsStored=stored, HighBit=high)))
    np.testing.assert_array_equal(read.volume.hu, chest_hu(TWELVE))
    (note,) = (note for note in read.notes if note.attribute == "HighBit")
    assert note.problem == "is not BitsStored minus one in 6 of 6 images: their values are the same either way"


def test_damaged_frames_never_end_the_process(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for syntax in (JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless):
        (image,) = make_series(Sample(slices=1, rows=64, columns=48))
        compress(image, syntax)
        (header,) = scanned(tmp_path / syntax, [image], syntax)
        assert isinstance(header, Header)
        assert header.pixels is not None
        path = Path(header.filename)
        content = path.read_bytes()
        for _ in range(150):
            spoilt = bytearray(content)
            for place in random.integers(header.pixels[0] + 16, len(content) - 8, 3):
                spoilt[place] = random.integers(256)
            path.write_bytes(spoilt)
            hu = np.empty((64, 48), np.int16)
            with contextlib.suppress(Exception):  # any error will do, as long as it is one
                read_slice_hu(header, hu)


def test_a_file_that_became_shorter_is_refused(tmp_path: Path) -> None:
    instances = scanned(tmp_path, make_series(UNSIGNED), ExplicitVRLittleEndian)
    path = Path(str(instances[5].filename))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(Refusal, match="PIXELS: The pixels of 1 of 6 images"):
        read_images(instances)


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless])
@pytest.mark.parametrize("spoil", ["cut", "claims"])
def test_a_codestream_that_is_cut_or_claims_another_size_is_never_decoded(
    tmp_path: Path, syntax: str, spoil: str
) -> None:
    images = make_series(UNSIGNED)
    for image in images:
        compress(image, syntax)
    frame = get_frame(images[3].PixelData, 0, number_of_frames=1)
    if spoil == "cut":
        frame = frame[: len(frame) // 2]
    elif syntax in (JPEGLosslessSV1, JPEGLSLossless):
        at = frame.index(b"\xff\xf7" if syntax == JPEGLSLossless else b"\xff\xc3") + 5
        frame = frame[:at] + b"\xff\xff\xff\xff" + frame[at + 4 :]
    else:
        frame = frame[:8] + (60_000).to_bytes(4, "big") * 2 + frame[16:]
    images[3].PixelData = encapsulate([frame])
    with pytest.raises(Refusal, match="PIXELS: The pixels of 1 of 6 images"):
        read_images(scanned(tmp_path, images, syntax))


@pytest.mark.parametrize("representation", [None, 7])
def test_pixels_of_which_nobody_knows_whether_they_are_signed_are_refused(representation: int | None) -> None:
    def change(image: Dataset, index: int) -> None:
        image.PixelRepresentation = representation

    with pytest.raises(Refusal, match="PIXELS"):
        read_images(make_series(UNSIGNED, change))
