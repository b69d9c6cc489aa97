"""Many studies, a signal in the middle, a full disk: memory stays bounded, and files are whole or absent."""

import os
import re
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from groundglass.changed_settings import write_changed_settings
from groundglass.exit_codes import ExitCode
from tests.app.runs import QUICK, call, run, start, write_small_study
from tests.bad_input.case import Make, beside, series
from tests.bad_input.series import Chest

COUNTING = """
# Counts the volumes that live at one time: the array of each is followed until it is freed.
import runpy, sys, threading, weakref
sys.path.insert(0, ".")
from groundglass.domain.volume import CTVolume

alive, most, lock, build = set(), 0, threading.RLock(), CTVolume.__init__

def count(self, *arguments, **named):
    global most
    build(self, *arguments, **named)
    array = self.hu if self.hu.base is None else self.hu.base
    with lock:
        if id(array) not in alive:
            alive.add(id(array))
            weakref.finalize(array, alive.discard, id(array))
        most = max(most, len(alive))

CTVolume.__init__ = count
try:
    runpy.run_module("app", run_name="__main__")
finally:
    print("MOST VOLUMES", most)
"""


MANY = 12
"""Studies: the third would be too many at one time."""


def studies(count: int, broken: int) -> Make:
    """Small studies, one of which lacks a slice."""

    def one(number: int) -> Make:
        chest = Chest(study=f"1.2.3.{number}", series=f"1.2.3.{number}.1")
        return series(chest=chest, skip={12} if number == broken else ())

    return beside(*map(one, range(count)))


@pytest.mark.slow
def test_many_studies_hold_at_most_two_volumes_and_one_that_is_broken_leaves_the_others(
    tmp_path: Path, quick: Path
) -> None:
    study, counting = tmp_path / "in", tmp_path / "counting.py"
    study.mkdir()
    studies(MANY, broken=4)(study)
    counting.write_text(COUNTING, encoding="utf-8")
    done = run(study, tmp_path / "out", "--settings", str(quick), program=(str(counting),))
    most = re.search(r"MOST VOLUMES (\d+)", done.told)
    assert most is not None
    assert 1 <= int(most[1]) <= 2
    cases = done.result["cases"]
    assert [case["case"] for case in cases] == [f"case-{number:03d}" for number in range(1, MANY + 1)]
    # All but the broken one come as far as the lungs, which the coarse pixels don't show.
    codes = {case["study_instance_uid"]: case["reason"]["code"] for case in cases}
    assert codes == {f"1.2.3.{number}": "GAP" if number == 4 else "NO_LUNGS" for number in range(MANY)}
    assert done.code == ExitCode.ALL_FAILED


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that is refused, before one that is analysed: `a` and `b`."""
    folder = tmp_path_factory.mktemp("phantom") / "in"
    write_small_study(folder / "b")
    series(skip={12})(folder / "a")
    return folder


def wait_for(process: subprocess.Popen[str], words: str) -> None:
    """Read the log until it says that a stage is done."""
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return
    raise AssertionError(f"The log never said '{words}'.")


def seconds_of_cpu(process: subprocess.Popen[str]) -> float:
    """What a process has taken of the processor: /proc/PID/stat, fields 14 and 15, after a name in brackets."""
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def wait_until_it_has_computed(process: subprocess.Popen[str], seconds: float) -> None:
    """Wait until a process has taken so many seconds more of the processor."""
    end = seconds_of_cpu(process) + seconds
    while process.poll() is None and seconds_of_cpu(process) < end:
        time.sleep(0.05)
    assert process.poll() is None


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_in_the_middle_of_a_case_ends_the_run_before_its_stage_does_with_whole_files_only(
    phantom: Path, tmp_path: Path, number: signal.Signals
) -> None:
    # All views on the finest grid: the lungs would take minutes on any machine, and are not waited for.
    endless = write_changed_settings(
        tmp_path / "endless.yaml", device="cpu", selection=QUICK["selection"], lungs={"grid_mm": 1.0}
    )
    process = start(phantom, tmp_path / "out", "--settings", str(endless))
    wait_for(process, "reading slices")  # of the second case: now the lungs are on their way
    wait_until_it_has_computed(process, 1.0)
    process.send_signal(number)
    told, _ = process.communicate(timeout=600)
    assert process.returncode == 128 + number
    assert f"Stopped by {number.name}" in told
    assert "segmenting lungs" not in told
    assert "Traceback" not in told
    # The case that had ended keeps its report; of the one under way, and of the run, nothing appears.
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["case-001.sr.dcm"]


@pytest.mark.slow
def test_a_signal_while_the_program_still_loads_ends_it_too(phantom: Path, tmp_path: Path) -> None:
    process = start(phantom, tmp_path / "out")
    while not (tmp_path / "out").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.terminate()
    process.communicate(timeout=600)
    assert process.returncode == 128 + signal.SIGTERM
    assert list((tmp_path / "out").iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 32 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if not made or made.returncode:
        pytest.skip("no right to mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, leave_bytes: int) -> None:
    """Take all of a disk but so many bytes."""
    free = shutil.disk_usage(disk).free
    (disk / "ballast").write_bytes(bytes(free - leave_bytes))


def test_a_full_disk_is_told_before_anything_is_read(phantom: Path, small_disk: Path) -> None:
    fill(small_disk, 1_000_000)
    done = call(phantom, small_disk / "out")
    assert done.code == ExitCode.USAGE
    assert "need about 4 MB" in done.told
    assert "1.0 MB free" in done.told
    assert done.files == []


def test_a_disk_too_full_for_the_results_is_told_before_the_networks_run(
    phantom: Path, small_disk: Path, quick: Path
) -> None:
    fill(small_disk, 4_500_000)
    done = call(phantom, small_disk / "out", "--settings", str(quick))
    assert done.code == ExitCode.ALL_FAILED
    case = done.result["cases"][1]
    assert (case["status"], case["reason"]["code"]) == ("failed", "DISK_FULL")
    assert "4.5 MB free" in case["reason"]["text"]
    assert "reading slices" in done.told
    assert "segmenting lungs" not in done.told
    assert done.files == ["case-001.sr.dcm", "case-002.sr.dcm", "result.json"]


@pytest.mark.slow
@pytest.mark.parametrize(("left", "code"), [(200_000, ExitCode.ALL_FAILED), (0, ExitCode.USAGE)])
def test_a_disk_that_fills_in_the_middle_fails_the_case_with_nothing_half_written(
    phantom: Path, small_disk: Path, quick: Path, left: int, code: ExitCode
) -> None:
    def fill_after_the_lungs(line: str) -> None:
        if "segmenting lungs" in line:
            fill(small_disk, left)

    done = call(phantom, small_disk / "out", "--settings", str(quick), on_line=fill_after_the_lungs)
    assert done.code == code
    assert "The disk of the output folder is full" in done.told
    assert set(done.files) == {"case-001.sr.dcm"} | ({"case-002.sr.dcm", "result.json"} if left else set())
    if left:
        assert done.result["cases"][1]["reason"]["code"] == "DISK_FULL"


@pytest.mark.slow
def test_a_file_that_may_not_grow_fails_the_case_with_a_reason_and_nothing_half_written(
    phantom: Path, tmp_path: Path, quick: Path
) -> None:
    limited = tmp_path / "limited.py"
    limited.write_text(
        "import resource, runpy, sys\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, {resource.RLIM_INFINITY}))\n"
        "sys.path.insert(0, '.')\n"
        "runpy.run_module('app', run_name='__main__')\n",
        encoding="utf-8",
    )
    done = run(phantom, tmp_path / "out", "--settings", str(quick), program=(str(limited),))
    assert done.code == ExitCode.ALL_FAILED
    reason = done.result["cases"][1]["reason"]
    assert reason["code"] == "OUTPUT_NOT_WRITABLE"
    assert "File too large" in reason["text"]
    assert done.files == ["case-001.sr.dcm", "case-002.sr.dcm", "result.json"]
