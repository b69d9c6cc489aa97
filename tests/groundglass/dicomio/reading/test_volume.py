"""A series becomes a volume with the right values at the right places."""

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
from tests.groundglass.dicomio.ct_samples import (
    EVERY,
    PRONE,
    Sample,
    chest_hu,
    make_series,
    on,
    write_series,
    write_without_preamble,
)


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
