"""Whatever fails, in the end every study has one set of results: nothing is lost and nothing is there twice."""

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyorthanc import Orthanc as Client

from conformance.orthanc import SENDERS, Orthanc
from deploy.orthanc.settings import ROOT
from deploy.orthanc.trial import TrialBridge
from tests.deploy.loop import (
    Orders,
    archive,
    assert_one_set_of_results,
    bridge,
    delete_studies,
    is_alive,
    need_orthanc,
    orthanc_id,
    series_by_study,
    small_application,
    wait_for,
    write_studies,
)

pytestmark = pytest.mark.slow

STUDIES = 6


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[list[Path]]:
    need_orthanc()
    return write_studies(tmp_path_factory.mktemp("studies"), STUDIES)


@pytest.fixture(scope="module")
def orthanc() -> Iterator[Orthanc]:
    need_orthanc()
    with archive() as started:
        yield started


@pytest.fixture
def running(orthanc: Orthanc) -> Orthanc:
    """Orthanc without any study."""
    delete_studies(orthanc)
    return orthanc


@pytest.fixture
def orders(tmp_path: Path) -> Orders:
    return Orders(tmp_path / "orders")


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


def test_studies_of_two_senders_get_through_a_queue_that_is_full(
    running: Orthanc, studies: list[list[Path]], orders: Orders, tmp_path: Path
) -> None:
    # Two are worked on and two wait; a page tells of two stable studies at most, so that Orthanc has to keep the last.
    full = {"queue": {"maximum": 2, "workers": 2}, "changes": {"page": 5}}
    for files in studies:
        orders.give("hold", files)
    with bridge(tmp_path / "bridge", running, application=small_application(orders), **full) as trial:
        send_from_two_at_once(running, studies)
        trial.wait_until(
            lambda: (
                (trial.health() or {}).get("status") == "queue full"
                and sum(orders.holds(files) for files in studies) == 2
                and trial.position() < trial.last_change()
            )
        )
        assert trial.metrics()["groundglass_bridge_queue_oldest_seconds"] > 0
        for files in studies:
            orders.withdraw("hold", files)
        trial.wait_until_idle(STUDIES)
        assert (trial.health() or {})["status"] == "ok"
        assert runs(trial) == STUDIES
        assert trial.metrics()['groundglass_bridge_studies_total{outcome="analysed"}'] == STUDIES
        assert trial.stop() == 0
    assert_one_set_of_results(running, studies)


def test_the_bridge_is_killed_again_and_again_in_the_middle_of_cases_and_takes_its_application_with_it(
    running: Orthanc, studies: list[list[Path]], orders: Orders, tmp_path: Path
) -> None:
    left = studies[:4]
    for files in left:
        orders.give("hold", files)

    def held() -> list[list[Path]]:
        return [files for files in left if orders.holds(files)]

    with bridge(tmp_path / "bridge", running, application=small_application(orders)) as trial:
        send_from_two_at_once(running, left)
        for _ in range(2):
            trial.wait_until(held)
            trial.kill()
            wait_for(lambda: not is_alive(str(tmp_path / "bridge" / "work")), "the application goes on without it")
            for files in held():
                orders.forget_held(files)
            trial.start()
            trial.wait_until(held)
            orders.withdraw("hold", held()[0])
        trial.kill()  # wherever it is now
        trial.start()
        for files in left:
            orders.withdraw("hold", files)
        trial.wait_until_idle(len(left))
        assert sum(event["interrupted"] for event in trial.events("started")) >= 2
    assert_one_set_of_results(running, left)


def test_orthanc_is_killed_in_the_middle_of_a_case_and_before_a_study_is_stable(
    studies: list[list[Path]], orders: Orders, tmp_path: Path
) -> None:
    orders.give("hold", studies[0])
    settings = {"application": small_application(orders), "changes": {"settle_s": 2}}
    need_orthanc()
    # Killed or not, this Orthanc never calls a study stable in time.
    with archive(StableAge=100_000) as running, bridge(tmp_path / "bridge", running, **settings) as trial:
        assert running.store(studies[0]) == []
        trial.wait_until(lambda: orders.holds(studies[0]))
        assert running.store(studies[1]) == []
        running.kill()
        trial.wait_until(lambda: (trial.health() or {}).get("status") == "waiting for Orthanc")
        assert trial.metrics()["groundglass_bridge_orthanc_up"] == 0
        orders.withdraw("hold", studies[0])  # the case ends, and can't be stored
        trial.wait_until(lambda: (trial.health() or {}).get("running") == 0)
        running.start()
        trial.wait_until_idle(2)
        assert trial.metrics()["groundglass_bridge_failures_total"] == 0  # the studies are not to blame
        assert_one_set_of_results(running, studies[:2])


def test_an_archive_whose_newest_study_was_deleted_is_not_taken_for_another_one(
    running: Orthanc, studies: list[list[Path]], tmp_path: Path
) -> None:
    client = Client(running.url, trust_env=False)
    assert running.store(studies[0]) == []
    told = {"StableSeries", "StableStudy", "StablePatient"}

    def all_told() -> bool:
        changes = client.get_changes(params={"limit": 100_000})["Changes"]
        return told <= {change["ChangeType"] for change in changes}

    wait_for(all_told, "Orthanc does not call the study stable")  # before the bridge is there
    with bridge(tmp_path, running) as trial:
        assert running.store(studies[1]) == []
        trial.wait_until_idle(1)
        delete_studies(running, orthanc_id(studies[1]))
        trial.stop()
        trial.start()
        assert running.store(studies[2]) == []
        trial.wait_until_idle(2)
        assert trial.events("orthanc_was_replaced") == []
    assert sum(len(series) > 1 for series in series_by_study(running).values()) == 1


def test_asked_to_end_it_ends_its_application_and_does_the_case_again(
    running: Orthanc, studies: list[list[Path]], orders: Orders, tmp_path: Path
) -> None:
    orders.give("hold", studies[0])
    once = {"application": small_application(orders), "queue": {"attempts": 1}}
    with bridge(tmp_path / "bridge", running, **once) as trial:
        assert running.store(studies[0]) == []
        trial.wait_until(lambda: orders.holds(studies[0]))
        second = subprocess.run(trial.command(), cwd=ROOT, capture_output=True, text=True, check=False)
        assert second.returncode == 2
        assert second.stdout + second.stderr == "Another bridge works with this state folder. Give each its own.\n"
        assert trial.stop() == 0
        assert not is_alive(str(tmp_path / "bridge" / "work"))
        orders.withdraw("hold", studies[0])
        trial.start()
        trial.wait_until_idle(1)
    assert_one_set_of_results(running, studies[:1])
