"""Orthanc, a bridge and studies for the tests of the PACS loop."""

import hashlib
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pyorthanc import Orthanc as Client

from conformance import orthanc
from conformance.tools import ToolMissing, find
from deploy.orthanc.trial import TrialBridge
from groundglass.phantom.study import write_study
from groundglass.phantom.thorax import make_thorax

SMALL_APPLICATION = Path(__file__).with_name("small_application.py")
SLICES = 10
STABLE_AGE_S = 1  # the shortest there is
HANGS_S = 300
"""After which something that is waited for will not come any more, on whatever machine."""
RESULTS = {"SR": 1, "OT": 1}
"""Instances by modality of one set of the small application's results."""


def need_orthanc() -> None:
    for program in ("Orthanc", "dcmsend"):
        try:
            find(program)
        except ToolMissing as missing:
            pytest.skip(str(missing))
    if not orthanc.DICOMWEB.is_file():
        pytest.skip("Orthanc's DICOMweb plugin is not installed.")


def write_studies(folder: Path, count: int, slices: int = SLICES) -> list[list[Path]]:
    """Studies of different patients, with the smallest images that a phantom has."""
    volume, _ = make_thorax("normal", slices=slices, size=64)
    return [write_study(volume, folder / f"study-{seed}", preset="normal", seed=seed) for seed in range(count)]


@contextmanager
def archive(**settings: Any) -> Iterator[orthanc.Orthanc]:
    # No test cuts this machine's power, so Orthanc need not wait for the disk.
    with orthanc.running(**{"StableAge": STABLE_AGE_S, "SyncStorageArea": False} | settings) as running:
        try:
            yield running
        finally:
            running.kill()  # quicker than asking it


class Orders:
    """What the small application does with whose images; no orders: it analyses them at once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder

    def give(self, action: str, files: Sequence[Path]) -> None:
        """To `hold` their patient's images as long as the order stands, to `fail` or to `refuse` them."""
        self._order(action, files).touch()

    def withdraw(self, action: str, files: Sequence[Path]) -> None:
        self._order(action, files).unlink(missing_ok=True)

    def holds(self, files: Sequence[Path]) -> bool:
        """Whether an application is at these images, and waits for its order to be withdrawn."""
        return self._order("held", files).exists()

    def forget_held(self, files: Sequence[Path]) -> None:
        """The application that held them was killed."""
        self._order("held", files).unlink()

    def _order(self, action: str, files: Sequence[Path]) -> Path:
        return self._folder / f"{action}-{header(files).PatientID}"


def header(files: Sequence[Path]) -> pydicom.Dataset:
    return pydicom.dcmread(files[0], stop_before_pixels=True)


def orthanc_id(files: Sequence[Path]) -> str:
    """Orthanc's identifier of a study."""
    first = header(files)
    digest = hashlib.sha1(f"{first.PatientID}|{first.StudyInstanceUID}".encode()).hexdigest()
    return "-".join(digest[start : start + 8] for start in range(0, 40, 8))


def small_application(orders: Orders | None = None) -> dict[str, Any]:
    """Settings that have the small application do the work."""
    words = [sys.executable, str(SMALL_APPLICATION), "-i", "{input}", "-o", "{output}"]
    return {"command": [*words, "--orders", str(orders._folder)] if orders else words}


@contextmanager
def bridge(folder: Path, running: orthanc.Orthanc, **settings: Any) -> Iterator[TrialBridge]:
    """A bridge that has been started, with the small application unless another one is named."""
    settings.setdefault("application", small_application())
    # Orthanc tells when a study is stable: nothing is ever taken for complete because this machine is slow.
    settings["changes"] = {"poll_s": 0.1, "settle_s": HANGS_S} | settings.get("changes", {})
    trial = TrialBridge(folder, running.url, **settings)
    try:
        trial.start()
        yield trial
    finally:
        trial.kill()


def delete_studies(running: orthanc.Orthanc, *names: str) -> None:
    """Delete studies, by Orthanc's identifiers; or all of them, where none is named."""
    client = Client(running.url, trust_env=False)
    for study in names or client.get_studies():
        client.delete_studies_id(study)


Series = list[tuple[str, str, int]]
"""Modality, description and number of instances of each series of a study."""


def series_by_study(running: orthanc.Orthanc) -> dict[str, Series]:
    """The series of each study, by Orthanc's identifier."""
    client = Client(running.url, trust_env=False)
    found = {}
    for study in client.get_studies():
        found[study] = sorted(
            (
                each["MainDicomTags"]["Modality"],
                each["MainDicomTags"].get("SeriesDescription", ""),
                len(each["Instances"]),
            )
            for each in client.get_studies_id_series(study)
        )
    return found


def assert_one_set_of_results(running: orthanc.Orthanc, studies: Sequence[Sequence[Path]]) -> None:
    """Orthanc has these studies alone, each with all its images, and one set of results, which is of all of them."""
    found = series_by_study(running)
    expected = {orthanc_id(files): len(files) for files in studies}
    assert found.keys() == expected.keys()
    for study, series in found.items():
        assert_one_set(series, expected[study])


def assert_one_set(series: Series, images: int) -> None:
    """A study has so many images, and one set of results, which is of all of them."""
    assert [count for modality, _, count in series if modality == "CT"] == [images]
    results = [each for each in series if each[0] != "CT"]
    assert Counter({modality: count for modality, _, count in results}) == RESULTS, results
    assert len(results) == len(RESULTS)
    assert {description for _, description, _ in results} == {f"{images} images"}


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Wait for something that needs no bridge."""
    deadline = time.monotonic() + HANGS_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def is_alive(command_part: str) -> bool:
    """Whether a process with this in its command line is running."""
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and int(process.name) != os.getpid():
            try:
                command = (process / "cmdline").read_bytes().decode(errors="replace")
            except OSError:  # it has just ended
                continue
            if command_part in command:
                return True
    return False
