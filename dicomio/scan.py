"""Which DICOM series lie in a folder: headers only, whatever else lies there too.

Every file ends up in exactly one place: in a series, or in the list of ignored files with the reason. A file that is
known to belong to a series but is cut is counted by that series too, so that a missing slice never goes unnoticed.
"""

import hashlib
import logging
import math
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

PIXEL_DATA = 0x7FE00010

_DEFERRED = "2 KB"
"""Longer values stay in the file until they are asked for: pixel data and the large private elements."""

_FIRST_GROUPS = (b"\x08\x00", b"\x02\x00", b"\x00\x08")
"""First bytes of a data set without preamble: group 0008 or 0002 in little endian, or 0008 in big endian."""

_STORAGE_CLASSES = "1.2.840.10008.5.1.4."
"""Root of the SOP classes that store composite objects (PS3.4 Annex B)."""

_UNCOMPRESSED = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)

_SAME_IMAGE = (
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns",
    "RescaleSlope", "RescaleIntercept",
)  # fmt: skip
"""What two files must have in common, besides their pixels, to be copies of one image."""


@dataclass(frozen=True)
class Series:
    """The images of one series of one study.

    Attributes:
        study_instance_uid, series_instance_uid: one of them is empty where the images have none.
        instances: headers, in the order of the files' relative paths. Long values, PixelData among them, are read from
            the file when they are first accessed and then stay in memory.
        damaged: number of images of this series that are missing here because their files are cut. Such a series is
            incomplete.
    """

    study_instance_uid: str
    series_instance_uid: str
    instances: tuple[Dataset, ...]
    damaged: int = 0


@dataclass(frozen=True)
class IgnoredFile:
    """A file that no series holds, by its path relative to the scanned folder, and the reason."""

    file: str
    reason: str


@dataclass(frozen=True)
class Scan:
    """What a folder holds: the series in the order of their first files, and the files that were ignored."""

    series: tuple[Series, ...]
    ignored: tuple[IgnoredFile, ...]


def scan_folder(folder: Path, on_file: Callable[[], None] | None = None) -> Scan:
    """Find every DICOM series under `folder`, at any depth, in the order of the relative paths.

    Symbolic links to files are followed as long as they stay inside the folder, links to folders never. Copies of one
    image are dropped; different images under one SOP Instance UID are all kept, for the volume's checks to refuse.

    Args:
        folder: an existing folder.
        on_file: called after each file, to show progress.

    Raises:
        NotADirectoryError: there is no such folder. No file in it, whatever it holds, raises an error.
    """
    if not folder.is_dir():
        raise NotADirectoryError("The input folder does not exist, or is not a folder. Check the path and the mounts.")
    root = folder.resolve()
    images: dict[tuple[str, str], list[Dataset]] = {}
    cut: dict[tuple[str, str], set[str]] = {}
    ignored: list[IgnoredFile] = []
    copies: dict[tuple[str, ...], list[Dataset]] = {}

    with quiet_pydicom():
        for path in _walk(folder):
            try:
                header, is_cut = _read_header(path, root)
                key, instance_uid = _identify(header)
                if is_cut:
                    images.setdefault(key, [])
                    cut.setdefault(key, set()).add(instance_uid)
                    raise _Ignored("the file is cut: it ends before its pixel data does, send the image again")
                alike = copies.setdefault((*key, instance_uid, *(text(header, name) for name in _SAME_IMAGE)), [])
                if any(_same_pixels(header, other) for other in alike):
                    raise _Ignored("copy of another file of the same image")
                alike.append(header)
                images.setdefault(key, []).append(header)
            except _Ignored as ignoring:
                name = os.fsencode(path.relative_to(folder).as_posix()).decode("utf-8", "backslashreplace")
                ignored.append(IgnoredFile(name, str(ignoring)))
            if on_file is not None:
                on_file()

    series = []
    for key, headers in images.items():
        # An image that was cut and then sent again is there.
        missing = cut.get(key, set()) - {text(header, "SOPInstanceUID") for header in headers}
        series.append(Series(*key, tuple(headers), len(missing)))
    return Scan(tuple(series), tuple(ignored))


class _Ignored(Exception):
    """Why a file belongs to no series."""


def _walk(folder: Path) -> list[Path]:
    """Everything under `folder` that is not a folder, links to folders included, in the order of the relative paths."""
    found = []
    for parent, folders, files in os.walk(folder, followlinks=False):
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        found += [Path(parent, name) for name in files + links]
    return sorted(found, key=lambda path: path.relative_to(folder).parts)


def _read_header(path: Path, root: Path) -> tuple[FileDataset, bool]:
    """The header of one file, and whether the file ends before its pixel data does.

    Raises:
        _Ignored: it is not a DICOM file that could belong to a series.
    """
    try:
        if path.is_symlink() and (path.is_dir() or not path.resolve().is_relative_to(root)):
            raise _Ignored("symbolic link to a folder or out of the input folder, not followed")
        if not path.is_file():
            raise _Ignored("not a regular file")
        size = path.stat().st_size
        if size == 0:
            raise _Ignored("empty file")
        with path.open("rb") as file:
            start = file.read(132)
    except (OSError, RuntimeError) as error:  # RuntimeError: a link that leads to itself
        raise _Ignored(f"the file cannot be opened ({type(error).__name__}), check its permissions") from None

    has_preamble = start[128:] == b"DICM"
    if not has_preamble and start[:2] not in _FIRST_GROUPS:
        raise _Ignored("not a DICOM file")
    header = _parse(path, has_preamble, stop_before_pixels=False)
    if header is None or PIXEL_DATA not in header:
        # pydicom drops the whole header when compressed pixel data have no end: without them it can be read.
        header = _parse(path, has_preamble, stop_before_pixels=True) or header
    if not has_preamble and (header is None or not text(header, "SOPClassUID").startswith(_STORAGE_CLASSES)):
        raise _Ignored("not a DICOM file")
    if header is None:
        raise _Ignored("the DICOM header cannot be read, the file is cut or not valid")
    if text(header.file_meta, "MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        raise _Ignored("file-set directory, its files are read directly")
    if not text(header.file_meta, "TransferSyntaxUID"):
        header.file_meta.TransferSyntaxUID = _implied_syntax(header)
    return header, _is_cut(header, size)


def _parse(path: Path, has_preamble: bool, stop_before_pixels: bool) -> FileDataset | None:
    """The file read by pydicom; None where it raises an error."""
    options: dict[str, Any] = {"force": not has_preamble, "stop_before_pixels": stop_before_pixels}
    try:
        header = dcmread(path, defer_size=_DEFERRED, **options)
        if text(header.file_meta, "TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            # A deferred value is looked up at its place in the file, which the inflated data set does not have.
            header = dcmread(path, **options)
        return header
    except Exception:  # Garbage makes parsers fail in any way; the caller names the file and the reason.
        return None


def _implied_syntax(header: Dataset) -> UID:
    is_implicit, is_little_endian = header.original_encoding[:2]
    if is_implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if is_little_endian else ExplicitVRBigEndian


def _is_cut(header: FileDataset, size: int) -> bool:
    """Whether pixel data that the header promises are missing or end too early in a file of `size` bytes."""
    if PIXEL_DATA not in header:
        has_other_pixels = "FloatPixelData" in header or "DoubleFloatPixelData" in header
        return (text(header, "Modality") == "CT" or "Rows" in header) and _is_image(header) and not has_other_pixels
    element: Any = header.get_item(PIXEL_DATA, keep_deferred=True)
    if element.value is not None:
        present = len(element.value)
    elif element.length == 0xFFFFFFFF:
        return False  # pydicom has walked the fragments to the sequence delimiter to get here
    else:
        present = element.length
        if size - element.value_tell < present:
            return True
    if text(header.file_meta, "TransferSyntaxUID") not in _UNCOMPRESSED:
        return present == 0
    return present < _expected_bytes(header)


def _is_image(header: Dataset) -> bool:
    sop_class = text(header, "SOPClassUID")
    return not sop_class or "Image" in UID(sop_class).name


def _expected_bytes(header: Dataset) -> int:
    """Length of uncompressed pixel data (PS3.3 C.7.6.3); 0 where the header does not say."""
    bits = [number(header, name) for name in ("Rows", "Columns", "BitsAllocated")]
    counts = [number(header, name) or 1.0 for name in ("SamplesPerPixel", "NumberOfFrames")]
    return math.ceil(math.prod(value or 0.0 for value in [*bits, *counts]) / 8)


def _identify(header: Dataset) -> tuple[tuple[str, str], str]:
    """The study and series UIDs together, one of which may be missing, and the SOP Instance UID."""
    uids = [text(header, name) for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")]
    if not uids[2] or not any(uids[:2]):
        raise _Ignored("the DICOM header has no Study and Series, or no SOP Instance UID")
    return (uids[0], uids[1]), uids[2]


def _same_pixels(one: Dataset, other: Dataset) -> bool:
    digests = [_pixel_digest(header) for header in (one, other)]
    return digests[0] is not None and digests[0] == digests[1]


def _pixel_digest(header: Dataset) -> bytes | None:
    try:
        fresh = dcmread(str(header.filename), force=True, specific_tags=["PixelData"])
        return hashlib.sha256(fresh.PixelData if "PixelData" in fresh else b"").digest()
    except Exception:  # Unreadable pixels are nobody's copy; decoding them will say what is wrong.
        return None


def value(header: Dataset, keyword: str) -> Any:
    """The value of an attribute; None where it is absent, empty or not readable."""
    try:
        return header.get(keyword)
    except Exception:  # pydicom converts on access and raises what the garbage in the value provokes.
        return None


def text(header: Dataset, keyword: str) -> str:
    """The value of an attribute as text, its values joined by backslashes; empty where it is absent."""
    content = value(header, keyword)
    if content is None:
        return ""
    values = content if isinstance(content, Sequence) and not isinstance(content, (str, bytes)) else [content]
    return "\\".join(str(item) for item in values).strip(" \0")


def numbers(header: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """The `count` values of a numeric attribute; None unless there are just so many, all of them finite numbers."""
    content = value(header, keyword)
    values = content if isinstance(content, Sequence) and not isinstance(content, (str, bytes)) else [content]
    try:
        result = tuple(float(item) for item in values)
    except (TypeError, ValueError, OverflowError):
        return None
    return result if len(result) == count and all(math.isfinite(item) for item in result) else None


def number(header: Dataset, keyword: str) -> float | None:
    """The one value of a numeric attribute; None where there is no finite number, or more than one."""
    found = numbers(header, keyword, 1)
    return found[0] if found else None


class _Quiet:
    """Counts who needs pydicom quiet, since the filters of warnings and logging are shared by all threads."""

    lock = threading.Lock()
    users = 0
    warning_filters: "warnings.catch_warnings[None] | None" = None
    log_level = logging.NOTSET


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom from warning and logging: its messages quote header values, which may be patient data."""
    logger = logging.getLogger("pydicom")
    with _Quiet.lock:
        _Quiet.users += 1
        if _Quiet.users == 1:
            _Quiet.warning_filters = warnings.catch_warnings()
            _Quiet.warning_filters.__enter__()
            warnings.simplefilter("ignore")
            _Quiet.log_level = logger.level
            logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        with _Quiet.lock:
            _Quiet.users -= 1
            if _Quiet.users == 0 and _Quiet.warning_filters is not None:
                _Quiet.warning_filters.__exit__(None, None, None)
                logger.setLevel(_Quiet.log_level)


__all__ = ["IgnoredFile", "Scan", "Series", "number", "numbers", "quiet_pydicom", "scan_folder", "text", "value"]
