"""A worker that stays takes study after study; one that ends, however it ends, costs its own study and no other."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from groundglass.locations import ROOT
from groundglass.worker.child_process import NotFound
from groundglass.worker.held import HeldWorker, Interrupted, Limits, Overdue

PROGRAM = [sys.executable, str(Path(__file__).with_name("small_worker.py"))]


class Studies:
    """Gives studies by their names to a worker, each with a folder for its results."""

    def __init__(self, folder: Path, limits: Limits = Limits(1000, 500), program: list[str] = PROGRAM) -> None:  # noqa: B008
        self.folder = folder
        self.log = folder / "log"
        self.worker = HeldWorker(program, limits, ROOT)

    def give(self, study: str, timeout_s: float = 60, stop: threading.Event | None = None) -> int:
        output = self.folder / f"results of {study}"
        output.mkdir(exist_ok=True)
        request = {"input": str(self.folder / study), "output": str(output)}
        return self.worker.analyse(request, self.log, timeout_s, (stop or threading.Event()).is_set)

    def process_of(self, study: str) -> int:
        told = json.loads((self.folder / f"results of {study}" / "result.json").read_text())
        assert told["study"] == study
        return int(told["process"])


@pytest.fixture
def studies(tmp_path: Path) -> Iterator[Studies]:
    held = Studies(tmp_path)
    yield held
    held.worker.close()


def is_there(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_one_process_takes_study_after_study(studies: Studies) -> None:
    assert [studies.give(study) for study in ("one", "two", "three")] == [0, 0, 0]
    assert len({studies.process_of(study) for study in ("one", "two", "three")}) == 1
    assert studies.worker.started == 1
    assert studies.log.read_text() == "at three\n"  # what it said of its start is in the first one's


@pytest.mark.parametrize(("end", "code"), [("end-9", -signal.SIGKILL), ("end-3", 3), ("end-0", 1)])
def test_a_worker_that_ends_costs_its_study_alone_and_the_next_has_a_fresh_one(
    studies: Studies, end: str, code: int
) -> None:
    assert studies.give("one") == 0
    assert studies.give(end) == code
    assert list((studies.folder / f"results of {end}").iterdir()) == []
    assert studies.give("two") == 0
    assert studies.process_of("one") != studies.process_of("two")


def test_a_worker_that_is_killed_between_two_studies_costs_none(studies: Studies) -> None:
    assert studies.give("one") == 0
    process = studies.worker.process_id
    assert process is not None
    os.kill(process, signal.SIGKILL)
    while is_there(process):
        time.sleep(0.01)
    assert studies.give("two") == 0


def test_a_worker_that_is_killed_at_a_study_is_told_by_its_signal(studies: Studies) -> None:
    assert studies.give("one") == 0
    process = studies.worker.process_id
    assert process is not None
    threading.Timer(0.3, os.kill, (process, signal.SIGKILL)).start()
    assert studies.give("hang") == -signal.SIGKILL
    assert studies.give("two") == 0


def test_after_so_many_studies_or_so_much_memory_a_fresh_worker_goes_on(tmp_path: Path) -> None:
    studies = Studies(tmp_path, Limits(studies=2, memory_mib=500))
    for study in ("one", "two", "three", "grow", "four"):
        assert studies.give(study) == 0
    one, two, three, grow, four = (studies.process_of(study) for study in ("one", "two", "three", "grow", "four"))
    assert one == two != three == grow != four
    studies.worker.close()
    patient = Studies(tmp_path, Limits(studies=100, memory_mib=500))
    for study in ("one", "grow", "two"):
        assert patient.give(study) == 0
    assert patient.process_of("one") == patient.process_of("grow") != patient.process_of("two")
    patient.worker.close()


def test_a_study_that_takes_too_long_ends_its_worker(studies: Studies) -> None:
    assert studies.give("one") == 0
    process = studies.process_of("one")
    with pytest.raises(Overdue):
        studies.give("hang", timeout_s=0.5)
    assert not is_there(process)
    assert studies.give("two") == 0


def test_whoever_is_asked_to_end_ends_the_worker_too(studies: Studies) -> None:
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(Interrupted):
        studies.give("hang", stop=stop)
    assert studies.worker.process_id is None


def test_a_worker_that_can_not_start_is_told_by_its_code_and_its_words(tmp_path: Path) -> None:
    studies = Studies(tmp_path, program=[*PROGRAM, "--refuse"])
    assert studies.give("one") == 2
    assert studies.log.read_text() == "starting\n"
    with pytest.raises(NotFound, match="no-such-program"):
        Studies(tmp_path, program=["no-such-program"]).give("one")


def test_the_worker_ends_with_whoever_holds_it_even_where_that_is_killed(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from tests.groundglass.worker.test_held import Studies
studies = Studies(Path({str(tmp_path)!r}))
assert studies.give("one") == 0
print(studies.worker.process_id, flush=True)
studies.give("hang")
"""
    holder = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    worker = int(holder.stdout.readline())
    assert is_there(worker)
    holder.kill()
    holder.wait()
    deadline = time.monotonic() + 60
    while is_there(worker):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    holder.stdout.close()
