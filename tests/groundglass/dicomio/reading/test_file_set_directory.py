"""A DICOMDIR is no image: it tells which images a folder should hold."""

from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.fileset import FileSet

from groundglass.dicomio.reading.checked_series import check_series
from groundglass.dicomio.reading.scan import find_studies, scan_folder
from groundglass.domain.errors import Refusal
from tests.groundglass.dicomio.ct_samples import STUDY, make_series
from tests.groundglass.dicomio.scans import FEW, reasons, write_file_set


def test_a_file_set_directory_is_ignored_and_its_files_are_read(tmp_path: Path) -> None:
    write_file_set(tmp_path / "disc", make_series(FEW))
    scan = scan_folder(tmp_path / "disc")
    assert reasons(scan) == {"DICOMDIR": "file-set directory, its files are read directly"}
    assert [(len(series.instances), series.absent) for series in scan.series] == [(4, 0)]


def test_an_image_that_the_file_set_directory_lists_and_the_folder_lacks_is_counted(tmp_path: Path) -> None:
    write_file_set(tmp_path / "disc", make_series(FEW))
    next(path for path in sorted((tmp_path / "disc").rglob("*")) if path.is_file() and path.name != "DICOMDIR").unlink()
    (series,) = scan_folder(tmp_path / "disc").series
    assert (len(series.instances), series.absent) == (3, 1)
    with pytest.raises(Refusal, match="MISSING_FILES: The DICOMDIR lists 4 images of the series, and 1 of them"):
        _ = check_series(series).grid


def test_a_file_set_directory_belongs_to_the_studies_that_it_lists(tmp_path: Path) -> None:
    write_file_set(tmp_path / "disc", make_series(FEW))
    files = sorted(path for path in (tmp_path / "disc").rglob("*") if path.is_file() and path.name != "DICOMDIR")
    files[0].unlink()
    found = find_studies(tmp_path / "disc")
    assert (len(found.studies[STUDY]), found.ignored) == (4, ())
    (series,) = scan_folder(tmp_path / "disc", names=found.studies[STUDY]).series
    assert (len(series.instances), series.absent) == (3, 1)
    for path in files[1:]:
        path.unlink()
    assert find_studies(tmp_path / "disc").studies == {}


def test_a_directory_whose_records_are_no_sequence_lists_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "DICOMDIR"
    FileSet().write(tmp_path)
    dataset = dcmread(directory)
    dataset["DirectoryRecordSequence"] = DataElement("DirectoryRecordSequence", "US", 5)
    dataset.save_as(directory)
    assert reasons(scan_folder(tmp_path)) == {"DICOMDIR": "file-set directory, its files are read directly"}
