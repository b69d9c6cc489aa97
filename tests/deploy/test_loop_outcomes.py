"""What the bridge does with what senders do, with the application's exit codes and with a destination."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest

from conformance.orthanc import SENDERS, Orthanc, free_ports
from deploy.orthanc.settings import ROOT
from deploy.orthanc.state import State
from deploy.orthanc.trial import TrialBridge
from groundglass.changed_settings import ONE_SLICE_EXPLAINED, write_changed_settings
from groundglass.phantom.study import write_study
from groundglass.phantom.thorax import make_thorax
from tests.deploy.loop import (
    HANGS_S,
    RESULTS,
    Orders,
    Series,
    archive,
    assert_one_set,
    bridge,
    delete_studies,
    header,
    need_orthanc,
    orthanc_id,
    series_by_study,
    small_application,
    write_studies,
)

pytestmark = pytest.mark.slow

STUDIES = ("twice", "late", "during", "deleted", "renamed", "refused", "few", "failing")
SLICES_LATER = 3


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    need_orthanc()
    folder = tmp_path_factory.mktemp("studies")
    made = dict(zip(STUDIES, write_studies(folder, len(STUDIES)), strict=True))
    corrected = folder / "corrected"
    corrected.mkdir()
    for path in made["renamed"]:
        image = pydicom.dcmread(path)
        image.PatientID = "corrected"
        image.save_as(corrected / path.name)
    return made | {"corrected": sorted(corrected.iterdir())}


@pytest.fixture(scope="module")
def destination_port() -> int:
    (port,) = free_ports(1)
    return port


@pytest.fixture(scope="module")
def orthanc(destination_port: int) -> Iterator[Orthanc]:
    need_orthanc()
    senders = {name: {"AET": name, "Host": "127.0.0.1", "Port": 104, "AllowStore": True} for name in SENDERS}
    destination = {"pacs": {"AET": "PACS", "Host": "127.0.0.1", "Port": destination_port}}
    with archive(DicomModalities=senders | destination) as started:
        yield started


@pytest.fixture
def running(orthanc: Orthanc) -> Orthanc:
    """Orthanc without any study."""
    delete_studies(orthanc)
    return orthanc


def call(trial: TrialBridge, *words: str) -> tuple[int, str]:
    done = subprocess.run(trial.command(*words), cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@dataclass(frozen=True)
class Day:
    """What was to be seen of a bridge to which many things happened.

    Attributes:
        first: the series of each study, by its name, when all was done that could be done.
        last: and when images had been sent again, or later, and the application's defect was mended.
        changes_twice: the number of Orthanc's last change before and after a study was sent again.
        dead_letters: what the command of this name told when there was one.
        application_log: what the bridge had kept of the failing application.
        failed: metrics while there was a dead letter.
        retried: what the command `retry all` told.
        folder: of the bridge.
    """

    trial: TrialBridge
    url: str
    first: dict[str, Series]
    last: dict[str, Series]
    changes_twice: tuple[int, int]
    dead_letters: tuple[int, str]
    application_log: str
    failed: dict[str, float]
    retried: tuple[int, str]
    folder: Path
    jobs: dict[str, int]

    def events(self, study: str, name: str) -> list[dict[str, Any]]:
        """The lines of the log that are about one study."""
        return [event for event in self.trial.events(name) if event.get("job") == self.jobs[study]]


@pytest.fixture(scope="module")
def day(orthanc: Orthanc, studies: dict[str, list[Path]], tmp_path_factory: pytest.TempPathFactory) -> Day:
    """One bridge, and all that can happen to studies one beside the other."""
    folder = tmp_path_factory.mktemp("day")
    delete_studies(orthanc)
    orders = Orders(folder / "orders")
    settings = {
        "application": small_application(orders),
        "queue": {"attempts": 2, "first_retry_s": 0.2, "workers": 2},
        "changes": {"settle_s": 5},  # a dead letter whose images are sent again waits as long
    }
    names = {orthanc_id(files): study for study, files in studies.items()}

    def series() -> dict[str, Series]:
        return {names[name]: each for name, each in series_by_study(orthanc).items()}

    def store(*files: Path, sender: str = SENDERS[0]) -> None:
        assert orthanc.store(files, sender) == []

    with bridge(folder / "bridge", orthanc, **settings) as trial:
        orders.give("hold", studies["during"])
        orders.give("refuse", studies["refused"])
        orders.give("fail", studies["failing"])
        store(*studies["during"][:-SLICES_LATER])
        for study in ("twice", "deleted", "refused", "failing"):
            store(*studies[study])
        for study in ("late", "renamed", "corrected"):
            store(*studies[study][:-SLICES_LATER])
        store(*studies["few"][:4])  # too few for the small application
        trial.wait_until(lambda: orders.holds(studies["during"]))
        store(*studies["during"][-SLICES_LATER:])
        orders.withdraw("hold", studies["during"])
        trial.wait_until(lambda: (trial.health() or {}).get("dead") == 1)
        trial.wait_until_idle(len(studies) - 1)
        first, failed, dead_letters = series(), trial.metrics(), call(trial, "dead-letters")
        state = State(trial.state)
        jobs = {names[state.study_of(job) or ""]: job for job in range(1, len(studies) + 1)}
        state.close()
        application_log = (folder / "bridge" / "work" / f"job-{jobs['failing']}.log").read_text()

        before = trial.last_change()
        store(*studies["twice"], sender=SENDERS[1])
        changes_twice = before, trial.last_change()
        delete_studies(orthanc, orthanc_id(studies["deleted"]))
        store(*studies["deleted"], *studies["failing"])
        store(*studies["late"][-SLICES_LATER:], *studies["corrected"][-SLICES_LATER:])
        trial.wait_until(lambda: trial.events("still_dead_letter"))
        trial.wait_until_idle(len(studies) - 1)
        orders.withdraw("fail", studies["failing"])
        retried = call(trial, "retry", "all")
        trial.wait_until_idle(len(studies))
        return Day(
            trial,
            orthanc.url,
            first,
            series(),
            changes_twice,
            dead_letters,
            application_log,
            failed,
            retried,
            folder / "bridge",
            jobs,
        )


def test_a_study_that_is_sent_twice_changes_nothing(day: Day) -> None:
    assert day.changes_twice[1] > day.changes_twice[0]  # this Orthanc stores them again
    assert len(day.events("twice", "analysed")) == 1
    assert_one_set(day.first["twice"], 10)
    assert day.last["twice"] == day.first["twice"]


def test_slices_that_arrive_late_replace_the_results(day: Day) -> None:
    assert_one_set(day.first["late"], 7)
    assert_one_set(day.last["late"], 10)
    assert len(day.events("late", "analysed")) == 2
    assert day.events("late", "former_results_deleted")[0]["series"] == 2


def test_slices_that_arrive_during_the_run_keep_its_results_from_being_stored(day: Day) -> None:
    assert len(day.events("during", "images_changed")) == 1
    assert len(day.events("during", "analysed")) == 1
    assert_one_set(day.first["during"], 10)


def test_a_study_that_was_deleted_and_sent_again_has_its_results_again(day: Day) -> None:
    assert len(day.events("deleted", "analysed")) == 2
    assert_one_set(day.last["deleted"], 10)


def test_the_same_images_under_two_patient_ids_keep_their_results_apart(day: Day) -> None:
    for study in ("renamed", "corrected"):
        assert_one_set(day.first[study], 7)
    assert_one_set(day.last["renamed"], 7)
    assert_one_set(day.last["corrected"], 10)


def test_a_study_that_can_not_be_analysed_is_final(day: Day) -> None:
    assert [event["job"] for event in day.trial.events("refused")] == [day.jobs["refused"]]
    assert [event["job"] for event in day.trial.events("not_eligible")] == [day.jobs["few"]]
    assert [modality for modality, _, _ in day.last["refused"]] == ["CT", "SR"]
    assert [modality for modality, _, _ in day.last["few"]] == ["CT"]


def test_a_study_that_fails_is_tried_again_then_given_up_and_analysed_when_asked(day: Day) -> None:
    assert [(event["job"], event["attempts"]) for event in day.trial.events("failed")] == [(day.jobs["failing"], 1)]
    assert day.failed["groundglass_bridge_failures_total"] == 2
    assert day.failed["groundglass_bridge_dead_letters"] == 1
    code, told = day.dead_letters
    assert code == 0
    assert "The application ended with exit code 1." in told
    assert f"{day.url}/app/explorer.html#study?uuid=" in told
    assert "ERROR of the small application" in day.application_log
    assert [modality for modality, _, _ in day.first["failing"]] == ["CT"]
    assert day.events("failing", "still_dead_letter")  # sent again, with nothing new
    assert day.retried == (0, "1 studies are in the queue again.\n")
    assert_one_set(day.last["failing"], 10)


def test_nothing_that_the_bridge_tells_is_of_a_patient(day: Day, studies: dict[str, list[Path]]) -> None:
    """The log has no value of the header and no identifier of Orthanc's; the state is for the bridge's user alone."""
    log = day.trial.log.read_text(encoding="utf-8")
    for files in studies.values():
        image = header(files)
        values = image.PatientID, str(image.PatientName), image.StudyInstanceUID, image.SeriesInstanceUID
        for value in (*values, orthanc_id(files)):
            assert value
            assert value not in log
    assert day.trial.state.stat().st_mode & 0o077 == 0
    assert (day.folder / "work").stat().st_mode & 0o077 == 0


def test_the_application_set_up_wrongly_stops_the_bridge_with_a_sentence_and_set_up_well_stores_what_it_finds(
    running: Orthanc, tmp_path: Path
) -> None:
    volume, _ = make_thorax("covid19", slices=20, size=96)
    files = write_study(volume, tmp_path / "study", preset="covid19")
    quick = write_changed_settings(tmp_path / "app.yaml", **ONE_SLICE_EXPLAINED, selection={"maximum_spacing_mm": 20})
    words = ["{python}", "-m", "app", "-i", "{input}", "-o", "{output}", "--settings", str(quick), "-m"]
    with bridge(tmp_path / "bridge", running, application={"command": [*words, str(tmp_path / "none")]}) as trial:
        assert running.store(files) == []
        assert trial.process is not None
        assert trial.process.wait(HANGS_S) == 2
        (event,) = trial.events("application_cannot_run")
        assert "It says: ERROR" in event["reason"]
    state = State(trial.state)
    job = state.take()
    state.close()
    assert job is not None
    assert job.attempts == 0  # the study is not to blame
    # The same bridge, with its state, after a correction; a study that was taken is taken again, as after a kill.
    with bridge(tmp_path / "bridge", running, application={"command": [*words, "models"]}) as trial:
        trial.wait_until_idle(1)
        assert list((tmp_path / "bridge" / "work").iterdir()) == []
    (series,) = series_by_study(running).values()
    assert {each[0] for each in series} - {"PR"} == {"CT", "OT", "SEG", "SR"}  # outlines only if it found any


def test_a_destination_that_is_down_costs_no_second_analysis_and_one_that_takes_longer_than_orthanc_may_no_second_try(
    running: Orthanc, destination_port: int, studies: dict[str, list[Path]], tmp_path: Path
) -> None:
    received = tmp_path / "received"
    received.mkdir()
    slow = ["storescp", "--sleep-during", "1", "--output-directory", str(received), str(destination_port)]
    longest_s = 5
    settings = {
        "destination": "pacs",
        "orthanc": {"timeout_s": longest_s},
        "changes": {"settle_s": 2},  # stored results put the next try of a study off as long
        "queue": {"attempts": 1000, "first_retry_s": 0.5, "longest_retry_s": 0.5},
    }
    with bridge(tmp_path / "bridge", running, **settings) as trial:
        assert running.store(studies["twice"]) == []
        trial.wait_until(lambda: trial.events("failed"))
        destination = subprocess.Popen(slow)
        try:
            trial.wait_until_idle(1)
        finally:
            destination.kill()
            destination.wait()
        assert trial.metrics()['groundglass_bridge_stage_seconds_count{stage="application"}'] == 1
        assert trial.events("sent_on")
        # The tries that failed are those while it was down: none because the answer took too long.
        refused = "Orthanc could not send results to their destination. Its log says why."
        assert {event["reason"] for event in trial.events("failed")} == {refused}
        assert trial.metrics()['groundglass_bridge_stage_seconds_sum{stage="send"}'] > longest_s
        sent = [str(pydicom.dcmread(path).Modality) for path in received.iterdir()]
        assert sorted(sent) == sorted(RESULTS)
        assert trial.stop() == 0
