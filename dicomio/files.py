"""Files that appear whole or not at all, whatever happens while they are written."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image
from pydicom import Dataset

FILE_MODE = 0o640


def write_dicom(dataset: Dataset, path: Path) -> None:
    """Writes a Part 10 file (PS3.10); `dataset` brings its own file meta information.

    Raises:
        OSError: if the folder can't be written to or the disk is full; no file is left behind then.
    """
    _write(path, lambda file: dataset.save_as(file, enforce_file_format=True))


def write_text(text: str, path: Path) -> None:
    """Writes `text` in UTF-8. Raises OSError as `write_dicom` does."""
    _write(path, lambda file: file.write(text.encode()))


def write_image(image: Image.Image, path: Path) -> None:
    """Writes a PNG. Raises OSError as `write_dicom` does."""
    _write(path, lambda file: image.save(file, format="PNG", optimize=False))


def _write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    with _written_aside(Path(path)) as file:
        write(file)


@contextmanager
def _written_aside(path: Path) -> Iterator[BinaryIO]:
    """A hidden file in the folder of `path` that takes its name once it is complete and on the disk."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    descriptor = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    try:
        with open(descriptor, "w+b") as file:
            os.fchmod(file.fileno(), FILE_MODE)  # the process' umask may have taken the group's right to read
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
