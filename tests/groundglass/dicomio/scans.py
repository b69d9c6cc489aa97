"""What the tests of the scan share: a short series, a file set of it, and why files were ignored."""

from collections.abc import Sequence
from pathlib import Path

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
