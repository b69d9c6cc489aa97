"""Files that appear whole or not at all, and together or not at all, whatever happens while they are written."""

import contextlib
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from PIL import Image
from pydicom import Dataset

from groundglass.domain.errors import OutputFailed
from groundglass.domain.refusals import RefusalCode

FILE_MODE = 0o640
"""Of results: for their user and its group."""


class FileGroup:
    """Files of one folder. Each is written aside, under a hidden name; they take their names when the group ends.

    A group that ends with an exception leaves nothing behind, nor does one that `abandon_files` ends.

    Attributes:
        names: of the files, in the order in which they were written.
    """

    def __init__(self, folder: Path, mode: int = FILE_MODE) -> None:
        self._folder = folder
        self._mode = mode
        self._aside: dict[str, Path] = {}

    @property
    def names(self) -> list[str]:
        return list(self._aside)

    def write_dicom(self, dataset: Dataset, name: str) -> None:
        """Adds a Part 10 file (PS3.10); `dataset` brings its own file meta information.

        Raises:
            OutputFailed: if the folder can't be written to or the disk is full.
        """
        self._write(name, lambda file: dataset.save_as(file, enforce_file_format=True))

    def write_text(self, text: str, name: str) -> None:
        """Adds `text` in UTF-8. Raises OutputFailed as `write_dicom` does."""
        self._write(name, lambda file: file.write(text.encode()))

    def write_bytes(self, content: bytes, name: str) -> None:
        """Adds a file of this content. Raises OutputFailed as `write_dicom` does."""
        self._write(name, lambda file: file.write(content))

    def write_image(self, image: Image.Image, name: str) -> None:
        """Adds a PNG. Raises OutputFailed as `write_dicom` does."""
        # Half the time of Pillow's own level, for a file 6 % larger.
        self._write(name, lambda file: image.save(file, format="PNG", optimize=False, compress_level=4))

    def _write(self, name: str, write: Callable[[BinaryIO], object]) -> None:
        aside = self._folder / f".{name}.{os.getpid()}.part"
        self._aside[name] = aside
        with _LOCK:
            _UNFINISHED.add(aside)
        try:
            aside.unlink(missing_ok=True)  # of an earlier process with this number, as in every container
            # Never through a link that someone has put there.
            descriptor = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, self._mode)
            with open(descriptor, "w+b") as file:
                os.fchmod(file.fileno(), self._mode)  # the process' umask may have taken the group's right to read
                write(file)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise output_failure(error) from error

    def __enter__(self) -> "FileGroup":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _LOCK:
            try:
                if kind is None:
                    for name, aside in self._aside.items():
                        os.replace(aside, self._folder / name)
            except OSError as failure:
                for name in self._aside:
                    _remove(self._folder / name)
                raise output_failure(failure) from failure
            finally:
                for aside in self._aside.values():
                    _remove(aside)
                _UNFINISHED.difference_update(self._aside.values())


def _remove(path: Path) -> None:
    """Remove a file if that is possible: what failed before is to be told, and not this."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def write_dicom(dataset: Dataset, path: Path) -> None:
    """Writes one Part 10 file, whole or not at all. Raises OutputFailed as `FileGroup.write_dicom` does."""
    with FileGroup(path.parent) as group:
        group.write_dicom(dataset, path.name)


def write_text(text: str, path: Path) -> None:
    """Writes one text file in UTF-8, whole or not at all. Raises OutputFailed."""
    with FileGroup(path.parent) as group:
        group.write_text(text, path.name)


def write_image(image: Image.Image, path: Path) -> None:
    """Writes one PNG, whole or not at all. Raises OutputFailed."""
    with FileGroup(path.parent) as group:
        group.write_image(image, path.name)


def check_room(folder: Path, needed_bytes: int) -> None:
    """Tell beforehand that a disk is too full; one that doesn't say how full it is passes.

    Raises:
        OutputFailed: DISK_FULL.
    """
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if disk.f_blocks and free < needed_bytes:
        raise OutputFailed(
            RefusalCode.DISK_FULL,
            f"The results need about {needed_bytes / 1e6:.0f} MB, and the disk of the output folder has "
            f"{free / 1e6:.1f} MB free. {_MAKE_ROOM}",
        )


def abandon_files() -> None:
    """Remove every file that is not complete, and let none appear any more: the process is about to end."""
    _LOCK.acquire()  # for ever
    for path in _UNFINISHED:
        _remove(path)


_LOCK = threading.Lock()
"""Held while files take their names, which must not be interrupted."""
_UNFINISHED: set[Path] = set()
_MAKE_ROOM = "Make room there, or give another folder, and run the study again."


def output_failure(error: OSError) -> OutputFailed:
    """What an error while something was written is told as."""
    while error.errno is None and isinstance(error.__context__, OSError):
        error = error.__context__  # pydicom wraps what it meets, without its number
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputFailed(
            RefusalCode.DISK_FULL, f"The disk of the output folder is full, or the quota used up. {_MAKE_ROOM}"
        )
    return OutputFailed(
        RefusalCode.OUTPUT_NOT_WRITABLE,
        f"A file in the output folder can't be written ({error.strerror or type(error).__name__}). Check the folder's "
        "disk, its permissions and limits, and run the study again.",
    )
