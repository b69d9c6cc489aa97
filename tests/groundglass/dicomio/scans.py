"""What the tests of the scan share: a short series, a file set of it, and why files were ignored."""

from collections.abc import Callable, Sequence
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet

from groundglass.dicomio.reading.scan import Scan
from tests.groundglass.dicomio.ct_samples import Sample

FEW = Sample(slices=4)


def reasons(scan: Scan) -> dict[str, str]:
    return {item.file: item.reason for item in scan.ignored}


def write_file_set(folder: Path, images: Sequence[Dataset]) -> None:
    """The images as on a disc, with the DICOMDIR that lists them."""
    file_set = FileSet()
    for image in images:
        image.StudyDate, image.StudyTime, image.StudyID, image.SeriesNumber = "20200101", "120000", "1", 1
        file_set.add(image)
    file_set.write(folder)


FIRST = "OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity"
NEXT, LOWER = "OffsetOfTheNextDirectoryRecord", "OffsetOfReferencedLowerLevelDirectoryEntity"
LEVELS = ("PATIENT", "STUDY", "SERIES", "IMAGE")


def sort_by_level(directory: Path, moved: Callable[[int], int] = lambda offset: offset) -> None:
    """Put all records of one level side by side, as some writers do; `moved` spoils the offsets, which else are right.

    Args:
        directory: a DICOMDIR.
        moved: what becomes of an offset.
    """
    dataset = dcmread(directory)
    by_offset = {record.seq_item_tell: record for record in dataset.DirectoryRecordSequence}
    links = [
        (record, by_offset.get(record[NEXT].value), by_offset.get(record[LOWER].value)) for record in by_offset.values()
    ]
    ordered = sorted(by_offset.values(), key=lambda record: LEVELS.index(record.DirectoryRecordType))
    dataset.DirectoryRecordSequence = ordered
    dataset.save_as(directory)
    again = dcmread(directory).DirectoryRecordSequence
    place = {id(record): moved(item.seq_item_tell) for record, item in zip(ordered, again, strict=True)}
    for record, following, lower in links:
        setattr(record, NEXT, 0 if following is None else place[id(following)])
        setattr(record, LOWER, 0 if lower is None else place[id(lower)])
    setattr(dataset, FIRST, place[id(ordered[0])])
    dataset.save_as(directory)
