"""What the bridge must not forget."""

import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from deploy.orthanc import application
from deploy.orthanc.application import CannotRun, Failed, Results, WorkFolderUnusable, analyse
from deploy.orthanc.state import FILE_NAME, State, StateInUse


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state")


def test_a_study_is_taken_by_one_worker_and_only_when_it_is_due(state: State) -> None:
    state.note({"late": 1e12, "due": 0.0}, 5)
    job = state.take()
    assert job is not None
    assert job.study == "due"
    assert state.take() is None
    assert state.position == 5
    assert (state.counts().running, state.counts().receiving) == (1, 1)


def test_what_orthanc_tells_during_a_run_is_looked_at_after_it(state: State) -> None:
    state.note({"study": 0.0}, 1)
    job = state.take()
    assert job is not None
    state.note({"study": 0.0}, 2)
    assert state.take() is None
    state.finish(job)
    again = state.take()
    assert again is not None
    state.finish(again)
    assert state.take() is None
    assert state.counts().done == 1


def test_a_killed_bridge_has_its_studies_again_and_the_try_counts(tmp_path: Path) -> None:
    first = State(tmp_path)
    first.take_over()
    first.note({"study": 0.0}, 1)
    job = first.take()
    assert job is not None
    assert first.count_attempt(job, "images") == 1
    with pytest.raises(StateInUse):
        State(tmp_path).take_over()
    first.close()
    second = State(tmp_path)
    assert second.take_over() == 1
    job = second.take()
    assert job is not None
    assert (job.tried, job.attempts) == ("images", 1)
    assert second.count_attempt(job, "images") == 2
    assert second.count_attempt(job, "more images") == 1


def test_results_that_orthanc_tells_of_don_t_shorten_the_wait_for_the_next_try(state: State) -> None:
    state.note({"study": 0.0}, 1)
    job = state.take()
    assert job is not None
    state.count_attempt(job, "images")
    state.retry_later(job, "It failed.", 60)
    state.note({"study": 0.0}, 2)
    assert state.take() is None
    assert state.counts().retrying == 1


def test_a_stable_study_is_tried_when_its_wait_ends_however_late_its_last_image_came(state: State) -> None:
    """The bridge's own results, or a late image, put the study off; that Orthanc calls it stable brings it forward."""
    state.note({"study": 0.0}, 1)
    job = state.take()
    assert job is not None
    state.count_attempt(job, "images")
    state.retry_later(job, "It failed.", 0)
    state.note({"study": 1e12}, 2)
    assert state.take() is None
    assert state.counts().retrying == 1
    state.note({"study": 0.0}, 3)
    assert state.take() is not None


def test_a_study_that_was_given_up_and_is_sent_again_is_looked_at_as_soon_as_it_is_stable(state: State) -> None:
    state.note({"study": 0.0}, 1)
    job = state.take()
    assert job is not None
    state.count_attempt(job, "images")
    state.bury(job, "It failed three times.")
    state.note({"study": 1e12}, 2)
    state.note({"study": 0.0}, 3)
    again = state.take()
    assert again is not None
    assert again.study == "study"


def test_the_state_of_an_earlier_bridge_is_taken_over(tmp_path: Path) -> None:
    State(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as file:
        file.execute("ALTER TABLE studies DROP COLUMN not_before")
        file.execute("INSERT INTO studies (study, state, due, touches) VALUES ('old', 'waiting', 0, 1)")
    file.close()
    job = State(tmp_path).take()
    assert job is not None
    assert job.study == "old"


def test_a_release_does_not_count(state: State) -> None:
    state.note({"study": 0.0}, 1)
    job = state.take()
    assert job is not None
    state.count_attempt(job, "images")
    state.release(job)
    again = state.take()
    assert again is not None
    assert again.attempts == 0


def test_a_study_that_the_disk_has_no_room_for_keeps_none_waiting(state: State) -> None:
    state.note({"large": 0.0, "small": 1.0}, 1)
    job = state.take()
    assert job is not None
    assert job.study == "large"
    state.release(job, 60)
    other = state.take()
    assert other is not None
    assert other.study == "small"
    assert state.take() is None


def test_the_state_is_readable_for_its_user_alone(tmp_path: Path) -> None:
    State(tmp_path / "state")
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state" / "bridge.sqlite").stat().st_mode) == 0o600


# The application's exit codes


def run_script(folder: Path, script: str, timeout_s: float = 300) -> Results:
    results = folder / "results"
    results.mkdir(parents=True)
    command = ["sh", "-c", f"cd {results}; {script}"]
    return analyse(command, results, folder / "log", timeout_s, threading.Event())


CASES = 'echo \'{"cases": [{"status": "%s"}]}\' > result.json'


@pytest.mark.parametrize(
    ("script", "outcome", "files"),
    [
        (f"touch a.dcm b.dcm; {CASES % 'analysed'}; exit 0", "analysed", 2),
        ("echo '{\"cases\": []}' > result.json; exit 3", "not_eligible", 0),
        (f"touch a.dcm; {CASES % 'refused'}; exit 4", "refused", 1),
        (f"touch a.dcm; {CASES % 'analysed'}; exit 5", "analysed", 1),
    ],
)
def test_a_run_that_came_to_its_end_is_final(tmp_path: Path, script: str, outcome: str, files: int) -> None:
    results = run_script(tmp_path, script)
    assert (results.outcome, len(results.files)) == (outcome, files)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 1", "exit code 1"),
        ("exit 137", "exit code 137"),
        ("kill -9 $$", "signal 9"),
        ("exit 0", "no result.json"),
        (f"{CASES % 'analysed'}; exit 0", "left no DICOM file"),
        (f"touch a.dcm; {CASES % 'failed'}; exit 4", "failed on a case"),
        ("sleep 1000", "did not end within"),
    ],
)
def test_a_run_that_gave_no_result_has_failed(tmp_path: Path, script: str, said: str) -> None:
    with pytest.raises(Failed, match=said):
        run_script(tmp_path, script, 0.1 if script.startswith("sleep") else 300)


def test_a_usage_error_is_told_with_the_application_s_own_sentence(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match=r"It says: ERROR The weights are missing\."):
        run_script(tmp_path, "echo ERROR The weights are missing. >&2; exit 2")
    with pytest.raises(CannotRun, match="no-such-program"):
        analyse(["no-such-program"], tmp_path, tmp_path / "log", 300, threading.Event())


def test_a_full_disk_is_neither_the_study_s_fault_nor_how_the_application_is_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = '{"cases": [{"status": "failed", "reason": {"code": "DISK_FULL", "text": "Full."}}]}'
    with pytest.raises(WorkFolderUnusable):
        run_script(tmp_path, f"echo '{case}' > result.json; exit 4")
    monkeypatch.setattr(application, "_ROOM_BYTES", 1 << 62)
    with pytest.raises(WorkFolderUnusable):
        run_script(tmp_path / "again", "exit 2")
