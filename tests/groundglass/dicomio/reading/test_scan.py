"""What a folder holds is found, whatever else lies in it."""

import logging
import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from groundglass.dicomio.reading.attributes import quiet_pydicom
from groundglass.dicomio.reading.checked_series import check_series
from groundglass.dicomio.reading.scan import find_studies, scan_folder
from groundglass.dicomio.reading.select import choose_series, judge_series
from groundglass.presets import SHIPPED
from tests.groundglass.dicomio.ct_samples import (
    PATIENT_NAME,
    SERIES,
    STUDY,
    Sample,
    chest_hu,
    make_series,
    write,
    write_series,
    write_without_preamble,
)
from tests.groundglass.dicomio.scans import FEW, reasons


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
        "preamble_only": "the DICOM header has no readable Study and Series, or no SOP Instance UID",
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
    reason = "the DICOM header has no readable Study and Series, or no SOP Instance UID"
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


def test_a_deflated_file_keeps_its_pixels_readable(tmp_path: Path) -> None:
    sample = Sample(slices=1, rows=64, columns=64)
    write_series(tmp_path, make_series(sample), DeflatedExplicitVRLittleEndian)
    header = scan_folder(tmp_path).series[0].instances[0]
    np.testing.assert_array_equal(header.pixel_array.astype(int) - 1024, chest_hu(sample)[0])


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


def test_selecting_and_checking_read_no_header_whole(tmp_path: Path) -> None:
    write_series(tmp_path, make_series())
    (series,) = scan_folder(tmp_path).series
    chosen = choose_series([series], SHIPPED.selection).chosen
    assert chosen is not None
    assert chosen.series is series
    _ = check_series(series).grid
    assert not any("_dict" in header.__dict__ for header in series.instances)
