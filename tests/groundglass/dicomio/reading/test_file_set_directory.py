"""A DICOMDIR is no image: it tells which images a folder should hold."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet
from pydicom.uid import UID

from groundglass.dicomio.reading.checked_series import check_series
from groundglass.dicomio.reading.scan import find_studies, scan_folder
from groundglass.domain.errors import Refusal
from tests.groundglass.dicomio.ct_samples import STUDY, make_series
from tests.groundglass.dicomio.scans import FEW, LOWER, NEXT, reasons, sort_by_level, write_file_set


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
    with pytest.raises(
        Refusal, match="MISSING_FILES: The DICOMDIR lists 1 images of the series that are not in the folder"
    ):
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


ORDERS: dict[str, Callable[[int], int]] = {
    "right offsets": lambda offset: offset,
    "offsets all moved alike": lambda offset: offset + 18,
    "offsets that lead nowhere": lambda offset: 7,
    "no offsets": lambda offset: 0,
}


def write_two_series(folder: Path) -> list[list[Path]]:
    """A disc with two series; the files of each, in the order of the slices."""
    series = [make_series(FEW, edit=lambda image, _, number=number: relabel(image, number)) for number in range(2)]
    write_file_set(folder, [image for images in series for image in images])
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "DICOMDIR"]
    by_uid = {str(dcmread(path).SOPInstanceUID): path for path in files}
    return [[by_uid[str(image.SOPInstanceUID)] for image in images] for images in series]


def relabel(image: Dataset, number: int) -> None:
    image.SeriesInstanceUID = f"1.2.3.{number}"
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = UID(f"{image.SOPInstanceUID}.{number}")


@pytest.mark.parametrize("order", ORDERS)
def test_a_whole_disc_whose_records_are_sorted_by_level_lacks_nothing(order: str, tmp_path: Path) -> None:
    write_two_series(tmp_path)
    sort_by_level(tmp_path / "DICOMDIR", ORDERS[order])
    assert [(len(series.instances), series.absent) for series in scan_folder(tmp_path).series] == [(4, 0), (4, 0)]


@pytest.mark.parametrize("order", ["right offsets", "offsets all moved alike"])
def test_of_records_sorted_by_level_an_absent_image_is_counted_for_its_own_series(order: str, tmp_path: Path) -> None:
    files = write_two_series(tmp_path)
    sort_by_level(tmp_path / "DICOMDIR", ORDERS[order])
    files[0][3].unlink()
    absent = {series.series_instance_uid: series.absent for series in scan_folder(tmp_path).series}
    assert absent == {"1.2.3.0": 1, "1.2.3.1": 0}


@pytest.mark.parametrize("order", ["offsets that lead nowhere", "no offsets"])
def test_an_absent_image_is_counted_though_the_offsets_are_broken(order: str, tmp_path: Path) -> None:
    files = write_two_series(tmp_path)
    sort_by_level(tmp_path / "DICOMDIR", ORDERS[order])
    files[1][3].unlink()
    assert sum(series.absent for series in scan_folder(tmp_path).series) == 1


def test_records_that_no_offset_leads_to_are_counted_too(tmp_path: Path) -> None:
    """A chain that ends too early: pydicom's FileSet forgets the images behind it."""
    files = write_two_series(tmp_path)
    directory = dcmread(tmp_path / "DICOMDIR")
    images = [record for record in directory.DirectoryRecordSequence if record.DirectoryRecordType == "IMAGE"]
    setattr(images[0], NEXT, 0)
    directory.save_as(tmp_path / "DICOMDIR")
    files[0][3].unlink()
    assert [series.absent for series in scan_folder(tmp_path).series] == [1, 0]


def test_offsets_that_lead_in_a_circle_end(tmp_path: Path) -> None:
    write_two_series(tmp_path)
    directory = dcmread(tmp_path / "DICOMDIR")
    first = directory.DirectoryRecordSequence[0]
    setattr(first, LOWER, first.seq_item_tell)
    directory.save_as(tmp_path / "DICOMDIR")
    assert [series.absent for series in scan_folder(tmp_path).series] == [0, 0]


def test_a_record_that_is_not_in_use_lists_nothing(tmp_path: Path) -> None:
    """An image that was deleted from the file set keeps its record (PS3.3 F.3.2.2)."""
    files = write_two_series(tmp_path)
    uid = dcmread(files[1][0]).SOPInstanceUID
    directory = dcmread(tmp_path / "DICOMDIR")
    for record in directory.DirectoryRecordSequence:
        if record.get("ReferencedSOPInstanceUIDInFile") == uid:
            record.RecordInUseFlag = 0
    directory.save_as(tmp_path / "DICOMDIR")
    files[1][0].unlink()
    assert [series.absent for series in scan_folder(tmp_path).series] == [0, 0]
