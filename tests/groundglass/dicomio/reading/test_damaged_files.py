"""A file that is cut or damaged is left out and counted, and never ends the scan."""

import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from groundglass.dicomio.reading.scan import find_studies, scan_folder
from tests.groundglass.dicomio.ct_samples import Sample, make_series, set_pixels, write, write_series
from tests.groundglass.dicomio.scans import FEW, reasons


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, RLELossless])
@pytest.mark.parametrize("size", [(24, 32), (128, 128)])
def test_a_file_cut_in_its_pixels_is_left_out_and_counted(tmp_path: Path, syntax: str, size: tuple[int, int]) -> None:
    sample = Sample(slices=4, rows=size[0], columns=size[1])
    images = make_series(sample)
    noise = np.random.default_rng(1)
    for image in images:
        set_pixels(image, noise.integers(0, 2000, size))
    paths = write_series(tmp_path, images, syntax)
    whole = paths[2].read_bytes()
    for kept in (len(whole) - 5, len(whole) - 9, len(whole) - 600):
        paths[2].write_bytes(whole[:kept])
        scan = scan_folder(tmp_path)
        assert [(len(s.instances), s.damaged) for s in scan.series] == [(3, 1)], kept
        assert "the file is cut" in reasons(scan)[paths[2].name]


def test_a_file_cut_before_its_pixels_is_counted(tmp_path: Path) -> None:
    paths = write_series(tmp_path, make_series(FEW))
    whole = paths[0].read_bytes()
    paths[0].write_bytes(whole[: whole.index(b"\xe0\x7f\x10\x00OW")])
    assert [(len(s.instances), s.damaged) for s in scan_folder(tmp_path).series] == [(3, 1)]


def test_pixel_data_shorter_than_the_rows_and_columns_count_as_cut(tmp_path: Path) -> None:
    images = make_series(FEW)
    images[1].PixelData = images[1].PixelData[:-64]
    write_series(tmp_path, images)
    assert [(len(s.instances), s.damaged) for s in scan_folder(tmp_path).series] == [(3, 1)]


def test_a_series_of_which_every_file_is_cut_is_not_forgotten(tmp_path: Path) -> None:
    for path in write_series(tmp_path, make_series(FEW)):
        path.write_bytes(path.read_bytes()[:-10])
    assert [(len(s.instances), s.damaged) for s in scan_folder(tmp_path).series] == [(0, 4)]


def test_a_ct_with_floating_point_pixels_is_not_called_cut(tmp_path: Path) -> None:
    image = make_series(FEW)[0]
    del image.PixelData
    image.FloatPixelData = bytes(4 * FEW.rows * FEW.columns)
    write(image, tmp_path / "image")
    (series,) = scan_folder(tmp_path).series
    assert (len(series.instances), series.damaged) == (1, 0)


def test_a_file_without_a_class_that_is_cut_in_a_sequence_is_ignored(tmp_path: Path) -> None:
    (image,) = make_series(Sample(slices=1))
    item = Dataset()
    item.RequestedProcedureDescription = "chest"
    item.is_undefined_length_sequence_item = True
    image.RequestAttributesSequence = [item]
    image["RequestAttributesSequence"].is_undefined_length = True
    del image.SOPClassUID
    path = write(image, tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes().partition(b"chest")[0])
    assert "cannot be read" in reasons(scan_folder(tmp_path))["a.dcm"]
    assert find_studies(tmp_path).studies == {}


def test_damaged_bytes_anywhere_never_raise_and_no_file_is_lost(tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    images = make_series(Sample(slices=2))
    plain = write(images[0], tmp_path / "plain").read_bytes()
    packed = write(images[1], tmp_path / "packed", RLELossless).read_bytes()
    for number in range(300):
        content = bytearray(packed if number % 2 else plain)
        for _ in range(random.integers(1, 20)):
            content[random.integers(len(content) // 2)] = random.integers(256)
        (tmp_path / f"{number:03d}").write_bytes(content[: random.integers(100, len(content))])
    scan = scan_folder(tmp_path)
    assert len(scan.ignored) + sum(len(series.instances) for series in scan.series) == 302


def test_a_small_file_that_inflates_to_gigabytes_is_ignored_without_inflating_it(tmp_path: Path) -> None:
    path = write(make_series(FEW)[0], tmp_path / "bomb", DeflatedExplicitVRLittleEndian)
    content = path.read_bytes()
    meta = content[: 144 + int.from_bytes(content[140:144], "little")]
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = b"".join(deflater.compress(bytes(1 << 20)) for _ in range(300)) + deflater.flush()
    path.write_bytes(meta + body)
    tracemalloc.start()
    scan = scan_folder(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert scan.series == ()
    assert "inflates to more than 64 MiB" in reasons(scan)["bomb"]
    assert peak < 20e6
