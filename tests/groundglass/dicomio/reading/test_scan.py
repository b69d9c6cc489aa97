"""What a folder holds is found, whatever else lies in it."""

import logging
import os
import tracemalloc
import warnings
import zlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from groundglass.dicomio.reading.attributes import quiet_pydicom
from groundglass.dicomio.reading.checked_series import check_series
from groundglass.dicomio.reading.scan import Scan, find_studies, scan_folder
from groundglass.dicomio.reading.select import choose_series, judge_series
from groundglass.domain.errors import Refusal
from groundglass.presets import SHIPPED
from tests.groundglass.dicomio.ct_samples import (
    PATIENT_NAME,
    SERIES,
    STUDY,
    Sample,
    chest_hu,
    cut_in_half,
    make_series,
    set_pixels,
    write,
    write_series,
    write_without_preamble,
)

FEW = Sample(slices=4)


def reasons(scan: Scan) -> dict[str, str]:
    return {item.file: item.reason for item in scan.ignored}


def test_finds_every_series_at_any_depth_in_the_order_of_the_paths(tmp_path: Path) -> None:
    write_series(tmp_path / "b" / "deep" / "er", make_series(FEW))
    write_series(tmp_path / "a", make_series(Sample(slices=3, series=f"{SERIES}.9")))
    scan = scan_folder(tmp_path)
    assert [(s.study_instance_uid, s.series_instance_uid, len(s.instances)) for s in scan.series] == [
        (STUDY, f"{SERIES}.9", 3),
        (STUDY, SERIES, 4),
    ]
    files = [Path(str(header.filename)).name for header in scan.series[1].instances]
    assert files == sorted(files)
    assert scan.ignored == ()
    assert scan_folder(tmp_path) == scan


def test_a_series_uid_in_two_studies_makes_two_series(tmp_path: Path) -> None:
    write_series(tmp_path / "a", make_series(FEW))
    write_series(tmp_path / "b", make_series(Sample(slices=4, study=f"{STUDY}.5")))
    assert [len(series.instances) for series in scan_folder(tmp_path).series] == [4, 4]


def test_pixels_stay_in_the_file_until_they_are_asked_for(tmp_path: Path) -> None:
    sample = Sample(slices=1, rows=64, columns=64)
    write_series(tmp_path, make_series(sample))
    header = scan_folder(tmp_path).series[0].instances[0]
    assert header.get_item("PixelData", keep_deferred=True).value is None
    np.testing.assert_array_equal(header.pixel_array.astype(int) - 1024, chest_hu(sample)[0])


def test_calls_back_after_every_file(tmp_path: Path) -> None:
    write_series(tmp_path, make_series(FEW))
    (tmp_path / "notes.txt").write_text("not an image")
    calls: list[None] = []
    scan_folder(tmp_path, on_file=lambda: calls.append(None))
    assert len(calls) == 5


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match="input folder"):
        scan_folder(tmp_path / "nowhere")


def test_other_files_are_listed_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("A report that nobody wants to read as an image. " * 10)
    (tmp_path / "empty").touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "zeros").write_bytes(bytes(5000))
    (tmp_path / "group8.bin").write_bytes(b"\x08\x00" + bytes(range(256)) * 8)
    (tmp_path / "preamble_only").write_bytes(bytes(128) + b"DICM")
    assert reasons(scan_folder(tmp_path)) == {
        "notes.txt": "not a DICOM file",
        "empty": "empty file",
        "sub/zeros": "not a DICOM file",
        "group8.bin": "not a DICOM file",
        "preamble_only": "the DICOM header has no Study and Series, or no SOP Instance UID",
    }


def test_a_file_without_preamble_and_extension_is_read(tmp_path: Path) -> None:
    images = make_series(FEW)
    for index, image in enumerate(images):
        write_without_preamble(image, tmp_path / f"IM{index}")
    scan = scan_folder(tmp_path)
    assert (tmp_path / "IM0").read_bytes()[128:132] != b"DICM"
    assert len(scan.series[0].instances) == 4
    np.testing.assert_array_equal(scan.series[0].instances[1].pixel_array.astype(int) - 1024, chest_hu(FEW)[1])


def write_without(keywords: tuple[str, ...], is_empty: bool, path: Path) -> None:
    write(make_series(FEW)[0], path)
    header = dcmread(path)
    for keyword in keywords:
        if is_empty:
            setattr(header, keyword, "")
        else:
            delattr(header, keyword)
    header.save_as(path)


@pytest.mark.parametrize("keywords", [("SOPInstanceUID",), ("StudyInstanceUID", "SeriesInstanceUID")])
@pytest.mark.parametrize("is_empty", [True, False])
def test_an_image_without_its_own_uid_or_those_of_study_and_series_is_ignored(
    tmp_path: Path, keywords: tuple[str, ...], is_empty: bool
) -> None:
    write_without(keywords, is_empty, tmp_path / "image.dcm")
    reason = "the DICOM header has no Study and Series, or no SOP Instance UID"
    assert reasons(scan_folder(tmp_path)) == {"image.dcm": reason}


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize("is_empty", [True, False])
def test_images_without_the_uid_of_study_or_series_are_a_series_to_be_rejected(
    tmp_path: Path, keyword: str, is_empty: bool
) -> None:
    write_without((keyword,), is_empty, tmp_path / "image.dcm")
    (series,) = scan_folder(tmp_path).series
    assert [series.study_instance_uid, series.series_instance_uid].count("") == 1
    (reason,) = [
        reason
        for reason in judge_series(series, replace(SHIPPED.selection, minimum_slices=1))
        if "Instance UID" in reason
    ]
    assert reason.startswith(f"1 images have no {keyword.removesuffix('InstanceUID')} Instance UID")


def test_a_file_set_directory_is_ignored_and_its_files_are_read(tmp_path: Path) -> None:
    source = write_series(tmp_path / "source", make_series(FEW))
    file_set = FileSet()
    for path in source:
        image = dcmread(path)
        image.StudyDate, image.StudyTime, image.StudyID, image.SeriesNumber = "20200101", "120000", "1", 1
        file_set.add(image)
    file_set.write(tmp_path / "disc")
    scan = scan_folder(tmp_path / "disc")
    assert reasons(scan) == {"DICOMDIR": "file-set directory, its files are read directly"}
    assert [(len(series.instances), series.absent) for series in scan.series] == [(4, 0)]


def test_an_image_that_the_file_set_directory_lists_and_the_folder_lacks_is_counted(tmp_path: Path) -> None:
    source = write_series(tmp_path / "source", make_series(FEW))
    file_set = FileSet()
    for path in source:
        image = dcmread(path)
        image.StudyDate, image.StudyTime, image.StudyID, image.SeriesNumber = "20200101", "120000", "1", 1
        file_set.add(image)
    file_set.write(tmp_path / "disc")
    next(path for path in sorted((tmp_path / "disc").rglob("*")) if path.is_file() and path.name != "DICOMDIR").unlink()
    (series,) = scan_folder(tmp_path / "disc").series
    assert (len(series.instances), series.absent) == (3, 1)
    with pytest.raises(Refusal, match="MISSING_FILES: The DICOMDIR lists 4 images of the series, and 1 of them"):
        _ = check_series(series).grid


def test_each_study_of_an_archive_is_scanned_as_if_it_were_alone(tmp_path: Path) -> None:
    """Studies that share folders, one with a cut file and a copy, and files of no study."""
    archive, alone = tmp_path / "archive", tmp_path / "alone"
    other = make_series(Sample(slices=4, study=f"{STUDY}.5", series=f"{SERIES}.5"))
    paths = write_series(archive / "b", make_series(FEW))
    cut_in_half(paths[1])
    (archive / "b" / "copy.dcm").write_bytes(paths[2].read_bytes())
    for path in (archive / "b").iterdir():
        alone.mkdir(exist_ok=True)
        (alone / path.name).write_bytes(path.read_bytes())
    write_series(archive / "a", other)
    for path in (archive / "a").iterdir():
        path.rename(archive / "b" / f"other-{path.name}")
    (archive / "notes.txt").write_text("not an image")

    found = find_studies(archive)
    assert found.studies.keys() == {STUDY, f"{STUDY}.5"}
    assert [item.file for item in found.ignored] == ["notes.txt"]
    (series,), (expected,) = scan_folder(archive, names=found.studies[STUDY]).series, scan_folder(alone).series
    assert [header.SOPInstanceUID for header in series.instances] == [
        header.SOPInstanceUID for header in expected.instances
    ]
    assert (series.damaged, len(series.instances)) == (expected.damaged, len(expected.instances)) == (1, 3)


def test_a_file_set_directory_belongs_to_the_studies_that_it_lists(tmp_path: Path) -> None:
    file_set = FileSet()
    for path in write_series(tmp_path / "source", make_series(FEW)):
        image = dcmread(path)
        image.StudyDate, image.StudyTime, image.StudyID, image.SeriesNumber = "20200101", "120000", "1", 1
        file_set.add(image)
    file_set.write(tmp_path / "disc")
    files = sorted(path for path in (tmp_path / "disc").rglob("*") if path.is_file() and path.name != "DICOMDIR")
    files[0].unlink()
    found = find_studies(tmp_path / "disc")
    assert (len(found.studies[STUDY]), found.ignored) == (4, ())
    (series,) = scan_folder(tmp_path / "disc", names=found.studies[STUDY]).series
    assert (len(series.instances), series.absent) == (3, 1)
    for path in files[1:]:
        path.unlink()
    assert find_studies(tmp_path / "disc").studies == {}


def test_the_digest_of_a_study_tells_whether_its_images_are_others(tmp_path: Path) -> None:
    def digest() -> str:
        return find_studies(tmp_path / "archive").digests[STUDY]

    paths = write_series(tmp_path / "archive", make_series(FEW))
    first = digest()
    (tmp_path / "archive" / "moved").mkdir()
    paths[0] = paths[0].rename(tmp_path / "archive" / "moved" / "renamed.dcm")
    (tmp_path / "archive" / "copy.dcm").write_bytes(paths[1].read_bytes())
    write_series(tmp_path / "archive" / "b", make_series(Sample(slices=4, study=f"{STUDY}.5", series=f"{SERIES}.5")))
    report = dcmread(paths[1])
    report.Modality, report.SOPInstanceUID = "SR", f"{SERIES}.99"
    report.save_as(tmp_path / "archive" / "report.dcm")
    assert digest() == first

    held = paths[0].read_bytes()
    cut_in_half(paths[0])
    cut = digest()
    paths[0].unlink()
    gone = digest()
    mended = dcmread(BytesIO(held))
    mended.PixelSpacing = [0.5, 0.5]
    mended.save_as(paths[0])
    other = digest()
    paths[0].write_bytes(held)
    assert len({first, cut, gone, other}) == 4
    assert digest() == first


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


def test_a_cut_image_that_was_sent_again_is_not_missing(tmp_path: Path) -> None:
    write_series(tmp_path / "first", make_series(FEW))
    cut_in_half(tmp_path / "first" / "0001.dcm")
    write_series(tmp_path / "second", make_series(FEW))
    assert [(len(s.instances), s.damaged) for s in scan_folder(tmp_path).series] == [(4, 0)]


def test_a_series_of_which_every_file_is_cut_is_not_forgotten(tmp_path: Path) -> None:
    for path in write_series(tmp_path, make_series(FEW)):
        path.write_bytes(path.read_bytes()[:-10])
    assert [(len(s.instances), s.damaged) for s in scan_folder(tmp_path).series] == [(0, 4)]


def test_a_deflated_file_keeps_its_pixels_readable(tmp_path: Path) -> None:
    sample = Sample(slices=1, rows=64, columns=64)
    write_series(tmp_path, make_series(sample), DeflatedExplicitVRLittleEndian)
    header = scan_folder(tmp_path).series[0].instances[0]
    np.testing.assert_array_equal(header.pixel_array.astype(int) - 1024, chest_hu(sample)[0])


def test_copies_of_an_image_are_dropped(tmp_path: Path) -> None:
    write_series(tmp_path / "a", make_series(FEW))
    write_series(tmp_path / "b", make_series(FEW))
    scan = scan_folder(tmp_path)
    assert len(scan.series[0].instances) == 4
    assert set(reasons(scan).values()) == {"copy of another file of the same image"}
    assert all(item.file.startswith("b/") for item in scan.ignored)


def test_a_copy_under_another_patient_is_no_copy(tmp_path: Path) -> None:
    write_series(tmp_path / "a", make_series(FEW))
    write_series(tmp_path / "b", make_series(FEW, lambda image, _: setattr(image, "PatientID", "CORRECTED")))
    (series,) = scan_folder(tmp_path).series
    with pytest.raises(Refusal, match="MIXED_PATIENTS"):
        _ = check_series(series).grid


def test_a_folder_that_can_not_be_listed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path / "a", make_series(FEW))
    write_series(tmp_path / "b", make_series(FEW))
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if str(path).endswith(("/b", "/lost+found")):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    (tmp_path / "a" / "lost+found").mkdir()
    assert len(scan_folder(tmp_path / "a").series[0].instances) == 4
    for find in (scan_folder, find_studies):
        with pytest.raises(PermissionError):
            find(tmp_path)


def test_a_directory_whose_records_are_no_sequence_lists_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "DICOMDIR"
    FileSet().write(tmp_path)
    dataset = dcmread(directory)
    dataset["DirectoryRecordSequence"] = DataElement("DirectoryRecordSequence", "US", 5)
    dataset.save_as(directory)
    assert reasons(scan_folder(tmp_path)) == {"DICOMDIR": "file-set directory, its files are read directly"}


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


def test_different_images_under_one_uid_are_all_kept(tmp_path: Path) -> None:
    write_series(tmp_path / "a", make_series(FEW))
    other = make_series(FEW)
    set_pixels(other[0], np.full((FEW.rows, FEW.columns), 77))
    other[1].ImagePositionPatient = [0, 0, 999]
    write_series(tmp_path / "b", other)
    scan = scan_folder(tmp_path)
    assert len(scan.series[0].instances) == 6
    assert len(scan.ignored) == 2


def test_links_out_of_the_folder_and_to_folders_are_not_followed(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    paths = write_series(inside, make_series(FEW))
    write_series(outside, make_series(Sample(slices=2, series=f"{SERIES}.9")))
    (inside / "to_outside.dcm").symlink_to(outside / "0000.dcm")
    (inside / "to_folder").symlink_to(outside)
    (inside / "to_itself").symlink_to(inside)
    (inside / "loop").symlink_to(inside / "loop")
    (inside / "broken").symlink_to(inside / "nothing")
    (inside / "to_image.dcm").symlink_to(paths[0])
    scan = scan_folder(inside)
    assert [len(series.instances) for series in scan.series] == [4]
    assert set(reasons(scan)) == {"to_outside.dcm", "to_folder", "to_itself", "loop", "broken", "to_image.dcm"}
    assert "not followed" in reasons(scan)["to_outside.dcm"]
    assert "copy" in reasons(scan)["to_image.dcm"]


def test_a_file_name_that_is_not_utf8_can_be_written_to_json(tmp_path: Path) -> None:
    Path(str(tmp_path), b"r\xe9sum\xe9".decode("utf-8", "surrogateescape")).touch()
    assert scan_folder(tmp_path).ignored[0].file.encode("utf-8")


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


def test_header_values_that_pydicom_warns_about_reach_no_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoil(image, index):
        image.add_new("PatientBirthDate", "DA", "1950-secret")
        image.add_new("AccessionNumber", "SH", "secret " * 5)

    with quiet_pydicom():
        paths = write_series(tmp_path, make_series(FEW, spoil), RLELossless)
    paths[0].write_bytes(paths[0].read_bytes()[:-10])
    with warnings.catch_warnings(record=True) as warned, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        scan = scan_folder(tmp_path)
    assert scan.series[0].damaged == 1
    assert warned == []
    captured = capsys.readouterr()
    printed = caplog.text + captured.out + captured.err + str(scan.ignored)
    assert PATIENT_NAME not in printed
    assert "secret" not in printed
    assert SERIES not in printed


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


def test_a_ct_with_floating_point_pixels_is_not_called_cut(tmp_path: Path) -> None:
    image = make_series(FEW)[0]
    del image.PixelData
    image.FloatPixelData = bytes(4 * FEW.rows * FEW.columns)
    write(image, tmp_path / "image")
    (series,) = scan_folder(tmp_path).series
    assert (len(series.instances), series.damaged) == (1, 0)


def test_selecting_and_checking_read_no_header_whole(tmp_path: Path) -> None:
    write_series(tmp_path, make_series())
    (series,) = scan_folder(tmp_path).series
    chosen = choose_series([series], SHIPPED.selection).chosen
    assert chosen is not None
    assert chosen.series is series
    _ = check_series(series).grid
    assert not any("_dict" in header.__dict__ for header in series.instances)
