"""The bridge: one thread follows Orthanc's changes, others work on the studies that are due.

The two meet in the state alone. Orthanc's changes and its images are the queue's other half: what has not been read
there yet is kept there.
"""

import shutil
import threading
import time
from dataclasses import asdict
from typing import Any

from deploy.orthanc.application import Application, CannotRun, Failed, Stopped, WorkFolderUnusable
from deploy.orthanc.archive import Archive, Refused, Unreachable
from deploy.orthanc.case import GivenUp, work_on
from deploy.orthanc.monitoring import Monitor, serve
from deploy.orthanc.settings import Settings
from deploy.orthanc.state import Job, State

_LONGEST_WAIT_S = 30.0
_STORED = ("analysed", "refused", "not_eligible")


class Bridge:
    """Orthanc, the state and the application, wired together."""

    def __init__(self, settings: Settings, state: State, monitor: Monitor) -> None:
        self._settings = settings
        self._state = state
        self._monitor = monitor
        self._stop = threading.Event()
        self._due = threading.Event()
        self._connected = threading.Event()
        self._has_room = True
        self._error: BaseException | None = None

    def stop(self) -> None:
        """Ask for the end; a run of the application under way is ended and done again at the next start."""
        self._stop.set()

    def run(self) -> None:
        """Until `stop` is called.

        Raises:
            CannotRun: the application can't be used as it is set up.
            StateInUse: another bridge works with this state.
            OSError: the monitoring port, or the work folder, can't be used.
        """
        interrupted = self._state.take_over()
        self._settings.work_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left_over in self._settings.work_folder.glob("job-*-*"):
            shutil.rmtree(left_over, ignore_errors=True)
        server = serve(self._monitor, self.health, self._settings.address, self._settings.port)
        self._monitor.tell("info", "started", interrupted=interrupted, **asdict(self._state.counts()))
        workers = [threading.Thread(target=self._guarded, args=(self._work,)) for _ in range(self._settings.workers)]
        threads = [threading.Thread(target=self._guarded, args=(self._follow,)), *workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        server.shutdown()
        server.server_close()
        if self._error is not None:
            raise self._error
        self._monitor.tell("info", "stopped")

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether studies get through, and the numbers of the queue."""
        counts = self._state.counts()
        problem = None
        if not self._connected.is_set():
            problem = "waiting for Orthanc"
        elif counts.waiting >= self._settings.maximum_waiting:
            problem = "queue full"
        elif not self._has_room:
            problem = "work folder unusable"
        return problem is None, {"status": problem or "ok", **asdict(counts)}

    def _guarded(self, loop: Any) -> None:
        """An error that no loop expects ends the bridge: whoever supervises it starts it again, from its state."""
        try:
            loop()
        except BaseException as error:
            self._error = error
        finally:
            self._stop.set()

    def _follow(self) -> None:
        """Note every study that Orthanc tells of, and when to look at it."""
        archive = Archive(self._settings)
        wait_s, checked = 0.0, False
        while not self._stop.wait(wait_s):
            try:
                if not checked:
                    self._find_position(archive)
                    checked = True
                done = self._read_changes(archive)
            except (Unreachable, Refused) as problem:
                if wait_s <= self._settings.poll_s:
                    self._monitor.tell("error", "orthanc_unavailable", reason=str(problem))
                self._connected.clear()
                self._monitor.orthanc_answers(False)
                checked = False
                wait_s = min(max(1.0, 2 * wait_s), _LONGEST_WAIT_S)
                continue
            if not self._connected.is_set():
                self._monitor.tell("info", "orthanc_available")
                self._monitor.orthanc_answers(True)
                self._connected.set()
            wait_s = self._settings.poll_s if done else 0.0

    def _find_position(self, archive: Archive) -> None:
        """Where to read on. An archive that never had as many changes as were read is another: from its beginning."""
        position = self._state.position
        if position is None:
            self._state.note({}, 0 if self._settings.analyse_earlier_studies else archive.last_change())
        elif archive.changes(position, 1).last < position:
            self._monitor.tell("warning", "orthanc_was_replaced")
            self._state.note({}, 0)

    def _read_changes(self, archive: Archive) -> bool:
        """Read one page; returns whether it was the last one for now."""
        if self._state.waiting() >= self._settings.maximum_waiting:
            archive.last_change()  # to know whether it is there
            return True
        position = self._state.position or 0
        page = archive.changes(position, self._settings.page)
        now = time.time()
        due = dict.fromkeys(archive.studies_of(page.instances), now + self._settings.settle_s)
        due |= dict.fromkeys(page.stable, now)
        if page.last > position or due:
            self._state.note(due, page.last)
        if page.stable:
            self._due.set()
        return page.done

    def _work(self) -> None:
        archive, application = Archive(self._settings), Application(self._settings, self._stop)
        try:
            while not self._stop.is_set():
                if not self._connected.wait(1.0):
                    continue
                self._due.clear()
                job = self._state.take()
                if job is None:
                    self._due.wait(self._settings.poll_s)
                    continue
                self._work_on(job, archive, application)
        finally:
            application.close()

    def _work_on(self, job: Job, archive: Archive, application: Application) -> None:
        start = time.perf_counter()
        try:
            outcome = work_on(job, archive, application, self._state, self._settings, self._monitor, self._stop)
        except Stopped:
            self._state.release(job)
            return
        except CannotRun:
            self._state.release(job)
            raise
        except WorkFolderUnusable as problem:
            self._has_room = False
            self._state.release(job, _LONGEST_WAIT_S)  # it may be too large alone: the others come first
            self._monitor.tell("error", "work_folder_unusable", job=job.job, reason=str(problem))
            self._stop.wait(_LONGEST_WAIT_S)
        except Unreachable as problem:
            if archive.answers():  # so it is this study that it can't answer for
                self._fail(job, str(problem))
            else:
                self._connected.clear()
                self._state.release(job)
        except (Failed, Refused) as problem:
            self._fail(job, str(problem))
        except GivenUp:
            self._state.bury_again(job)
            self._monitor.tell("warning", "still_dead_letter", job=job.job)
        else:
            seconds = round(time.perf_counter() - start, 3)
            if outcome == "images_changed":
                self._state.look_again(job, self._settings.settle_s)
            else:
                self._state.finish(job)
            if outcome in _STORED:
                self._has_room = True
                self._monitor.count_study(outcome)
            level = "debug" if outcome in ("no_ct", "unchanged") else "info"
            self._monitor.tell(level, outcome, job=job.job, seconds=seconds)

    def _fail(self, job: Job, reason: str) -> None:
        self._monitor.count_failure()
        attempts = self._state.failed_attempts(job)
        if attempts >= self._settings.attempts:
            self._state.bury(job, reason)
            self._monitor.tell("error", "dead_letter", job=job.job, attempts=attempts, reason=reason)
        else:
            after_s = self._settings.retry_after_s(attempts)
            self._state.retry_later(job, reason, after_s)
            self._monitor.tell("warning", "failed", job=job.job, attempts=attempts, retry_in_s=after_s, reason=reason)
