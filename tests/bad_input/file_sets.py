"""File-set directories (DICOMDIR): of whole discs, of discs without images, and of none."""

from dataclasses import replace
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.fileset import FileSet
from pydicom.uid import UID, ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from tests.bad_input.case import BadInput, Make, beside, every, reads, refused, rejected, series
from tests.bad_input.series import CHEST
from tests.groundglass.dicomio.scans import sort_by_level


def file_set(with_images: bool) -> Make:
    """A disc with its DICOMDIR, with or without the images it names."""

    def make(folder: Path) -> None:
        images = CHEST.images(every(StudyID="1", SeriesNumber=1))
        catalogue = FileSet()
        for image in images:
            image.preamble = b"\0" * 128
            catalogue.add(image)
        catalogue.write(folder)
        if not with_images:
            for path in sorted(folder.rglob("*")):
                if path.is_file() and path.name != "DICOMDIR":
                    path.unlink()

    return make


def disc_by_level(folder: Path) -> None:
    """A whole disc with two series, whose DICOMDIR has the records of each level side by side."""
    catalogue = FileSet()
    others = every(StudyID="1", SeriesNumber=2, Modality="MR")
    for image in CHEST.images(every(StudyID="1", SeriesNumber=1)) + replace(CHEST, series="1.2.3.66").images(others):
        image.preamble = b"\0" * 128
        catalogue.add(image)
    catalogue.write(folder)
    sort_by_level(folder / "DICOMDIR")


def renamed(folder: Path) -> None:
    """A disc whose images got other UIDs, but its directory didn't."""
    file_set(True)(folder)
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "DICOMDIR":
            image = dcmread(path)
            image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = UID(f"{image.SOPInstanceUID}.7")
            image.save_as(path)


def traversing_directory(folder: Path) -> None:
    """A DICOMDIR, made by hand, whose file-set ID and records lead out of the folder."""
    record = Dataset()
    record.OffsetOfTheNextDirectoryRecord, record.RecordInUseFlag = 0, 0xFFFF
    record.OffsetOfReferencedLowerLevelDirectoryEntity, record.DirectoryRecordType = 0, "IMAGE"
    record.ReferencedFileID = ["..", "..", "ETC", "PASSWD"]
    directory = Dataset()
    directory.FileSetID = "../../ETC"
    directory.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = 0
    directory.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity = 0
    directory.FileSetConsistencyFlag = 0
    directory.DirectoryRecordSequence = [record]
    directory.file_meta = FileMetaDataset()
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.save_as(folder / "DICOMDIR", enforce_file_format=True)


# fmt: off
CASES = tuple(
    BadInput("file", name, make, expected)
    for name, make, expected in (
        ("a disc with its DICOMDIR", file_set(True), reads(said="file-set directory")),
        ("a disc whose DICOMDIR is sorted by level", disc_by_level, reads(said="file-set directory")),
        ("a DICOMDIR whose images were made anew under other UIDs", renamed, refused(
            "MISSING_FILES", "lists 24 images of the series that are not in the folder, which holds 24 of its images")),
        ("a DICOMDIR without its images", file_set(False), rejected("file-set directory")),
        ("a DICOMDIR that leads out of the folder", beside(series(), traversing_directory),
         reads(said="file-set directory")),
    )
)
# fmt: on

__all__ = ["CASES"]
