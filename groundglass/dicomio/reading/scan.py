"""Which DICOM series lie in a folder: headers only, whatever else lies there too.

Every file ends up in exactly one place: in a series, or in the list of ignored files with the reason. A file that is
known to belong to a series but is cut, or that a DICOMDIR lists but the folder doesn't hold, is counted by that series
too, so that a missing slice never goes unnoticed.
"""

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import MediaStorageDirectoryStorage

from groundglass.dicomio.reading.attributes import quiet_pydicom, text
from groundglass.dicomio.reading.file_set import listed_images
from groundglass.dicomio.reading.header import Header, read_header
from groundglass.dicomio.reading.pixels import pixel_digest
from groundglass.domain.errors import Refusal

_FIRST_GROUPS = (b"\x08\x00", b"\x02\x00", b"\x00\x08")
"""First bytes of a data set without preamble: group 0008 or 0002 in little endian, or 0008 in big endian."""

_STORAGE_CLASSES = "1.2.840.10008.5.1.4."
"""Root of the SOP classes that store composite objects (PS3.4 Annex B)."""

_SAME_IMAGE = (
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns",
    "RescaleSlope", "RescaleIntercept", "BitsStored", "PixelRepresentation", "PatientID",
)  # fmt: skip
"""What two files must have in common, besides their pixels, to be copies of one image."""

_THREADS, _BATCH = 4, 32
"""Readers, each of many files at a time: on a network share they wait for one another's answers no longer."""

_UNREADABLE = "the DICOM header cannot be read: the file is cut, not valid, or inflates to more than 64 MiB"

_NOT_OPENED = "the file cannot be opened"

_NOT_LOOKED_INTO = re.compile(
    r"lost\+found|system volume information|\$recycle\.bin|recycler|#recycle|@recycle|\.trash(-\d+|es)?|\.trashed"
    r"|[.~#]snapshots?|\.zfs|@recently-snapshot|@eadir|\.@__thumb|\.spotlight-v100|\.fseventsd|\.appledouble|__macosx"
    r"|\.nfs|\.glusterfs",
    re.IGNORECASE,
)
"""Folders that a file system or a file server keeps for itself: what was deleted, earlier states, thumbnails. They hold
no study as it is now, and few may list them."""

_LINK = (
    "symbolic link to a folder or out of the input folder, not followed: copy or mount what it leads to into the folder"
)

_START = 1 << 14
"""Bytes of a file that are read at once."""


@dataclass(frozen=True)
class Series:
    """The images of one series of one study.

    Attributes:
        study_instance_uid, series_instance_uid: one of them is empty where the images have none.
        instances: headers, in the order of the files' relative paths, each read from its file when something is asked
            of it that the scan didn't need.
        damaged: number of images of this series that are missing here because their files are cut. Such a series is
            incomplete.
        absent: number of images of this series that a file-set directory (DICOMDIR) lists and the folder doesn't hold.
        left_out: objects that are none of its slices, counted by the attribute that tells so (`strays`).
    """

    study_instance_uid: str
    series_instance_uid: str
    instances: tuple[Dataset, ...]
    damaged: int = 0
    absent: int = 0
    left_out: tuple[tuple[str, int], ...] = ()


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


@dataclass(frozen=True)
class Archive:
    """Which files of a folder belong to which study.

    Attributes:
        studies: relative paths by Study Instance UID, which is empty where images have none. A file-set directory
            (DICOMDIR) belongs to every study that it lists.
        digests: SHA-256 of the CT images by Study Instance UID: of their UIDs and geometry, of which of them are cut,
            and of those that a DICOMDIR lists. Where their files lie, how many copies there are, and what else the
            study holds, results for one, changes nothing.
        ignored: the files that belong to no study.
        unopened: how many of them can't be opened, so that any study may lack them.
    """

    studies: dict[str, tuple[str, ...]]
    digests: dict[str, str]
    ignored: tuple[IgnoredFile, ...]
    unopened: int


def scan_folder(folder: Path, on_file: Callable[[], None] | None = None, names: Sequence[str] | None = None) -> Scan:
    """Find every DICOM series under `folder`, at any depth, in the order of the relative paths.

    Symbolic links to files are followed as long as they stay inside the folder, links to folders never. Copies of one
    image are dropped; different images under one SOP Instance UID are all kept, for the volume's checks to refuse.

    Args:
        folder: an existing folder.
        on_file: called after each file, to show progress.
        names: relative paths of the only files to look at, as `find_studies` gives them for one study.

    Raises:
        NotADirectoryError: there is no such folder. No file in it, whatever it holds, raises an error.
        OSError: a folder in it can't be listed.
    """
    found = _Found()
    with quiet_pydicom():
        found.ignored += _visit(folder, lambda _, header, is_cut: found.add(header, is_cut), on_file, names)
        return found.scan()


def find_studies(folder: Path, on_file: Callable[[], None] | None = None) -> Archive:
    """Which files under `folder` belong to which study, for a folder too large to hold all its headers in memory.

    Of each study `scan_folder` with its files finds the same as in a folder that holds this study alone.

    Raises:
        NotADirectoryError: there is no such folder.
        OSError: a folder in it can't be listed.
    """
    files: dict[str, list[str]] = {}
    images: dict[str, set[bytes]] = {}
    with_images: set[str] = set()

    def add(name: str, header: Header, is_cut: bool) -> None:
        if _is_directory(header):
            studies = set()
            for listed in listed_images(header):
                studies.add(listed.study)
                images.setdefault(listed.study, set()).add(_digest("listed", listed.series, listed.uid))
        else:
            (study, series), uid = _identify(header)
            studies = {study}
            with_images.add(study)
            if text(header, "Modality") in ("CT", ""):
                state = "cut" if is_cut else "whole"
                digest = _digest(state, series, uid, *(text(header, keyword) for keyword in _SAME_IMAGE))
                images.setdefault(study, set()).add(digest)
        for study in studies:
            files.setdefault(study, []).append(name)

    with quiet_pydicom():
        ignored = _visit(folder, add, on_file)
    return Archive(
        {study: tuple(names) for study, names in files.items() if study in with_images},
        {study: hashlib.sha256(b"".join(sorted(images.get(study, ())))).hexdigest() for study in with_images},
        tuple(ignored),
        sum(item.reason.startswith(_NOT_OPENED) for item in ignored),
    )


def _digest(*words: str) -> bytes:
    """Instead of a long UID: an archive has millions."""
    return hashlib.blake2b("\0".join(words).encode("utf-8", "surrogateescape"), digest_size=16).digest()


def _visit(
    folder: Path,
    add: Callable[[str, Header, bool], None],
    on_file: Callable[[], None] | None,
    names: Sequence[str] | None = None,
) -> list[IgnoredFile]:
    """Hand every file's relative path, header, and whether the file is cut to `add`; returns what was ignored."""
    if not folder.is_dir():
        raise NotADirectoryError("The input folder does not exist, or is not a folder. Check the path and the mounts.")
    ignored = []
    for name, read in _read_all(str(folder), names):
        try:
            if isinstance(read, _Ignored):
                raise read
            add(name, *read)
        except _Ignored as ignoring:
            ignored.append(IgnoredFile(os.fsencode(name).decode("utf-8", "backslashreplace"), str(ignoring)))
        if on_file is not None:
            on_file()
    return ignored


class _Ignored(Exception):
    """Why a file belongs to no series."""


_Key = tuple[str, str]
"""The study and series UIDs together, one of which may be missing."""


@dataclass
class _Found:
    """What has been found so far."""

    images: dict[_Key, list[Dataset]] = field(default_factory=dict)
    cut: dict[_Key, set[str]] = field(default_factory=dict)
    listed: dict[_Key, set[str]] = field(default_factory=dict)
    perhaps_listed: dict[_Key, set[str]] = field(default_factory=dict)
    alike: dict[tuple[str, ...], tuple[Header, set[bytes | None]]] = field(default_factory=dict)
    ignored: list[IgnoredFile] = field(default_factory=list)

    def add(self, header: Header, is_cut: bool) -> None:
        if _is_directory(header):
            for listed in listed_images(header):
                by_series = self.listed if listed.is_sure else self.perhaps_listed
                by_series.setdefault((listed.study, listed.series), set()).update({listed.uid} - {""})
            raise _Ignored("file-set directory, its files are read directly")
        key, instance_uid = _identify(header)
        if is_cut:
            self.images.setdefault(key, [])
            self.cut.setdefault(key, set()).add(instance_uid)
            raise _Ignored("the file is cut, or not valid, before the end of its pixel data, send the image again")
        if self._is_copy(header, (*key, instance_uid, *(text(header, name) for name in _SAME_IMAGE))):
            raise _Ignored("copy of another file of the same image")
        self.images.setdefault(key, []).append(header)

    def _is_copy(self, header: Header, likeness: tuple[str, ...]) -> bool:
        first, digests = self.alike.setdefault(likeness, (header, set()))
        if first is header:
            return False
        if not digests:
            digests.add(pixel_digest(first))
        own = pixel_digest(header)
        is_copy = own is not None and own in digests
        digests.add(own)
        return is_copy

    def scan(self) -> Scan:
        series = []
        everywhere = {text(header, "SOPInstanceUID") for headers in self.images.values() for header in headers}
        everywhere.update(*self.cut.values())
        for key, headers in self.images.items():
            there = {text(header, "SOPInstanceUID") for header in headers}
            # An image that was cut and then sent again is there.
            damaged = self.cut.get(key, set()) - there
            absent = self.listed.get(key, set()) - there - damaged
            # Of which series they are is a guess, so that they are absent only where no series has them.
            absent |= self.perhaps_listed.get(key, set()) - everywhere
            series.append(Series(*key, tuple(headers), len(damaged), len(absent)))
        return Scan(tuple(series), tuple(self.ignored))


def _read_all(folder: str, names: Sequence[str] | None = None) -> Iterator[tuple[str, tuple[Header, bool] | _Ignored]]:
    """Every file, or those of `names`, by its relative path, and its header or why it has none, in their order."""
    root = os.path.realpath(folder)

    def read(names: Sequence[str]) -> list[tuple[Header, bool] | _Ignored]:
        return [_read(os.path.join(folder, name), root) for name in names]

    names = list_files(folder) if names is None else names
    batches = [names[start : start + _BATCH] for start in range(0, len(names), _BATCH)]
    with ThreadPoolExecutor(_THREADS) as pool:
        for batch, headers in zip(batches, pool.map(read, batches), strict=True):
            yield from zip(batch, headers, strict=True)


def list_files(folder: str | Path) -> list[str]:
    """Relative paths of all that is not a folder, sorted part by part; also of folders that aren't looked into.

    Those are links to folders, and what a file system or a file server keeps for itself.

    Raises:
        OSError: a folder can't be listed. Nobody knows then what it held: slices at the end of a series may be missing.
    """

    def refuse(error: OSError) -> None:
        raise error

    found = []
    for parent, folders, files in os.walk(folder, onerror=refuse, followlinks=False):
        shut = [name for name in folders if is_kept_by_server(name) or os.path.islink(os.path.join(parent, name))]
        folders[:] = [name for name in folders if name not in shut]
        inner = os.path.relpath(parent, folder)
        found += [name if inner == "." else os.path.join(inner, name) for name in files + shut]
    return sorted(found, key=lambda path: path.replace(os.sep, "\0"))  # part by part, without a list for each


def is_kept_by_server(name: str) -> bool:
    """Whether a folder of this name is a file system's or a file server's own."""
    return _NOT_LOOKED_INTO.fullmatch(name) is not None


def _read(path: str, root: str) -> tuple[Header, bool] | _Ignored:
    """The header of one file, and whether the file ends before its pixel data does; or why it is no DICOM file."""
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            if os.path.isdir(path) or not Path(os.path.realpath(path)).is_relative_to(root):
                return _Ignored(_LINK)
            status = os.stat(path)
        if stat.S_ISDIR(status.st_mode) and is_kept_by_server(os.path.basename(path)):
            return _Ignored("folder of a file system or file server for deleted files, snapshots or the like, left out")
        if not stat.S_ISREG(status.st_mode):
            return _Ignored("not a regular file")
        if status.st_size == 0:
            return _Ignored("empty file")
        with open(path, "rb", buffering=0) as file:
            start = file.read(_START)
        has_preamble = start[128:132] == b"DICM"
        if not has_preamble and start[:2] not in _FIRST_GROUPS:
            return _Ignored("not a DICOM file")
        header, is_cut = read_header(path, status.st_size, start)
    except OSError as error:
        return _Ignored(f"{_NOT_OPENED} ({type(error).__name__}), check its permissions")
    if not has_preamble and (header is None or not text(header, "SOPClassUID").startswith(_STORAGE_CLASSES)):
        return _Ignored("not a DICOM file")
    if header is None:
        return _Ignored(_UNREADABLE)
    return header, is_cut


def _is_directory(header: Header) -> bool:
    if text(header, "SOPClassUID"):
        return False
    try:
        return text(header.file_meta, "MediaStorageSOPClassUID") == MediaStorageDirectoryStorage
    except Refusal as refusal:
        raise _Ignored(_UNREADABLE) from refusal


def _identify(header: Dataset) -> tuple[_Key, str]:
    """The study and series UIDs together, one of which may be missing, and the SOP Instance UID.

    Several values are none: no result could refer to them.
    """
    found = [text(header, name) for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")]
    uids = ["" if "\\" in uid else uid for uid in found]
    if not uids[2] or not any(uids[:2]):
        raise _Ignored("the DICOM header has no readable Study and Series, or no SOP Instance UID")
    return (uids[0], uids[1]), uids[2]
