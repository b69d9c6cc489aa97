"""Nothing of a patient leaves the outputs, nothing leaves the machine, and nothing is written elsewhere."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from groundglass.dicomio.reading.attributes import quiet_pydicom
from groundglass.exit_codes import ExitCode
from tests.app.runs import Run, call, run, write_small_study
from tests.bad_input.case import beside, every, series
from tests.bad_input.series import Chest, set_raw

PLANTED = re.compile("planted|18990203|99887766|224433", re.IGNORECASE)
"""In names, identifiers and descriptions; in dates; in UIDs; in times."""

WATCHING = """
# Tells of every attempt to reach a network, and of every file opened to be written; forbids the former.
import os, sys

LOG = os.environ["WATCHED"]

def watch(event, arguments):
    if event.startswith("socket.") and event not in ("socket.__new__", "socket.gethostname"):
        told = f"{event} {arguments[1:]}"
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
        told = f"open {arguments[0]}"
    elif event == "subprocess.Popen" or event == "os.system":
        told = f"{event} {arguments[0]}"
    else:
        return
    if LOG not in told:
        descriptor = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, (told + "\\n").encode("utf-8", "backslashreplace"))
        os.close(descriptor)
    if event.startswith("socket."):
        raise PermissionError("no network in this test")

sys.addaudithook(watch)
"""


TEXTS = [
    "PatientName",
    "PatientID",
    "OtherPatientIDs",
    "AccessionNumber",
    "StudyDescription",
    "StudyID",
    "SeriesDescription",
    "ReferringPhysicianName",
    "InstitutionName",
    "OperatorsName",
    "StationName",
    "PatientComments",
    "ProtocolName",
    "ImageComments",
    "DeviceSerialNumber",
    "Manufacturer",
]


def plant(image: Dataset) -> None:
    """Values to look for, in every attribute that may hold something of a patient."""
    for keyword in TEXTS:
        set_raw(image, keyword, f"Planted{keyword}"[:15])
    for keyword in ("PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
        set_raw(image, keyword, "18990203")
    for keyword in ("StudyTime", "SeriesTime", "ContentTime"):
        set_raw(image, keyword, "224433")
    private = image.private_block(0x0009, "PLANTED CREATOR", create=True)
    private.add_new(1, "LO", "planted private")
    private.add_new(2, "UT", "planted private text" * 20)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        set_raw(image, keyword, f"1.2.99887766.{str(image[keyword].value)[-20:].lstrip('0.')}")


def broken(image: Dataset, index: int) -> None:
    """Values that no attribute may have, each with something to look for; pydicom quotes such values."""
    every(
        PatientBirthDate="PLANTED DAY", StudyTime="planted time", PatientSex="planted sex", PatientAge="planted age",
        SliceThickness="planted", InstanceNumber="planted", SpecificCharacterSet="PLANTED_SET", PatientWeight="planted",
        WindowCenter="planted", StudyInstanceUID="planted/../uid", ImageComments="planted\x1b[2J\n",
    )(image, index)  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One study that is analysed, several broken ones, and strangers whose very names tell of a patient."""
    folder = tmp_path_factory.mktemp("PLANTED-patient") / "planted in"
    with quiet_pydicom():
        for path in write_small_study(folder / "good"):
            image = dcmread(path)
            plant(image)
            image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
            image.save_as(path)
        beside(
            series(broken),
            series(
                every(PatientName="Planted"), skip={12}, chest=Chest(study="1.2.99887766.7", series="1.2.99887766.8")
            ),
            series(
                every(ImagePositionPatient="planted"), chest=Chest(study="1.2.99887766.9", series="1.2.99887766.10")
            ),
            series(every(Modality="PLANTED"), chest=Chest(study="1.2.99887766.11", series="1.2.99887766.12")),
            series(every(RescaleSlope="planted"), chest=Chest(study="1.2.99887766.13", series="1.2.99887766.14")),
        )(folder)
    (folder / "Planted^Name.txt").write_text("planted", encoding="utf-8")
    (folder / "planted.dcm").write_bytes(bytes(128) + b"DICM" + b"planted" * 99)
    return folder


NO_NETWORK = ("unshare", "--net")


def can_forgo_network() -> bool:
    """Whether a program can be run here without a network."""
    return bool(
        shutil.which("unshare")
        and not subprocess.run([*NO_NETWORK, "true"], capture_output=True, check=False).returncode
    )


@dataclass(frozen=True)
class Watched:
    """A run, what it tried of the network and wrote, and the folders that it may have left something in."""

    run: Run
    events: list[str]
    around: Path
    without_network: bool


@pytest.fixture(scope="module")
def watched(study: Path, quick: Path, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """At DEBUG, which tells all that other levels tell and more; without any network, where that can be had."""
    around = tmp_path_factory.mktemp("around")
    for name in ("home", "tmp", "work", "site"):
        (around / name).mkdir()
    (around / "site" / "sitecustomize.py").write_text(WATCHING, encoding="utf-8")
    launcher = around / "launcher.py"
    launcher.write_text(
        f"import os, sys\nos.execvp('unshare', [*{NO_NETWORK!r}, sys.executable, '-m', 'app', *sys.argv[1:]])\n",
        encoding="utf-8",
    )
    without_network = can_forgo_network()
    done = run(
        study, study.parent / "out", "--settings", str(quick), "-l", "DEBUG", "-w", str(around / "work"),
        program=(str(launcher),) if without_network else ("-m", "app"),
        HOME=str(around / "home"), TMPDIR=str(around / "tmp"), XDG_CACHE_HOME=str(around / "home"),
        PYTHONPATH=str(around / "site"), WATCHED=str(around / "events"),
    )  # fmt: skip
    events = (around / "events").read_text(encoding="utf-8").splitlines()
    return Watched(done, events, around, without_network)


@pytest.mark.slow
def test_the_planted_study_is_analysed_and_the_broken_ones_are_refused(watched: Watched) -> None:
    assert watched.run.code == ExitCode.PARTIAL
    codes = sorted(item["reason"]["code"] if item["reason"] else "" for item in watched.run.result["cases"])
    assert codes == ["", "GAP", "MISSING_GEOMETRY", "NO_LUNGS", "NO_RESCALE"]
    assert any(PLANTED.search(path.read_bytes().decode("latin-1")) for path in watched.run.out.glob("*.dcm"))


@pytest.mark.slow
def test_nothing_of_a_patient_is_told_at_any_level(watched: Watched) -> None:
    assert "analysed" in watched.run.told
    assert [line for line in watched.run.told.splitlines() if PLANTED.search(line)] == []


@pytest.mark.slow
def test_no_file_of_the_results_is_named_after_a_patient_or_open_to_everyone(watched: Watched) -> None:
    assert [name for name in watched.run.files if PLANTED.search(name)] == []
    assert {path.stat().st_mode & 0o777 for path in watched.run.out.iterdir()} == {0o640}


@pytest.mark.slow
def test_the_preview_holds_no_text_of_a_patient(watched: Watched) -> None:
    for path in watched.run.out.glob("*.png"):
        assert not PLANTED.search(path.read_bytes().decode("latin-1"))


@pytest.mark.slow
def test_nothing_is_left_behind_outside_the_results(watched: Watched) -> None:
    left = [path for name in ("home", "tmp", "work") for path in (watched.around / name).rglob("*") if path.is_file()]
    for path in left:
        assert not PLANTED.search(path.name + path.read_bytes().decode("latin-1")), path.name


@pytest.mark.slow
def test_only_the_output_folder_is_written_to_and_caches_of_libraries(watched: Watched) -> None:
    written = [event.removeprefix("open ") for event in watched.events if event.startswith("open ")]
    assert any(path.startswith(str(watched.run.out)) for path in written)
    allowed = (str(watched.run.out), str(watched.around / "home"), "/dev/null", "__pycache__")
    elsewhere = [path for path in written if not any(part in path for part in allowed)]
    assert [path for path in elsewhere if not path.isdigit()] == []  # a number is of a file that is open already
    # Libraries ask the machine, as they are imported, where its own libraries and fonts are.
    started = {event for event in watched.events if event.startswith(("subprocess", "os.system"))}
    assert started <= {"subprocess.Popen /sbin/ldconfig", "subprocess.Popen fc-list"}


@pytest.mark.slow
def test_no_network_is_tried(watched: Watched) -> None:
    tried = {event for event in watched.events if event.startswith("socket.")}
    # A library that comes with the graph's framework tries at its import whether the machine has IPv6: nothing listens.
    assert tried <= {"socket.bind (('::1', 0),)"}


def test_the_watch_sees_a_network(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WATCHING, encoding="utf-8")
    code = "import socket; socket.create_connection(('127.0.0.1', 9))"
    environment = {"PYTHONPATH": str(tmp_path), "WATCHED": str(tmp_path / "events")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert b"no network in this test" in done.stderr
    assert "socket." in (tmp_path / "events").read_text(encoding="utf-8")


@pytest.mark.slow
def test_it_runs_where_there_is_no_network_at_all(watched: Watched) -> None:
    if not watched.without_network:
        pytest.skip("no right to run a program without a network")
    assert watched.run.code == ExitCode.PARTIAL


def test_a_path_in_a_uid_leads_nowhere(tmp_path: Path) -> None:
    escape = f"{tmp_path}/escaped"
    study = tmp_path / "in"
    study.mkdir()
    uids = {"StudyInstanceUID": escape, "SeriesInstanceUID": f"../../{escape}", "FrameOfReferenceUID": "/etc/passwd"}
    with quiet_pydicom():
        series(every(**uids, SOPInstanceUID=lambda index: f"../{index}"), skip={12})(study)
    before = sorted(path.name for path in tmp_path.iterdir())
    done = call(study, tmp_path / "out")
    assert done.code == ExitCode.ALL_FAILED
    assert done.files == ["case-001.sr.dcm", "result.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, "out"])
