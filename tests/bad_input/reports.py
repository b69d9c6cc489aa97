"""Trouble that users of other tools have reported, rebuilt: each case bears the tool and the number of the report."""

from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import UID

from tests.bad_input.case import BadInput, every, on, reads, refused, rejected, series, with_files
from tests.bad_input.file_sets import file_set
from tests.bad_input.selection import in_series
from tests.bad_input.series import CHEST, Chest, set_stored, write, write_all

FINER = Chest((30, 24, 32), (2, 4.5, 3.5))
PART = range(5)


def anew(image: Dataset, index: int) -> None:
    """A UID of its own."""
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.66.{index}")


def scout(image: Dataset, index: int) -> None:
    """Of six, half coronal and half sagittal."""
    image.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER", "ES"]
    image.ImageOrientationPatient = [1, 0, 0, 0, 0, -1] if index % 2 else [0, 1, 0, 0, 0, -1]


def with_second(chest: Chest, folder: Path) -> None:
    """The chest, and slices of another grid in the same series."""
    write_all(folder / "first", CHEST.images())
    write_all(folder / "second", chest.images(anew))


def each_twice(folder: Path) -> None:
    """Every image under two UIDs."""
    write_all(folder / "first", CHEST.images())
    write_all(folder / "second", CHEST.images(anew))


def some_twice(folder: Path) -> None:
    """Five positions a second time, with other pixels and no number that tells them apart."""

    def edit(image: Dataset, index: int) -> None:
        anew(image, index)
        set_stored(image, CHEST.hu[index].astype(int) + 1030)

    write_all(folder / "first", CHEST.images())
    write_all(folder / "second", CHEST.images(edit, set(range(24)) - set(PART)))


def frames_without_places(folder: Path) -> None:
    """All slices as frames of one CT image, whose SOP class has no frames."""
    image = CHEST.image(0)
    image.NumberOfFrames, image.PixelData = 24, b"".join(CHEST.image(index).PixelData for index in range(24))
    del image.ImagePositionPatient
    write(image, folder / "image.dcm")


def in_lower_case(folder: Path) -> None:
    """A disc whose names a file system has made small."""
    file_set(True)(folder)
    for path in sorted(folder.rglob("*"), key=lambda path: -len(path.parts)):
        path.rename(path.with_name(path.name.lower()))


# fmt: off
CASES = tuple(
    BadInput("reports", name, make, expected)
    for name, make, expected in (
        ("dcm2niix 731, localizers of two planes in the series", in_series(*[scout] * 6),
         reads(said="6 of 30 objects")),
        ("dcm2niix 786, instance numbers against the slices and with holes", series(
            every(InstanceNumber=lambda index: 158 - index - 40 * (index > 12))), reads(said="leaves out 40 numbers")),
        ("dcm2niix 248, slices missing in the middle", series(
            skip=range(9, 17), chest=Chest((40, 24, 32))), refused("GAP", "54.00 mm")),
        ("OHIF 3360, every image under two UIDs", each_twice, reads(said="24 images left out")),
        ("OHIF 2259, two grids in one series", lambda folder: with_second(FINER, folder),
         refused("PIXEL_SPACING", "30 of 54 images")),
        ("Slicer 7496, a CT image with frames and no position", frames_without_places,
         rejected("each image with several frames counted as one")),
        ("Slicer 3111, a DICOMDIR among the images", file_set(True), reads(said="file-set directory")),
        ("dcm4che 946, a disc in lower case", in_lower_case, reads(said="file-set directory")),
        ("TotalSegmentator 323, two images that are corrupted", with_files(
            lambda files: [files[number].write_bytes(files[number].read_bytes()[:-99]) for number in (7, 15)]),
         refused("DAMAGED_FILES", "2 of the 24 files")),
        ("MONAI Deploy App SDK 532, five positions twice", some_twice,
         refused("DUPLICATE_POSITION", "5 of 29 images lie at the position of another image")),
        ("cornerstone3D 998, one slice far from the others", series(
            on({23}, ImagePositionPatient=[-100, -90, 50 - 6 * 23 - 53])), refused("GAP", "59.00 mm")),
    )
)
# fmt: on

__all__ = ["CASES"]
