"""Orthanc, a bridge and studies for the tests of the PACS loop."""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pyorthanc import Orthanc as Client

from deploy.orthanc.trial import TrialBridge
from validation.conformance import orthanc
from validation.conformance.tools import ToolMissing, find
from validation.phantom.study import write_study
from validation.phantom.thorax import make_thorax

SMALL_APPLICATION = Path(__file__).with_name("small_application.py")
SLICES = 10
STABLE_AGE_S = 1
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


def small_application(*arguments: object) -> dict[str, Any]:
    """Settings that have the small application do the work."""
    words = [sys.executable, str(SMALL_APPLICATION), "-i", "{input}", "-o", "{output}", *map(str, arguments)]
    return {"command": words}


@contextmanager
def bridge(folder: Path, running: orthanc.Orthanc, **settings: Any) -> Iterator[TrialBridge]:
    """A bridge that has been started, with the small application unless another one is named."""
    settings.setdefault("application", small_application())
    trial = TrialBridge(folder, running.url, **settings)
    try:
        trial.start()
        yield trial
    finally:
        trial.kill()


def series_by_modality(running: orthanc.Orthanc) -> dict[str, list[tuple[str, str, int]]]:
    """For each study, by its UID: modality, description and number of instances of each series."""
    client = Client(running.url, trust_env=False)
    found = {}
    for study in client.get_studies():
        uid = client.get_studies_id(study)["MainDicomTags"]["StudyInstanceUID"]
        found[uid] = sorted(
            (
                each["MainDicomTags"]["Modality"],
                each["MainDicomTags"].get("SeriesDescription", ""),
                len(each["Instances"]),
            )
            for each in client.get_studies_id_series(study)
        )
    return found


def assert_one_set_of_results(running: orthanc.Orthanc, studies: Sequence[Sequence[Path]]) -> None:
    """Each study has all its images, and one set of results, which is of all of them."""
    found = series_by_modality(running)
    expected = {
        str(pydicom.dcmread(files[0], stop_before_pixels=True).StudyInstanceUID): len(files) for files in studies
    }
    assert found.keys() == expected.keys()
    for uid, series in found.items():
        images = expected[uid]
        assert [count for modality, _, count in series if modality == "CT"] == [images]
        results = [each for each in series if each[0] != "CT"]
        assert Counter({modality: count for modality, _, count in results}) == RESULTS, results
        assert len(results) == len(RESULTS)
        assert {description for _, description, _ in results} == {f"{images} images"}


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
