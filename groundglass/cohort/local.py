"""A cohort on this machine: one study after another, each on all cores of the job, by a worker that stays."""

from collections.abc import Callable, Iterator
from typing import Any

from groundglass.cohort.held_worker import WorkerInProcess
from groundglass.cohort.queue import Outcome, Queue
from groundglass.cohort.worker import CohortStopped, Job
from groundglass.domain.errors import UsageError


def analyse_here(
    job: Job, queue: Queue, timeout_s: float = 0.0, make_worker: Callable[..., Any] = WorkerInProcess
) -> Iterator[Outcome]:
    """Analyse all studies of the queue.

    Args:
        job: its paths.
        queue: the studies.
        timeout_s: a worker that has one study for longer is ended and the study tried again; 0: never.
        make_worker: of the job and the time; benchmarks and tests have their own.

    Raises:
        CohortStopped: no study can be analysed any more.
        UsageError: the device or the weights can't be used.
    """
    worker = make_worker(job, timeout_s)
    try:
        while queue:
            study = queue.take()
            try:
                yield Outcome(study.name, worker.analyse(study))
            except (CohortStopped, UsageError):
                raise
            except Exception as error:
                # Its type alone: the text may quote the source's attributes.
                yield from queue.failed(study, f"it failed with {type(error).__name__}")
    finally:
        worker.close()
