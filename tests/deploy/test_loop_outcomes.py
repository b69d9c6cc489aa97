"""What the bridge does with the application's exit codes, with failures and with a destination, and what it tells."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from deploy.orthanc.settings import ROOT
from deploy.orthanc.state import State
from deploy.orthanc.trial import TrialBridge
from tests.app.runs import write_quick_settings
from tests.deploy.loop import (
    RESULTS,
    archive,
    assert_one_set_of_results,
    bridge,
    is_alive,
    need_orthanc,
    series_by_modality,
    small_application,
    write_studies,
)
from validation.conformance.orthanc import Orthanc, free_ports
from validation.phantom.study import write_study
from validation.phantom.thorax import make_thorax

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[list[Path]]:
    return write_studies(tmp_path_factory.mktemp("studies"), 3)


@pytest.fixture
def running() -> Iterator[Orthanc]:
    need_orthanc()
    with archive() as started:
        yield started


def call(trial: TrialBridge, *words: str) -> tuple[int, str]:
    done = subprocess.run(trial.command(*words), cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_application_itself_stores_what_it_finds(running: Orthanc, tmp_path: Path) -> None:
    volume, _ = make_thorax("covid19", slices=30, size=128)
    files = write_study(volume, tmp_path / "study", preset="covid19")
    quick = write_quick_settings(tmp_path / "app.yaml")
    words = ["{python}", "-m", "app", "-i", "{input}", "-o", "{output}", "-m", "models", "--settings", str(quick)]
    with bridge(tmp_path / "bridge", running, application={"command": words}) as trial:
        assert running.store(files) == []
        trial.wait_until_idle(1, 120)
        assert list((tmp_path / "bridge" / "work").iterdir()) == []
    (series,) = series_by_modality(running).values()
    assert [each[0] for each in series if each[0] != "PR"] == ["CT", "OT", "SEG", "SR"]  # boxes only if it found any


def test_a_study_that_fails_is_tried_again_then_given_up_and_analysed_when_asked(
    running: Orthanc, studies: list[list[Path]], tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    failing = {
        "application": small_application("--broken-while", broken),
        "queue": {"attempts": 2, "first_retry_s": 1},
    }
    with bridge(tmp_path / "bridge", running, **failing) as trial:
        assert running.store(studies[0]) == []
        trial.wait_until(lambda: (trial.health() or {}).get("dead") == 1, 30)
        assert [event["attempts"] for event in trial.events("failed")] == [1]
        assert trial.metrics()["groundglass_bridge_failures_total"] == 2
        assert trial.metrics()["groundglass_bridge_dead_letters"] == 1
        code, told = call(trial, "dead-letters")
        assert code == 0
        assert "The application ended with exit code 1." in told
        assert f"{running.url}/app/explorer.html#study?uuid=" in told
        assert "ERROR of the small application" in (tmp_path / "bridge" / "work" / "job-1.log").read_text()
        assert running.store(studies[0]) == []  # again, with nothing new
        trial.wait_until(lambda: trial.events("still_dead_letter"), 30)
        broken.unlink()
        assert call(trial, "retry", "all") == (0, "1 studies are in the queue again.\n")
        trial.wait_until_idle(1, 30)
        assert_one_set_of_results(running, studies[:1])
        check_nothing_of_a_patient(trial, studies[0][0], told)


def check_nothing_of_a_patient(trial: TrialBridge, image: Path, dead_letters: str) -> None:
    """The log has no value of the header and no identifier of Orthanc's; the state is for the bridge's user alone."""
    log = trial.log.read_text(encoding="utf-8")
    header = pydicom.dcmread(image, stop_before_pixels=True)
    identifier = dead_letters.partition("uuid=")[2].split()[0]
    for value in (
        header.PatientID,
        str(header.PatientName),
        header.StudyInstanceUID,
        header.SeriesInstanceUID,
        identifier,
    ):
        assert value
        assert value not in log
    assert trial.state.stat().st_mode & 0o077 == 0
    assert (trial.state.parent / "work").stat().st_mode & 0o077 == 0


def test_a_study_that_can_not_be_analysed_is_final(running: Orthanc, studies: list[list[Path]], tmp_path: Path) -> None:
    with bridge(tmp_path, running, application=small_application("--refuse")) as trial:
        assert running.store(studies[0]) == []
        assert running.store(studies[1][:4]) == []  # too few for the small application
        trial.wait_until_idle(2, 30)
        assert len(trial.events("refused")) == len(trial.events("not_eligible")) == 1
    modalities = sorted([series[0] for series in each] for each in series_by_modality(running).values())
    assert modalities == [["CT"], ["CT", "SR"]]


def test_an_application_that_is_set_up_wrongly_stops_the_bridge_with_a_sentence(
    running: Orthanc, studies: list[list[Path]], tmp_path: Path
) -> None:
    wrong = {"command": ["{python}", "-m", "app", "-i", "{input}", "-o", "{output}", "-m", str(tmp_path / "none")]}
    with bridge(tmp_path, running, application=wrong) as trial:
        assert running.store(studies[0]) == []
        assert trial.process is not None
        assert trial.process.wait(60) == 2
        (event,) = trial.events("application_cannot_run")
        assert "It says: ERROR" in event["reason"]
    job = State(trial.state).take()
    assert job is not None
    assert job.attempts == 0  # the study is not to blame


def test_asked_to_end_it_ends_its_application_and_does_the_case_again(
    running: Orthanc, studies: list[list[Path]], tmp_path: Path
) -> None:
    gate = tmp_path / "closed"
    gate.touch()
    once = {"application": small_application("--wait-while", gate), "queue": {"attempts": 1}}
    with bridge(tmp_path / "bridge", running, **once) as trial:
        assert running.store(studies[0]) == []
        trial.wait_until(lambda: is_alive(str(tmp_path / "bridge" / "work")), 30)
        assert call(trial) == (2, "Another bridge works with this state folder. Give each its own.\n")
        assert trial.stop() == 0
        assert not is_alive(str(tmp_path / "bridge" / "work"))
        gate.unlink()
        trial.start()
        trial.wait_until_idle(1, 30)
    assert_one_set_of_results(running, studies[:1])


def test_a_destination_that_takes_longer_than_orthanc_may_gets_its_results_at_the_first_attempt(
    studies: list[list[Path]], tmp_path: Path
) -> None:
    need_orthanc()
    received = tmp_path / "received"
    received.mkdir()
    (port,) = free_ports(1)
    slow = ["storescp", "--sleep-during", "2", "--output-directory", str(received), str(port)]
    modality = {"slow": ["SLOW", "127.0.0.1", port]}
    senders = {"DCMSEND": ["DCMSEND", "127.0.0.1", 104]}
    destination = subprocess.Popen(slow)
    try:
        with (
            archive(DicomModalities=senders | modality) as running,
            bridge(tmp_path / "bridge", running, destination="slow", orthanc={"timeout_s": 1}) as trial,
        ):
            assert running.store(studies[0]) == []
            trial.wait_until_idle(1, 60)
            assert not trial.events("failed")
            assert len(list(received.iterdir())) == sum(RESULTS.values())
            assert trial.metrics()['groundglass_bridge_stage_seconds_sum{stage="send"}'] > 2 * sum(RESULTS.values()) - 1
            trial.stop()
    finally:
        destination.kill()
        destination.wait()


def test_results_are_sent_on_and_a_destination_that_is_down_costs_no_second_analysis(
    studies: list[list[Path]], tmp_path: Path
) -> None:
    need_orthanc()
    with archive(DicomAlwaysAllowStore=True, DicomCheckModalityHost=False, DicomAet="PACS") as pacs:
        modality = {"pacs": {"AET": "PACS", "Host": "127.0.0.1", "Port": pacs.dicom_port}}
        pacs.kill()
        senders = {name: {"AET": name, "Host": "127.0.0.1", "Port": 104} for name in ("DCMSEND",)}
        settings = {"destination": "pacs", "queue": {"first_retry_s": 1}}
        with archive(DicomModalities=senders | modality) as running, bridge(tmp_path, running, **settings) as trial:
            assert running.store(studies[0]) == []
            trial.wait_until(lambda: trial.events("failed"), 30)
            pacs.start()
            trial.wait_until_idle(1, 60)
            assert trial.metrics()['groundglass_bridge_stage_seconds_count{stage="application"}'] == 1
            assert trial.events("sent_on")
            (series,) = series_by_modality(pacs).values()
            assert [each[0] for each in series] == ["OT", "SR"]
            trial.stop()
