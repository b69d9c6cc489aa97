"""The folder of a cohort's results: those of a study are whole or absent.

    OUT/cohort.json                   what the results were made with: version, weights, settings
    OUT/studies/ab/abcdef0123456789/  result.json and the DICOM objects of one study, as the application writes them;
                                      images.sha256 tells which images they are of
    OUT/*.parquet, OUT/index.html     written when all studies have been worked through

A study's folder is named after a hash of its UID: the same in every run, safe as a file name whatever the UID holds,
and fit for logs, where no UID may stand.
"""

import fcntl
import hashlib
import json
import logging
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundglass.command.folders import why_unwritable
from groundglass.dicomio.writing.files import output_failure, write_text

LOG = logging.getLogger("groundglass")
RESULT_FILE = "result.json"
_IMAGES_FILE = "images.sha256"
_UNFINISHED = ".part"


class ResultsError(ValueError):
    """The results folder can't be used for this run; the sentence says what to do."""


@dataclass(frozen=True)
class Study:
    """A study of the archive.

    Attributes:
        name: of its folder among the results, and in logs.
        files: relative paths in the archive.
        digest: of its images, as `find_studies` gives it: other images make another.
    """

    name: str
    files: tuple[str, ...]
    digest: str


def name_study(study_instance_uid: str) -> str:
    """Sixteen hexadecimal digits: of a million studies no two share them but with a chance of one in 40 million."""
    return hashlib.sha256(study_instance_uid.encode("utf-8", "surrogateescape")).hexdigest()[:16]


@dataclass(frozen=True)
class Results:
    """The results of a cohort, in `folder`."""

    folder: Path

    def place(self, study: str) -> Path:
        """Where the results of a study lie, if it has been finished. A file system is slow with a million in a row."""
        return self.folder / "studies" / study[:2] / study

    def is_finished(self, study: Study) -> bool:
        """Whether the results of a study, of the images that it has now, are there."""
        place = self.place(study.name)
        return (place / RESULT_FILE).is_file() and _read(place / _IMAGES_FILE) == study.digest

    def is_outdated(self, study: Study) -> bool:
        """Whether the results of a study are of other images than it has now; they stay until there are new ones."""
        return (self.place(study.name) / RESULT_FILE).is_file() and not self.is_finished(study)

    def finished(self) -> Iterator[Path]:
        """The folders of all finished studies, sorted."""
        for path in sorted(self.folder.glob("studies/*/*")):
            if not path.name.startswith(".") and (path / RESULT_FILE).is_file():
                yield path

    @contextmanager
    def new(self, study: Study) -> Iterator[Path]:
        """A folder to write a study's results into: it takes its place when all is written, and goes if not.

        Results of the study's former images make way. Where another worker was quicker, taken for dead when it wasn't,
        the results that are there stay.

        Raises:
            OutputFailed: the disk is full, or can't be written.
        """
        place = self.place(study.name)
        aside, former = (
            place.with_name(f".{study.name}.{socket.gethostname()}.{kind}.{os.getpid()}{_UNFINISHED}")
            for kind in ("new", "former")
        )
        try:
            for path in (aside, former):
                shutil.rmtree(path, ignore_errors=True)
            try:
                aside.mkdir(parents=True)
            except OSError as error:
                raise output_failure(error) from error
            write_text(study.digest + "\n", aside / _IMAGES_FILE)
            yield aside
            if not self.is_finished(study):
                if place.exists():
                    os.rename(place, former)
                os.rename(aside, place)
        finally:
            for path in (aside, former):
                shutil.rmtree(path, ignore_errors=True)

    def take_leftovers(self) -> set[str]:
        """Remove what was under way when a run was killed; returns the studies."""
        leftovers = list(self.folder.glob(f"studies/*/.*{_UNFINISHED}"))
        for path in leftovers:
            shutil.rmtree(path, ignore_errors=True)
        return {path.name.split(".")[1] for path in leftovers}

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder against a second run that would write into it.

        Raises:
            ResultsError: another run holds it, or it can't be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / ".lock").open("w")
        except OSError as error:
            raise ResultsError(
                f"The results folder can't be written ({why_unwritable(error, self.folder)}). Give a writable folder "
                "with --output."
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ResultsError(
                    "Another run is writing into this results folder. Wait for it, or give another with --output."
                ) from error
            except OSError:
                LOG.warning("The file system of the results folder has no locks: see that no other run writes into it.")
            yield

    def bind(self, made_with: dict[str, Any]) -> None:
        """Note what the results are made with, and refuse to mix them with results made otherwise.

        Raises:
            ResultsError: the folder holds results of another version, other weights or other settings.
        """
        file = self.folder / "cohort.json"
        if file.exists():
            before = json.loads(file.read_text(encoding="utf-8"))
            if differing := [name for name in made_with if made_with[name] != before.get(name)]:
                raise ResultsError(
                    f"The {' and '.join(differing)} of this run differ from what the results in this folder were made "
                    "with. Give a new folder with --output, or go on with what they were made with."
                )
        else:
            write_text(json.dumps(made_with, indent=2) + "\n", file)


def _read(file: Path) -> str:
    """A digest, or nothing where there is none."""
    try:
        return file.read_text(encoding="ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return ""
