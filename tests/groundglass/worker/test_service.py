"""The worker itself: everything loaded once, and what it writes is what a run of its own writes."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from groundglass.locations import ROOT
from groundglass.worker.held import HeldWorker, Limits
from tests.app.runs import Run, write_quick_settings

pytestmark = pytest.mark.slow

WAITS_S = 600


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HeldWorker]:
    settings = write_quick_settings(tmp_path_factory.mktemp("settings") / "app.yaml")
    command = [sys.executable, "-m", "groundglass", "worker", "--settings", str(settings), "--threads", "1"]
    held = HeldWorker(command, Limits(studies=100, memory_mib=4096), ROOT)
    yield held
    held.close()


def test_two_studies_of_one_worker_are_what_the_application_makes_of_each(
    worker: HeldWorker, small_study: Path, small_run: Run, tmp_path: Path
) -> None:
    expected = json.loads((small_run.out / "result.json").read_text(encoding="utf-8"))
    for turn in ("first", "second"):
        out = tmp_path / turn
        code = worker.analyse({"input": str(small_study), "output": str(out)}, tmp_path / "log", WAITS_S)
        assert code == 0, (tmp_path / "log").read_text(encoding="utf-8")
        told = json.loads((out / "result.json").read_text(encoding="utf-8"))
        for result in (told, expected):
            result["cases"][0].pop("timings_s", None)
        assert told == expected
        for path in small_run.out.glob("*.dcm"):
            ours, theirs = dcmread(out / path.name), dcmread(path)
            assert ours.SOPInstanceUID == theirs.SOPInstanceUID
            assert ours.get("PixelData") == theirs.get("PixelData")
    assert worker.started == 1


def test_an_input_that_is_not_there_is_a_code_and_a_sentence_and_not_the_end(
    worker: HeldWorker, tmp_path: Path
) -> None:
    request = {"input": str(tmp_path / "none"), "output": str(tmp_path / "out")}
    assert worker.analyse(request, tmp_path / "log", WAITS_S) == 2
    assert "The input folder does not exist" in (tmp_path / "log").read_text(encoding="utf-8")
    before = worker.process_id
    (tmp_path / "empty").mkdir()
    request["input"] = str(tmp_path / "empty")
    assert worker.analyse(request, tmp_path / "log", WAITS_S) == 3
    assert worker.process_id == before is not None


def test_only_the_files_that_are_named_are_looked_at(worker: HeldWorker, small_study: Path, tmp_path: Path) -> None:
    request = {"input": str(small_study), "output": str(tmp_path / "out"), "names": []}
    assert worker.analyse(request, tmp_path / "log", WAITS_S) == 3
