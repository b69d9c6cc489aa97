"""What a case of bad input is, what must become of it, and the words in which the tables of cases are written."""

from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from groundglass.dicomio.reading.attributes import quiet_pydicom
from groundglass.domain.volume import CTVolume
from tests.bad_input.series import CHEST, Chest, Edit, set_raw, write_all, write_unspoiled

Make = Callable[[Path], Any]
"""Writes the input of a case into a new folder."""


@dataclass(frozen=True)
class Expected:
    """What must become of a folder of input.

    Attributes:
        exit_code: of the application.
        status: `status` of result.json.
        code: of the reason why the case was refused; the empty text where there is no case, or none was refused.
        said: a part of a reason that result.json gives to a rejected series, an ignored file or a refused case.
        volumes: of the series that are read, in the order of the cases; every voxel and position must be exactly so.
            What the networks find in them is not part of the case.
    """

    exit_code: int
    status: str
    code: str = ""
    said: str = ""
    volumes: tuple[CTVolume, ...] = ()


@dataclass(frozen=True)
class BadInput:
    """One case: its name says what is bad."""

    family: str
    name: str
    make: Make
    expected: Expected

    def write(self, folder: Path) -> None:
        """Write the input into an existing, empty folder."""
        with quiet_pydicom():
            self.make(folder)

    def __str__(self) -> str:
        return f"{self.family}: {self.name}"


def reads(*volumes: CTVolume, said: str = "") -> Expected:
    """The input is read exactly, the usual chest if none is named; `said` of what is left out."""
    return Expected(0, "success", "", said, volumes or (CHEST.truth,))


def refused(code: str, said: str = "") -> Expected:
    """There is an eligible series, and it is refused."""
    return Expected(4, "failed", code, said)


def rejected(said: str) -> Expected:
    """No series is eligible, or no file belongs to any; `said` why."""
    return Expected(3, "no_eligible_series", "", said)


def series(
    edit: Edit | None = None, *, skip: Container[int] = (), chest: Chest = CHEST, syntax: UID | None = None
) -> Make:
    """A series, each image edited, without some of them."""
    left_out = [index for index in range(chest.shape[0]) if index in skip]

    def make(folder: Path) -> list[Path]:
        if edit is None and syntax is None:
            return write_unspoiled(folder, chest, skip)
        return write_all(folder, chest.images(edit, left_out), syntax or ExplicitVRLittleEndian)

    return make


def every(**values: Any) -> Edit:
    """These attributes in every image; None deletes one."""
    return on(range(10_000), **values)


def on(indices: Container[int], **values: Any) -> Edit:
    """These attributes in some images; a function is called with the image's index."""

    def edit(image: Dataset, index: int) -> None:
        if index in indices:
            for keyword, value in values.items():
                set_raw(image, keyword, value(index) if callable(value) else value)

    return edit


def with_files(spoil: Callable[[list[Path]], object], **options: Any) -> Make:
    """A series whose files are spoiled once they are written; `spoil` gets them from head to feet."""

    def make(folder: Path) -> None:
        spoil(series(**options)(folder))

    return make


def beside(*makes: Make) -> Make:
    """Several inputs in one folder, each in a folder of its own."""

    def make(folder: Path) -> None:
        for number, each in enumerate(makes):
            (folder / f"{number}").mkdir()
            each(folder / f"{number}")

    return make


def part(volume: CTVolume, slices: slice) -> CTVolume:
    """Some of the slices of a volume."""
    first = range(len(volume.hu))[slices].start
    origin_mm = volume.origin_mm + first * volume.spacing_mm[0] * volume.directions[0]
    return replace(volume, hu=volume.hu[slices], origin_mm=origin_mm)
