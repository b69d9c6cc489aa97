"""Every case of the corpus ends in an explained refusal, through the whole application, or in exactly the right volume.

Refusals run the command line from end to end: no network computes for them. Input that is read is followed from the
scan to the volume, where its truth is known; whole runs on readable studies are in tests/app.
"""

import json
import logging
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.command_line import main
from groundglass.dicomio.reading.scan import Series, scan_folder
from groundglass.dicomio.reading.select import choose_series
from groundglass.dicomio.reading.volume import read_grid
from groundglass.domain.errors import Refusal
from groundglass.domain.volume import CTVolume
from groundglass.pipeline import Pipeline
from groundglass.presets import SHIPPED
from groundglass.settings import Settings
from tests.app.runs import read_result
from tests.bad_input import CASES, BadInput

SECONDS = 300
READ = [case for case in CASES if case.expected.volumes]
REFUSED = [case for case in CASES if not case.expected.volumes]
PLANTED = re.compile("planted|19010203|20010203|112233|1\\.2\\.826\\.0\\.1\\.3680043", re.IGNORECASE)
"""Values of the generated headers that must stay inside the outputs."""


@contextmanager
def no_hang() -> Iterator[None]:
    """Fail where a case hangs."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"The case did not end within {SECONDS} s.")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def files_under(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.name != "in")


def make(case: BadInput, tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    case.write(folder)
    return folder


@pytest.fixture(scope="module")
def loaded_once() -> Iterator[None]:
    """Every case is a call of its own, on weights that the first one has loaded."""
    loaded: list[Pipeline] = []

    def load(settings: Settings, models: Path) -> Pipeline:
        if not loaded:
            loaded.append(load_pipeline(settings, models))
        assert loaded[0].settings == settings
        return loaded[0]

    load_pipeline = Pipeline.load
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pipeline, "load", load)
        yield


@pytest.mark.slow  # hundreds of whole calls
@pytest.mark.usefixtures("loaded_once")
@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_input_that_must_not_be_analysed_is_refused_with_its_code_and_reason(
    case: BadInput, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    expected = case.expected
    folder = make(case, tmp_path)
    with no_hang(), caplog.at_level(logging.INFO, "groundglass"):
        code = main(["-i", str(folder), "-o", str(tmp_path / "out"), "-m", "models"])
    result = read_result(tmp_path / "out")

    found = {item["reason"]["code"] for item in result["cases"]} or {""}
    assert (int(code), result["status"], *found) == (expected.exit_code, expected.status, expected.code)
    reasons = [result["series_rejected"], result["files_ignored"], [item["reason"] for item in result["cases"]]]
    assert expected.said in json.dumps(reasons, ensure_ascii=False)
    assert all(item["status"] == "refused" for item in result["cases"])
    outputs = [name for item in result["cases"] for name in item["outputs"]]
    assert outputs == [f"{item['case']}.sr.dcm" for item in result["cases"]]
    assert files_under(tmp_path / "out") == sorted([*outputs, "result.json"])
    told = caplog.text + "".join(capfd.readouterr())
    assert "Traceback" not in told
    assert not PLANTED.search(told)


def read_cases(folder: Path) -> tuple[list[CTVolume], list[Refusal], str]:
    """The volumes of a folder, the refusals, and what is said of everything that is left out."""
    scan = scan_folder(folder)
    studies: dict[str, list[Series]] = {}
    for series in scan.series:
        studies.setdefault(series.study_instance_uid, []).append(series)
    volumes, refusals = [], []
    said: list[Any] = [vars(item) for item in scan.ignored]
    for study in studies.values():
        selection = choose_series(study, SHIPPED.selection)
        said += [vars(item) for item in selection.rejected]
        if selection.chosen is None:
            continue
        try:
            read = read_grid(selection.chosen.grid)
            volumes.append(read.volume)
            said += read.notes
        except Refusal as refusal:
            refusals.append(refusal)
    return volumes, refusals, json.dumps(said, ensure_ascii=False, default=str)


@pytest.mark.parametrize("case", READ, ids=str)
def test_input_that_only_looks_bad_is_read_exactly(case: BadInput, tmp_path: Path) -> None:
    expected = case.expected
    with no_hang():
        volumes, refusals, said = read_cases(make(case, tmp_path))
    assert [refusal.code for refusal in refusals] == ([expected.code] if expected.code else [])
    assert len(volumes) == len(expected.volumes)
    for volume, truth in zip(volumes, expected.volumes, strict=True):
        assert volume.hu.dtype == np.int16
        np.testing.assert_array_equal(volume.hu, truth.hu)
        np.testing.assert_allclose(volume.affine, truth.affine, rtol=0, atol=1e-5)
    assert expected.said in said
    assert files_under(tmp_path) == [name for name in files_under(tmp_path) if name.startswith("in")]


def test_the_corpus_has_its_families_and_every_case_a_name_of_its_own() -> None:
    assert {case.family for case in CASES} == {"file", "identity", "geometry", "pixels", "selection", "reports"}
    assert len({str(case) for case in CASES}) == len(CASES) >= 120
