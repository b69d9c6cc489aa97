"""A cohort in this process: one study after another, each on all cores of the job."""

from collections.abc import Iterator

from groundglass.cohort.queue import Outcome, Queue
from groundglass.cohort.worker import CohortStopped, Job, Worker


def analyse_here(job: Job, queue: Queue, worker: type[Worker] | None = None) -> Iterator[Outcome]:
    """Analyse all studies of the queue.

    Raises:
        CohortStopped: no study can be analysed any more.
        UsageError: the device or the weights can't be used.
    """
    here = (worker or Worker)(job)
    while queue:
        study = queue.take()
        try:
            yield Outcome(study.name, here.analyse(study))
        except CohortStopped:
            raise
        except Exception as error:
            # Its type alone: the text may quote the source's attributes.
            yield from queue.failed(study, f"it failed with {type(error).__name__}")
