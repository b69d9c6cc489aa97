"""What the bridge must not forget: how far it has read, which studies wait, and whose results are stored.

One SQLite file. Each method is one transaction, so that a kill between any two leaves a state to go on from. Other
processes may read and change it meanwhile: `dead-letters` and `retry` do.
"""

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

FILE_NAME = "bridge.sqlite"
_LOCK_NAME = "bridge.lock"

_TABLES = """
CREATE TABLE IF NOT EXISTS studies (
    job INTEGER PRIMARY KEY,          -- the number that logs use
    study TEXT NOT NULL UNIQUE,       -- Orthanc's identifier
    state TEXT NOT NULL,              -- waiting, running, done or dead
    due REAL NOT NULL,                -- seconds since 1970, when its images are to be looked at
    not_before REAL NOT NULL DEFAULT 0,  -- and when its next try may begin at the earliest, after one that failed
    touches INTEGER NOT NULL,         -- how often Orthanc told of it
    tried TEXT NOT NULL DEFAULT '',   -- fingerprint of the images that `attempts` counts the tries of
    attempts INTEGER NOT NULL DEFAULT 0,
    analysed TEXT NOT NULL DEFAULT '',   -- fingerprint of the images whose results are stored
    forwarded TEXT NOT NULL DEFAULT '',  -- and of those whose results are at their destination
    reason TEXT NOT NULL DEFAULT ''      -- of the last failure
);
CREATE INDEX IF NOT EXISTS studies_by_state ON studies (state, due);
CREATE TABLE IF NOT EXISTS results (
    job INTEGER NOT NULL REFERENCES studies, series_uid TEXT NOT NULL, PRIMARY KEY (job, series_uid)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS position (change INTEGER NOT NULL);
"""

_TIME = "max(due, not_before)"
"""When a waiting study is taken."""

_COLUMNS = "job, study, touches, tried, attempts, analysed, forwarded"


class StateInUse(Exception):
    """Another bridge works with this state."""


@dataclass(frozen=True)
class Job:
    """A study that a worker has taken on; the fields are those of the table."""

    job: int
    study: str
    touches: int
    tried: str
    attempts: int
    analysed: str
    forwarded: str


@dataclass(frozen=True)
class DeadLetter:
    """A study that was given up."""

    job: int
    study: str
    attempts: int
    reason: str


@dataclass(frozen=True)
class Counts:
    """How many studies there are of each kind.

    Attributes:
        waiting: for a worker.
        receiving: for Orthanc to call them stable.
        retrying: for the time of their next try.
        running, done, dead: as it says.
        oldest_s: how long the oldest of those that wait for a worker has waited.
    """

    waiting: int
    receiving: int
    retrying: int
    running: int
    done: int
    dead: int
    oldest_s: float


class State:
    """The file in `folder`, which is made where it is missing. Usable from several threads."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._lock = threading.Lock()
        file = folder / FILE_NAME
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        self._db = sqlite3.connect(file, timeout=30, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")  # what is committed survives a power cut too
        self._db.executescript(_TABLES)
        if "not_before" not in {column for _, column, *_ in self._db.execute("PRAGMA table_info(studies)")}:
            # The file of an earlier bridge.
            self._db.execute("ALTER TABLE studies ADD COLUMN not_before REAL NOT NULL DEFAULT 0")
        self._bridge_lock: int | None = None

    def take_over(self) -> int:
        """Become the one bridge of this state; studies that a killed one was at wait again. Returns how many.

        Raises:
            StateInUse: another process is it. The kernel ends its claim with the process, however that ends.
        """
        self._bridge_lock = os.open(self._folder / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._bridge_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateInUse("Another bridge works with this state folder. Give each its own.") from None
        with self._lock, self._db:
            return self._db.execute("UPDATE studies SET state = 'waiting' WHERE state = 'running'").rowcount

    @property
    def position(self) -> int | None:
        """Number of the last change that was read; None before the very first."""
        with self._lock:
            row = self._db.execute("SELECT change FROM position").fetchone()
        return None if row is None else row[0]

    def note(self, due: Mapping[str, float], position: int) -> None:
        """Studies that Orthanc told of, each with the time at which to look at it, and how far has been read.

        The later word counts: an image that arrives puts a study off, Orthanc calling it stable brings it forward. A
        study whose try has failed waits for its next one all the same: it may be the bridge's results that arrived.
        """
        with self._lock, self._db:
            self._db.executemany(
                """INSERT INTO studies (study, state, due, touches) VALUES (:study, 'waiting', :due, 1)
                ON CONFLICT (study) DO UPDATE SET touches = touches + 1, due = :due,
                    state = CASE WHEN state = 'running' THEN state ELSE 'waiting' END""",
                [{"study": study, "due": at} for study, at in due.items()],
            )
            self._db.execute("DELETE FROM position")
            self._db.execute("INSERT INTO position VALUES (?)", (position,))

    def take(self) -> Job | None:
        """The study that is due and waits longest; nobody else gets it until it is handed back."""
        with self._lock, self._db:
            rows = self._db.execute(
                f"""UPDATE studies SET state = 'running' WHERE job =
                    (SELECT job FROM studies WHERE state = 'waiting' AND {_TIME} <= ? ORDER BY {_TIME}, job LIMIT 1)
                RETURNING {_COLUMNS}""",
                (time.time(),),
            ).fetchall()
        return Job(*rows[0]) if rows else None

    def count_attempt(self, job: Job, fingerprint: str) -> int:
        """Count a try of these images before it begins, so that one which ends the bridge counts. Returns how many."""
        with self._lock, self._db:
            rows = self._db.execute(
                """UPDATE studies SET attempts = CASE WHEN tried = :images THEN attempts + 1 ELSE 1 END, tried = :images
                WHERE job = :job RETURNING attempts""",
                {"images": fingerprint, "job": job.job},
            ).fetchall()
        return int(rows[0][0])

    def failed_attempts(self, job: Job) -> int:
        """How many tries of its images there were, with one that ended before the images were known."""
        with self._lock, self._db:
            rows = self._db.execute(
                """UPDATE studies SET attempts = max(attempts, CASE WHEN tried = :tried THEN :before + 1 ELSE 1 END)
                WHERE job = :job RETURNING attempts""",
                {"tried": job.tried, "before": job.attempts, "job": job.job},
            ).fetchall()
        return int(rows[0][0])

    def expect_results(self, job: Job, series_uids: Collection[str]) -> None:
        """Note the series of results before they are stored: whatever happens then, they are known as the bridge's."""
        with self._lock, self._db:
            self._db.executemany("INSERT OR IGNORE INTO results VALUES (?, ?)", [(job.job, uid) for uid in series_uids])

    def results(self, job: Job) -> frozenset[str]:
        """Series Instance UIDs of the results of a study that are stored, or may be."""
        with self._lock:
            return frozenset(
                uid for (uid,) in self._db.execute("SELECT series_uid FROM results WHERE job = ?", (job.job,))
            )

    def results_stored(self, job: Job, fingerprint: str, superseded: Iterable[str]) -> None:
        """The results of these images are stored, and the series `superseded` are gone."""
        with self._lock, self._db:
            self._db.executemany(
                "DELETE FROM results WHERE job = ? AND series_uid = ?", [(job.job, uid) for uid in superseded]
            )
            self._db.execute("UPDATE studies SET analysed = ? WHERE job = ?", (fingerprint, job.job))

    def results_forwarded(self, job: Job, fingerprint: str) -> None:
        """The results of these images are at their destination."""
        with self._lock, self._db:
            self._db.execute("UPDATE studies SET forwarded = ? WHERE job = ?", (fingerprint, job.job))

    def finish(self, job: Job) -> None:
        """Nothing is left to do, unless Orthanc told of the study again meanwhile."""
        self._hand_back(job, "done", "reason = '', attempts = 0")

    def bury(self, job: Job, reason: str) -> None:
        """Give a study up until someone looks at it, or until more images of it arrive."""
        self._hand_back(job, "dead", "reason = :reason", reason=reason)

    def bury_again(self, job: Job) -> None:
        """A study that was given up was looked at, and its images are still the same."""
        ended = "CASE reason WHEN '' THEN 'The bridge itself was ended during the last try.' ELSE reason END"
        self._hand_back(job, "dead", f"reason = {ended}")

    def retry_later(self, job: Job, reason: str, after_s: float) -> None:
        """Try again after so many seconds."""
        later = "reason = :reason, not_before = :not_before"
        self._hand_back(job, "waiting", later, reason=reason, not_before=time.time() + after_s)

    def look_again(self, job: Job, after_s: float) -> None:
        """The images changed during the run: look again when Orthanc tells of them, or else after so many seconds."""
        later = "attempts = 0, due = CASE WHEN touches = :touches THEN :due ELSE due END"
        self._hand_back(job, "waiting", later, due=time.time() + after_s)

    def release(self, job: Job, after_s: float = 0.0) -> None:
        """Hand a study back for reasons that lie outside it, until after so many seconds: the try doesn't count."""
        not_before = time.time() + after_s if after_s else 0.0
        with self._lock, self._db:
            self._db.execute(
                "UPDATE studies SET state = 'waiting', tried = ?, attempts = ?, not_before = ? WHERE job = ?",
                (job.tried, job.attempts, not_before, job.job),
            )

    def _hand_back(self, job: Job, state: str, change: str, **values: object) -> None:
        with self._lock, self._db:
            self._db.execute(
                f"UPDATE studies SET state = CASE WHEN touches = :touches THEN :state ELSE 'waiting' END, {change} "
                "WHERE job = :job",
                {"job": job.job, "touches": job.touches, "state": state, **values},
            )

    def dead_letters(self) -> list[DeadLetter]:
        """Every study that was given up."""
        with self._lock:
            rows = self._db.execute(
                "SELECT job, study, attempts, reason FROM studies WHERE state = 'dead' ORDER BY job"
            )
            return [DeadLetter(*row) for row in rows]

    def retry(self, jobs: Collection[int]) -> list[int]:
        """Put dead letters back into the queue; returns those that were."""
        put_back = [letter.job for letter in self.dead_letters() if letter.job in jobs]
        with self._lock, self._db:
            self._db.executemany(
                """UPDATE studies SET state = 'waiting', attempts = 0, due = ?, not_before = 0
                WHERE job = ? AND state = 'dead'""",
                [(time.time(), job) for job in put_back],
            )
        return put_back

    def study_of(self, job: int) -> str | None:
        """Orthanc's identifier of the study with this number."""
        with self._lock:
            row = self._db.execute("SELECT study FROM studies WHERE job = ?", (job,)).fetchone()
        return None if row is None else str(row[0])

    def waiting(self) -> int:
        """How many studies wait for a worker."""
        with self._lock:
            due = f"SELECT count(*) FROM studies WHERE state = 'waiting' AND {_TIME} <= ?"
            return int(self._db.execute(due, (time.time(),)).fetchone()[0])

    def counts(self) -> Counts:
        """How many studies there are of each kind."""
        now = time.time()
        with self._lock:
            rows = self._db.execute(
                f"""SELECT CASE WHEN state <> 'waiting' THEN state WHEN {_TIME} <= :now THEN 'waiting'
                    WHEN attempts > 0 THEN 'retrying' ELSE 'receiving' END AS kind, count(*), min({_TIME})
                FROM studies GROUP BY kind""",
                {"now": now},
            ).fetchall()
        number = {kind: count for kind, count, _ in rows}
        oldest_s = max((now - due for kind, _, due in rows if kind == "waiting"), default=0.0)
        kinds = ("waiting", "receiving", "retrying", "running", "done", "dead")
        return Counts(**{kind: number.get(kind, 0) for kind in kinds}, oldest_s=oldest_s)

    def close(self) -> None:
        """Write everything into the one file."""
        with self._lock:
            self._db.close()
        if self._bridge_lock is not None:
            os.close(self._bridge_lock)
