"""A series becomes a volume with the right values at the right places, or is refused with the reason."""

import time
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels import apply_rescale
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from groundglass.dicomio.reading.checked_series import check_series
from groundglass.dicomio.reading.measures import order_by_position
from groundglass.dicomio.reading.scan import scan_folder
from groundglass.dicomio.reading.volume import read_images
from groundglass.domain.errors import Refusal
from tests.groundglass.dicomio.ct_samples import (
    PATIENT_NAME,
    PRONE,
    SERIES,
    STUDY,
    Edit,
    Sample,
    chest_hu,
    make_series,
    set_pixels,
    write_series,
    write_without_preamble,
)


def refusal(images: list[Dataset]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read_images(images)
    reason = caught.value.reason
    assert reason.endswith(".")
    assert not any(secret in reason for secret in (PATIENT_NAME, "SECRET", SERIES, STUDY))
    return caught.value


def on(indices: set[int], **attributes: object) -> Edit:
    """Set attributes of some slices; None deletes one."""

    def edit(image: Dataset, index: int) -> None:
        for keyword, content in attributes.items():
            if index in indices and content is None:
                delattr(image, keyword)
            elif index in indices:
                setattr(image, keyword, content)

    return edit


EVERY = set(range(30))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, RLELossless, DeflatedExplicitVRLittleEndian])
def test_shuffled_files_become_a_volume_from_head_to_feet(tmp_path: Path, syntax: str) -> None:
    sample = Sample(rows=48, columns=40)
    write_series(tmp_path, make_series(sample), syntax)
    instances = scan_folder(tmp_path).series[0].instances
    read = read_images(instances, threads=3)
    volume, headers = read.volume, read.sources
    assert volume.hu.dtype == np.int16
    np.testing.assert_array_equal(volume.hu, chest_hu(sample))
    assert [header.InstanceNumber for header in headers] == list(range(1, 31))
    assert headers == order_by_position(instances)
    assert volume.spacing_mm == (5.0, 9.0, 7.0)
    np.testing.assert_array_equal(volume.origin_mm, (-100, -90, 50))
    np.testing.assert_array_equal(volume.directions, [(0, 0, -1), (0, 1, 0), (1, 0, 0)])


def test_reading_the_volume_keeps_no_pixels_in_the_headers(tmp_path: Path) -> None:
    write_series(tmp_path, make_series(Sample(rows=64, columns=64)))
    headers = read_images(scan_folder(tmp_path).series[0].instances).sources
    assert all(header.get_item("PixelData", keep_deferred=True).value is None for header in headers)


def test_files_without_preamble_are_decoded(tmp_path: Path) -> None:
    for index, image in enumerate(make_series()):
        write_without_preamble(image, tmp_path / f"{index}")
    volume = read_images(scan_folder(tmp_path).series[0].instances).volume
    np.testing.assert_array_equal(volume.hu, chest_hu(Sample()))


def test_big_endian_files_are_decoded(tmp_path: Path) -> None:
    images = make_series()
    for image in images:
        image.PixelData = np.frombuffer(image.PixelData, "<u2").astype(">u2").tobytes()
    write_series(tmp_path, images, ExplicitVRBigEndian)
    volume = read_images(scan_folder(tmp_path).series[0].instances).volume
    np.testing.assert_array_equal(volume.hu, chest_hu(Sample()))


def test_calls_back_after_every_slice() -> None:
    calls: list[None] = []
    read_images(make_series(), on_slice=lambda: calls.append(None))
    assert len(calls) == 30


@pytest.mark.parametrize(
    ("orientation", "directions"),
    [
        (PRONE, [(0, 0, -1), (0, -1, 0), (-1, 0, 0)]),
        ((-1, 0, 0, 0, 1, 0), [(0, 0, -1), (0, 1, 0), (-1, 0, 0)]),  # feet first, supine, not turned by the scanner
        ((0.98, 0, 0.199, 0, 1, 0), [(0.199, 0, -0.98), (0, 1, 0), (0.98, 0, 0.199)]),
    ],
)
def test_directions_and_affine_follow_the_orientation(orientation: tuple[float, ...], directions: list) -> None:
    normal = np.array(directions[0], float)

    def place(image: Dataset, index: int) -> None:
        image.ImagePositionPatient = [round(float(c), 6) for c in np.array([10, 20, 30]) + 5.0 * index * normal]

    read = read_images(make_series(Sample(orientation=orientation), place)[::-1])
    volume, headers = read.volume, read.sources
    np.testing.assert_allclose(volume.directions, directions, atol=1e-3)
    np.testing.assert_allclose(volume.directions @ volume.directions.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(volume.spacing_mm, (5, 9, 7), atol=1e-3)
    for index in (0, 29):
        # PS3.3 equation C.7.6.2.1-1, written out for one pixel
        image = headers[index]
        position = np.array(image.ImagePositionPatient, float)
        along_row, along_column = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
        expected = position + along_row * image.PixelSpacing[1] * 4 + along_column * image.PixelSpacing[0] * 3
        np.testing.assert_allclose((volume.affine @ [index, 3, 4, 1])[:3], expected, atol=0.05)


def test_spacing_comes_from_the_positions_not_from_the_thickness() -> None:
    volume = read_images(make_series(edit=on(EVERY, SliceThickness=2.5))).volume
    assert volume.spacing_mm[0] == 5.0


def test_positions_rounded_in_the_header_give_the_true_spacing() -> None:
    sample = Sample(slices=200, spacing_mm=(0.625, 7, 7))

    def round_position(image: Dataset, index: int) -> None:
        image.ImagePositionPatient = [0, 0, round(-0.625 * index, 1)]

    volume = read_images(make_series(sample, round_position)).volume
    assert volume.spacing_mm[0] == pytest.approx(0.625, abs=0.001)


@pytest.mark.parametrize(
    "sample",
    [
        Sample(is_signed=True, intercept=0),
        Sample(bits_stored=12),
        Sample(bits_stored=12, is_signed=True, intercept=0),
        Sample(slope=2, intercept=-1024),
        Sample(slope=0.5, intercept=-1000),
        Sample(slope=0.3, intercept=-1000),
    ],
)
def test_stored_values_become_hounsfield_units(sample: Sample) -> None:
    images = make_series(sample)
    read = read_images(images)
    volume, headers = read.volume, read.sources
    np.testing.assert_array_equal(volume.hu, chest_hu(sample))
    for slice_hu, header in zip(volume.hu, headers, strict=True):
        np.testing.assert_array_equal(slice_hu, np.rint(apply_rescale(header.pixel_array, header)))


def test_overlay_bits_above_the_stored_ones_are_not_pixel_values() -> None:
    sample = Sample(bits_stored=12)

    def draw_overlay(image: Dataset, index: int) -> None:
        image.PixelData = (np.frombuffer(image.PixelData, "<u2") | 0x8000).tobytes()

    volume = read_images(make_series(sample, draw_overlay)).volume
    np.testing.assert_array_equal(volume.hu, chest_hu(sample))


def test_every_slice_has_its_own_rescale() -> None:
    hu = chest_hu(Sample())

    def rescale(image: Dataset, index: int) -> None:
        image.RescaleSlope, image.RescaleIntercept = 2 if index % 2 else 1, -2000 - 2 * index
        set_pixels(image, (hu[index].astype(int) + 2000 + 2 * index) // int(image.RescaleSlope))

    volume = read_images(make_series(edit=rescale)).volume
    np.testing.assert_array_equal(volume.hu, hu)


def test_values_beyond_int16_are_clipped() -> None:
    def metal(image: Dataset, index: int) -> None:
        stored = np.frombuffer(image.PixelData, "<u2").astype(int).reshape(24, 32)
        stored[5, 5] = 65535
        set_pixels(image, stored)

    volume = read_images(make_series(edit=metal)).volume
    assert (volume.hu[:, 5, 5] == 32767).all()


@pytest.mark.parametrize("is_signed", [True, False])
@pytest.mark.parametrize("representation", ["as stored", "other sign"])
def test_padding_becomes_air(is_signed: bool, representation: str) -> None:
    sample = Sample(is_signed=is_signed, intercept=0 if is_signed else -1024)
    padding = -2000 if is_signed else 63536
    declared = padding if representation == "as stored" else padding + (65536 if is_signed else -65536)

    def pad(image: Dataset, index: int) -> None:
        stored = (chest_hu(sample)[index] - sample.intercept).astype(int)
        stored[-1] = padding
        set_pixels(image, stored)
        image.add_new("PixelPaddingValue", "SS" if declared < 0 else "US", declared)

    volume = read_images(make_series(sample, pad)).volume
    assert (volume.hu[:, -1] == -1024).all()
    np.testing.assert_array_equal(volume.hu[:, :-1], chest_hu(sample)[:, :-1])


@pytest.mark.parametrize("slope", [1, 0.5])
def test_padding_that_no_attribute_declares_becomes_air_too(slope: float) -> None:
    sample = Sample(is_signed=True, intercept=0, slope=slope)

    def pad(image: Dataset, index: int) -> None:
        stored = (chest_hu(sample)[index] / slope).astype(int)
        stored[-1] = -2048 / slope
        set_pixels(image, stored)

    volume = read_images(make_series(sample, pad)).volume
    assert (volume.hu[:, -1] == -1024).all()
    np.testing.assert_array_equal(volume.hu[:, :-1], chest_hu(sample)[:, :-1])


def test_a_range_of_padding_becomes_air() -> None:
    def pad(image: Dataset, index: int) -> None:
        stored = (chest_hu(Sample())[index] + 1024).astype(int)
        stored[-1] = np.arange(32) % 6
        set_pixels(image, stored)
        image.add_new("PixelPaddingValue", "US", 0)
        image.add_new("PixelPaddingRangeLimit", "US", 5)

    volume = read_images(make_series(edit=pad)).volume
    assert (volume.hu[:, -1] == -1024).all()


def test_a_missing_slice_is_refused_with_the_numbers() -> None:
    error = refusal(make_series(skip=[12]))
    assert error.code == "GAP"
    assert "5.00 mm apart" in error.reason
    assert "10.00 mm at 1 of 28 places" in error.reason


def test_a_missing_slice_is_seen_among_very_thin_ones() -> None:
    assert refusal(make_series(Sample(slices=60, spacing_mm=(0.15, 7, 7)), skip=[30])).code == "GAP"


def test_instance_numbers_do_not_hide_a_gap_nor_make_one() -> None:
    def renumber(image: Dataset, index: int) -> None:
        image.InstanceNumber = 7

    assert read_images(make_series(edit=renumber)).volume.hu.shape[0] == 30
    assert refusal(make_series(edit=renumber, skip=[3])).code == "GAP"


def test_two_acquisitions_at_the_same_positions_are_refused_with_the_count() -> None:
    again = make_series(Sample(slices=10))
    for image in again:
        image.SOPInstanceUID += ".2"
        set_pixels(image, np.full((24, 32), 7))
    error = refusal(make_series() + again)
    assert error.code == "DUPLICATE_POSITION"
    assert "10 of 40 images" in error.reason


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (on({4}, ImageOrientationPatient=[0, 1, 0, 0, 0, -1]), "ORIENTATION"),
        (on(EVERY, ImageOrientationPatient=[1, 0, 0, 0.5, 0.866, 0]), "ORIENTATION"),
        (on(EVERY, ImageOrientationPatient=[2, 0, 0, 0, 1, 0]), "ORIENTATION"),
        (on(EVERY, ImageOrientationPatient=[0, 0, 0, 0, 0, 0]), "ORIENTATION"),
        (on({4}, ImageOrientationPatient=None), "MISSING_GEOMETRY"),
        (on({4, 5}, ImagePositionPatient=None), "MISSING_GEOMETRY"),
        (on({4}, ImagePositionPatient=[1, 2]), "MISSING_GEOMETRY"),
        (on({4}, ImagePositionPatient=[0, 0, 1e300]), "MISSING_GEOMETRY"),
        (on({4}, PixelSpacing=None), "MISSING_GEOMETRY"),
        (on(EVERY, PixelSpacing=[0, 1]), "MISSING_GEOMETRY"),
        (on({4}, PixelSpacing=[9, 7.5]), "PIXEL_SPACING"),
        (on({4}, Rows=23), "MATRIX"),
        (on({4}, Rows=None), "MISSING_GEOMETRY"),
        (on(EVERY, Rows=60000, Columns=60000), "TOO_LARGE"),
        (on(EVERY, Rows=0), "TOO_LARGE"),
        (on(EVERY, PixelSpacing=[70, 70]), "TOO_LARGE"),
        (on({4}, FrameOfReferenceUID="1.2.3"), "FRAME_OF_REFERENCE"),
        (on({4}, PatientID="ANOTHER"), "MIXED_PATIENTS"),
        (on({4, 5}, SOPInstanceUID="1.2.3"), "SHARED_SOP_INSTANCE_UID"),
        (on({4}, RescaleIntercept=None), "NO_RESCALE"),
        (on(EVERY, RescaleSlope=None), "NO_RESCALE"),
        (on(EVERY, RescaleSlope=0), "NO_RESCALE"),
        (on(EVERY, RescaleType="MGML"), "NO_RESCALE"),
        (on({4}, PhotometricInterpretation="MONOCHROME1"), "PHOTOMETRIC"),
        (on(EVERY, PhotometricInterpretation="RGB"), "PHOTOMETRIC"),
        (on({4}, BitsStored=17), "PIXELS"),
        (on({4}, HighBit=15, BitsStored=12), "PIXELS"),
        (on({4}, PixelData=bytes(100)), "PIXELS"),
        (on({4}, PixelData=None), "PIXELS"),
        (on({4}, NumberOfFrames=2, PixelData=bytes(24 * 32 * 4)), "PIXELS"),
        (on(EVERY, RescaleIntercept=0), "NOT_HU"),
        (on(EVERY, PixelData=bytes(24 * 32 * 2)), "NOT_HU"),
    ],
)
def test_what_cannot_be_trusted_is_refused(edit: Edit, code: str) -> None:
    assert refusal(make_series(edit=edit)).code == code


def test_images_that_share_one_uid_are_refused_with_the_count() -> None:
    error = refusal(make_series(edit=on(EVERY, SOPInstanceUID="1.2.3")))
    assert error.code == "SHARED_SOP_INSTANCE_UID"
    assert "29 of 30 images" in error.reason


def test_a_gantry_tilted_further_than_any_is_refused() -> None:
    def shift(image: Dataset, index: int) -> None:
        image.ImagePositionPatient = [0, 3.5 * index, -5.0 * index]

    error = refusal(make_series(edit=shift))
    assert error.code == "TILT"
    assert "101.5 mm" in error.reason


@pytest.mark.parametrize("count", [0, 1])
def test_one_image_is_no_volume(count: int) -> None:
    assert refusal(make_series()[:count]).code == "TOO_FEW_SLICES"


def test_the_count_and_the_syntax_of_undecodable_images_are_reported(tmp_path: Path) -> None:
    def spoil(image: Dataset, index: int) -> None:
        if index in (3, 8):
            image.compress("1.2.840.10008.1.2.5", generate_instance_uid=False)
            image.PixelData = image.PixelData[:20] + b"\xff" * (len(image.PixelData) - 20)

    error = refusal(make_series(edit=spoil))
    assert error.code == "PIXELS"
    assert "2 of 30 images" in error.reason
    assert "RLE Lossless" in error.reason


def with_garbage(folder: Path, keyword: str, values: int) -> tuple[Dataset, ...]:
    """A scanned series in which slice 4 has letters where the numbers of one attribute should be."""
    marker = "7777777"
    for path in write_series(folder, make_series(edit=on({4}, **{keyword: [marker] * values}))):
        path.write_bytes(path.read_bytes().replace(marker.encode(), b"abc    "))
    return scan_folder(folder).series[0].instances


@pytest.mark.parametrize(
    ("keyword", "values", "code"),
    [
        ("ImagePositionPatient", 3, "MISSING_GEOMETRY"),
        ("ImageOrientationPatient", 6, "MISSING_GEOMETRY"),
        ("PixelSpacing", 2, "MISSING_GEOMETRY"),
        ("RescaleSlope", 1, "NO_RESCALE"),
        ("RescaleIntercept", 1, "NO_RESCALE"),
    ],
)
def test_letters_in_a_number_that_matters_are_refused(tmp_path: Path, keyword: str, values: int, code: str) -> None:
    error = refusal(list(with_garbage(tmp_path, keyword, values)))
    assert error.code == code
    assert "1 of 30 images" in error.reason


@pytest.mark.parametrize("keyword", ["SliceThickness", "InstanceNumber", "WindowCenter"])
def test_letters_in_a_number_that_does_not_matter_are_ignored(tmp_path: Path, keyword: str) -> None:
    volume = read_images(with_garbage(tmp_path, keyword, 1)).volume
    np.testing.assert_array_equal(volume.hu, chest_hu(Sample()))


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "shape", "spacing_mm"), [("P001", (148, 512, 512), 2.0), ("lung_dx_A0001", (64, 512, 512), 5.0)]
)
def test_real_series_have_the_values_of_pydicom(
    data_folder: Path, name: str, shape: tuple[int, int, int], spacing_mm: float
) -> None:
    folder = data_folder / "dicom" / name
    if not folder.is_dir():
        pytest.skip(f"no {name} in the data folder")
    series = scan_folder(folder).series
    assert len(series) == 1
    _ = check_series(series[0]).grid
    started = time.process_time()
    read = read_images(series[0].instances, threads=1)
    volume, headers = read.volume, read.sources
    assert time.process_time() - started < 6
    assert volume.hu.shape == shape
    assert volume.spacing_mm[0] == pytest.approx(spacing_mm)
    for index in range(0, shape[0], 7):
        image = dcmread(str(headers[index].filename))
        np.testing.assert_array_equal(volume.hu[index], apply_rescale(image.pixel_array, image))
