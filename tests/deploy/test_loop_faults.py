"""Whatever fails, in the end every study has one set of results: nothing is lost and nothing is there twice."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pyorthanc import Orthanc as Client

from deploy.orthanc.trial import TrialBridge
from tests.deploy.loop import (
    STABLE_AGE_S,
    archive,
    assert_one_set_of_results,
    bridge,
    is_alive,
    need_orthanc,
    series_by_modality,
    small_application,
    write_studies,
)
from validation.conformance.orthanc import SENDERS, Orthanc

pytestmark = pytest.mark.slow

STUDIES = 20


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[list[Path]]:
    need_orthanc()
    return write_studies(tmp_path_factory.mktemp("studies"), STUDIES)


@pytest.fixture
def running() -> Iterator[Orthanc]:
    need_orthanc()
    with archive() as started:
        yield started


def send_from_two_at_once(running: Orthanc, studies: list[list[Path]]) -> None:
    errors: list[str] = []

    def send(sender: str, mine: list[list[Path]]) -> None:
        for files in mine:
            errors.extend(running.store(files, sender))

    threads = [
        threading.Thread(target=send, args=(sender, studies[number::2])) for number, sender in enumerate(SENDERS[1:3])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def runs(trial: TrialBridge) -> int:
    """How often a study was analysed."""
    return len(trial.events("analysed"))


def delete_studies(running: Orthanc, study_instance_uid: str = "") -> None:
    """Delete one study, or all of them."""
    client = Client(running.url, trust_env=False)
    for study in client.get_studies():
        if study_instance_uid in ("", client.get_studies_id(study)["MainDicomTags"]["StudyInstanceUID"]):
            client.delete_studies_id(study)


def test_studies_of_two_senders_get_through_a_queue_that_is_full(
    running: Orthanc, studies: list[list[Path]], tmp_path: Path
) -> None:
    gate = tmp_path / "closed"
    gate.touch()
    full = {"queue": {"maximum": 3, "workers": 2}, "changes": {"page": 50}}
    with bridge(tmp_path, running, application=small_application("--wait-while", gate), **full) as trial:
        send_from_two_at_once(running, studies)
        trial.wait_until(lambda: (trial.health() or {}).get("status") == "queue full", 30)
        assert trial.metrics()["groundglass_bridge_queue_oldest_seconds"] > 0
        gate.unlink()
        trial.wait_until_idle(STUDIES, 90)
        assert (trial.health() or {})["status"] == "ok"
        assert runs(trial) == STUDIES
        assert trial.metrics()['groundglass_bridge_studies_total{outcome="analysed"}'] == STUDIES
        assert trial.stop() == 0
    assert_one_set_of_results(running, studies)


def test_the_bridge_is_killed_again_and_again_in_the_middle_of_cases(
    running: Orthanc, studies: list[list[Path]], tmp_path: Path
) -> None:
    with bridge(tmp_path, running, application=small_application("--seconds", 1)) as trial:
        send_from_two_at_once(running, studies[:6])
        for done in range(3):
            trial.wait_until(lambda: (trial.health() or {}).get("running") == 1 and runs(trial) >= done, 30)  # noqa: B023
            time.sleep(0.3 * done)  # elsewhere in the case
            trial.kill()
            trial.start()
        trial.wait_until_idle(6, 60)
        assert sum(event["interrupted"] for event in trial.events("started")) >= 2
    assert_one_set_of_results(running, studies[:6])


def test_a_killed_bridge_takes_its_application_with_it(
    running: Orthanc, studies: list[list[Path]], tmp_path: Path
) -> None:
    with bridge(tmp_path, running, application=small_application("--seconds", 60)) as trial:
        assert running.store(studies[0]) == []
        trial.wait_until(lambda: is_alive(str(tmp_path / "work")), 30)
        trial.kill()
    deadline = time.monotonic() + 5
    while is_alive(str(tmp_path / "work")):
        assert time.monotonic() < deadline, "the application goes on without its bridge"
        time.sleep(0.1)


def test_orthanc_is_killed_in_the_middle_of_a_case_and_before_a_study_is_stable(
    running: Orthanc, studies: list[list[Path]], tmp_path: Path
) -> None:
    slow = {"application": small_application("--seconds", 3), "changes": {"settle_s": 4}}
    with bridge(tmp_path, running, **slow) as trial:
        assert running.store(studies[0]) == []
        trial.wait_until(lambda: (trial.health() or {}).get("running") == 1, 30)
        assert running.store(studies[1]) == []  # Orthanc will never call it stable
        running.kill()
        trial.wait_until(lambda: (trial.health() or {}).get("status") == "waiting for Orthanc", 30)
        assert trial.metrics()["groundglass_bridge_orthanc_up"] == 0
        time.sleep(3)  # the case ends meanwhile, and can't be stored
        running.start()
        trial.wait_until_idle(2, 60)
        assert trial.metrics()["groundglass_bridge_failures_total"] == 0  # the studies are not to blame
    assert_one_set_of_results(running, studies[:2])


def test_a_study_that_is_sent_twice_changes_nothing(
    running: Orthanc, studies: list[list[Path]], tmp_path: Path
) -> None:
    with bridge(tmp_path, running) as trial:
        assert running.store(studies[0]) == []
        trial.wait_until_idle(1, 30)
        assert running.store(studies[0], SENDERS[1]) == []
        trial.wait_until(lambda: (trial.health() or {}).get("receiving") == 1, 30)  # this Orthanc stores them again
        trial.wait_until_idle(1, 30)
        assert runs(trial) == 1
        assert_one_set_of_results(running, studies[:1])


def test_slices_that_arrive_late_replace_the_results(
    running: Orthanc, studies: list[list[Path]], tmp_path: Path
) -> None:
    with bridge(tmp_path, running) as trial:
        assert running.store(studies[0][:-3]) == []
        trial.wait_until_idle(1, 30)
        (series,) = series_by_modality(running).values()
        assert ("SR", "7 images", 1) in series
        assert running.store(studies[0][-3:]) == []
        trial.wait_until(lambda: runs(trial) == 2, 30)
        trial.wait_until_idle(1, 30)
        assert trial.events("former_results_deleted")[0]["series"] == 2
    assert_one_set_of_results(running, studies[:1])


def test_slices_that_arrive_during_the_run_keep_its_results_from_being_stored(
    running: Orthanc, studies: list[list[Path]], tmp_path: Path
) -> None:
    with bridge(tmp_path, running, application=small_application("--seconds", 2)) as trial:
        assert running.store(studies[0][:-3]) == []
        trial.wait_until(lambda: (trial.health() or {}).get("running") == 1, 30)
        assert running.store(studies[0][-3:]) == []
        trial.wait_until_idle(1, 30)
        assert len(trial.events("images_changed")) == 1
        assert runs(trial) == 1
    assert_one_set_of_results(running, studies[:1])


def test_a_study_that_was_deleted_and_sent_again_has_its_results_again(
    running: Orthanc, studies: list[list[Path]], tmp_path: Path
) -> None:
    with bridge(tmp_path, running) as trial:
        assert running.store(studies[0]) == []
        trial.wait_until_idle(1, 30)
        delete_studies(running)
        assert running.store(studies[0]) == []
        trial.wait_until(lambda: runs(trial) == 2, 30)
        trial.wait_until_idle(1, 30)
        assert_one_set_of_results(running, studies[:1])


def test_the_same_images_under_two_patient_ids_keep_their_results_apart(
    running: Orthanc, studies: list[list[Path]], tmp_path: Path
) -> None:
    corrected = []
    for path in studies[0]:
        image = pydicom.dcmread(path)
        image.PatientID = "corrected"
        corrected.append(tmp_path / path.name)
        image.save_as(corrected[-1])
    with bridge(tmp_path / "bridge", running) as trial:
        for files in (studies[0][:-3], corrected[:-3]):
            assert running.store(files) == []
        trial.wait_until_idle(2, 30)
        assert running.store(corrected[-3:]) == []
        trial.wait_until(lambda: runs(trial) == 3, 30)
        trial.wait_until_idle(2, 30)
    client = Client(running.url, trust_env=False)
    found = [
        sorted(each["MainDicomTags"].get("SeriesDescription", "") for each in client.get_studies_id_series(study))
        for study in client.get_studies()
    ]
    results = sorted([text for text in each if text.endswith("images")] for each in found)
    assert results == [["10 images", "10 images"], ["7 images", "7 images"]]


def test_an_archive_whose_newest_study_was_deleted_is_not_taken_for_another_one(
    running: Orthanc, studies: list[list[Path]], tmp_path: Path
) -> None:
    assert running.store(studies[0]) == []
    time.sleep(STABLE_AGE_S + 1)  # all that Orthanc tells of it is told before the bridge is there
    with bridge(tmp_path, running) as trial:
        assert running.store(studies[1]) == []
        trial.wait_until_idle(1, 30)
        delete_studies(running, pydicom.dcmread(studies[1][0], stop_before_pixels=True).StudyInstanceUID)
        trial.stop()
        trial.start()
        assert running.store(studies[2]) == []
        trial.wait_until_idle(2, 30)
        assert trial.events("orthanc_was_replaced") == []
    assert sum(len(series) > 1 for series in series_by_modality(running).values()) == 1
