"""Which images a file-set directory (DICOMDIR) lists, by study and series (PS3.3 F.2.2 and F.5).

Its records make a tree. Which record lies under which is told by the offsets of records in the file, and by nothing
else: most writers put the records in the order of the tree, some sort them by level, and all are right.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from groundglass.dicomio.reading.attributes import items, number, text

_FIRST = "OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity"
_NEXT = "OffsetOfTheNextDirectoryRecord"
_LOWER = "OffsetOfReferencedLowerLevelDirectoryEntity"


@dataclass(frozen=True)
class ListedImage:
    """An image that a directory lists.

    Attributes:
        study, series: Study and Series Instance UID of the records above it.
        uid: SOP Instance UID; empty where the record doesn't say.
        is_sure: whether offsets tell that the image belongs to the series; else only the order of the records does.
    """

    study: str
    series: str
    uid: str
    is_sure: bool


def listed_images(directory: Dataset) -> Iterator[ListedImage]:
    """The images of a file-set directory that are in use, in the order of its records.

    Records that no offset leads to, and all of them where the offsets are broken, are given to the study and series
    that come before them: so a slice that is missing is never overlooked.
    """
    records = items(directory, "DirectoryRecordSequence")
    places = {getattr(record, "seq_item_tell", None): index for index, record in enumerate(records)}
    parents = _parents(records, places, int(number(directory, _FIRST) or 0))
    study = series = ""
    for index, record in enumerate(records):
        kind, known = text(record, "DirectoryRecordType"), parents.get(index)
        if known is not None:
            study, series = known
        elif kind == "STUDY":
            study, series = text(record, "StudyInstanceUID"), ""
        elif kind == "SERIES":
            series = text(record, "SeriesInstanceUID")
        if kind == "IMAGE" and series and number(record, "RecordInUseFlag") != 0:
            yield ListedImage(study, series, text(record, "ReferencedSOPInstanceUIDInFile"), known is not None)


def _parents(records: Sequence[Dataset], places: dict[int | None, int], first: int) -> dict[int, tuple[str, str]]:
    """Study and series of every record that the offsets lead to, by its index; nothing where they are broken."""
    shifts = [0]
    if places and first not in places and None not in places:
        # A change of the file meta information moves all records, and not every tool corrects the offsets.
        shifts.append(first - min(place for place in places if place is not None))
    for shift in shifts:
        found = _walk(records, places, first, shift)
        if found:
            return found
    return {}


def _walk(
    records: Sequence[Dataset], places: dict[int | None, int], first: int, shift: int
) -> dict[int, tuple[str, str]]:
    found: dict[int, tuple[str, str]] = {}
    waiting = [(first, "", "")] if first else []
    while waiting:
        offset, study, series = waiting.pop()
        index = places.get(offset - shift)
        if index is None or index in found:
            return {}
        record = records[index]
        following, lower = (int(number(record, keyword) or 0) for keyword in (_NEXT, _LOWER))
        if following:
            waiting.append((following, study, series))
        kind = text(record, "DirectoryRecordType")
        if kind == "STUDY":
            study, series = text(record, "StudyInstanceUID"), ""
        elif kind == "SERIES":
            series = text(record, "SeriesInstanceUID")
        found[index] = study, series
        if lower:
            waiting.append((lower, study, series))
    return found
