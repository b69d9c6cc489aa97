"""A cohort on a Ray cluster: one worker for each GPU, or for each group of cores where there is none.

Ray finds the places, starts the processes and notices when one, or a whole machine, is gone. A study is given to a
worker only when that is ready and has no other, so that a lost worker costs the study under way and nothing else, and a
machine that never comes back keeps none waiting.
"""

import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from groundglass.cohort.queue import Outcome, Queue
from groundglass.cohort.results import Study
from groundglass.cohort.worker import CohortStopped, Job, Worker
from groundglass.command.logs import set_up_logging

_LOOK_AROUND_S = 5.0
"""Every so often: has the cluster grown, does a worker take too long?"""
_DEATHS_AT_START = 5
"""Workers that die before they are ready, one after another: then it isn't bad luck."""


class ClusterError(Exception):
    """The cluster can't be reached or has no room for a worker; the sentence says what to do."""


class RemoteWorker(Worker):
    """A worker in a process of its own, where the libraries' log is still to be silenced."""

    def __init__(self, job: Job) -> None:
        set_up_logging("ERROR")
        super().__init__(job)


def analyse_on_cluster(
    address: str,
    job: Job,
    queue: Queue,
    timeout_s: float,
    use_gpus: bool,
    worker: type[Worker] = RemoteWorker,
) -> Iterator[Outcome]:
    """Analyse all studies of the queue.

    Args:
        address: of the cluster, `auto` for the one of this machine, `local` for one that is started here and ends with
            the run.
        job: its paths are the same on every machine.
        queue: the studies.
        timeout_s: a worker that has one study for longer is given up; 0: never.
        use_gpus: take a GPU for each worker where the cluster has GPUs.
        worker: what each process runs; benchmarks have one of their own.

    Raises:
        ClusterError, CohortStopped, UsageError: no study can be analysed, or none any more.
    """
    ray = _join(address)
    try:
        crew = _Crew(ray, job, use_gpus, worker)
        while queue or crew.busy:
            crew.hire(len(queue) + len(crew.busy))
            while queue and crew.idle:
                crew.give(queue.take())
            crew.give_up_after(timeout_s)
            for study, status, reason in crew.wait():
                yield from [Outcome(study.name, status)] if status else queue.failed(study, reason)
    finally:
        ray.shutdown()


def _join(address: str) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a hospital's machine calls nobody
    import ray

    try:
        local: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **local)
    except Exception as error:  # Ray raises what it likes: a bare Exception where it takes over 30 s to start
        if address == "local":
            raise ClusterError(
                "Ray can't be started on this machine, or takes longer than the 30 s that it allows itself. Try again "
                "when the machine is less busy, or leave --ray out to analyse one study after another."
            ) from error
        raise ClusterError(
            "The Ray cluster can't be reached. Check the address and that `ray status` answers on this machine, or "
            "give --ray local to use this machine alone."
        ) from error
    return ray


@dataclass
class _Crew:
    """The workers of a run.

    Attributes:
        starting: by the task that says when they are ready.
        idle: ready, without a study.
        busy: by the task that analyses their study, with the study and when it was given.
    """

    ray: Any
    job: Job
    use_gpus: bool
    worker: type[Worker]
    starting: dict[Any, Any] = field(default_factory=dict)
    idle: list[Any] = field(default_factory=list)
    busy: dict[Any, tuple[Any, Study, float]] = field(default_factory=dict)
    deaths: int = 0

    def hire(self, wanted: int) -> None:
        """Start workers until there is one for each place in the cluster, or for each of `wanted` studies."""
        places, gpus = self._places()
        if not places and not self.starting and not self.busy:
            raise ClusterError(
                f"No machine of the cluster has {self.job.cores} cores for a worker. Give fewer with --cores."
            )
        remote = self.ray.remote(num_cpus=self.job.cores, num_gpus=int(gpus), max_restarts=0)(self.worker)
        while len(self.starting) + len(self.idle) + len(self.busy) < min(places, wanted):
            worker = remote.remote(self.job)
            self.starting[worker.ready.remote()] = worker

    def _places(self) -> tuple[int, bool]:
        """How many workers the cluster has room for, and whether each takes a GPU."""
        machines = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        by_cores = [int(machine.get("CPU", 0) // self.job.cores) for machine in machines]
        by_gpus = [min(int(machine.get("GPU", 0)), cores) for machine, cores in zip(machines, by_cores, strict=True)]
        gpus = self.use_gpus and any(by_gpus)
        return sum(by_gpus if gpus else by_cores), gpus

    def give(self, study: Study) -> None:
        """Give a study to an idle worker."""
        worker = self.idle.pop()
        self.busy[worker.analyse.remote(study)] = (worker, study, time.monotonic())

    def give_up_after(self, timeout_s: float) -> None:
        """End the workers that have had their study for too long; `wait` then tells of it."""
        for worker, _, since in self.busy.values():
            if timeout_s and time.monotonic() - since > timeout_s:
                self.ray.kill(worker)

    def wait(self) -> list[tuple[Study, str | None, str]]:
        """Wait until something happens: studies that were under way, with their status, or None and why."""
        done, _ = self.ray.wait([*self.starting, *self.busy], timeout=_LOOK_AROUND_S)
        return [
            ended for task in done for ended in (self._started(task) if task in self.starting else self._ended(task))
        ]

    def _started(self, task: Any) -> list[tuple[Study, str | None, str]]:
        worker = self.starting.pop(task)
        try:
            self.ray.get(task)
        except self.ray.exceptions.RayTaskError as error:
            raise error.as_instanceof_cause() from None
        except self.ray.exceptions.RayActorError as error:
            self.deaths += 1
            if self.deaths >= _DEATHS_AT_START:
                raise ClusterError(
                    f"{self.deaths} workers ended before they were ready. Check that every machine has memory enough, "
                    "the packages of requirements-cohort.txt, and program, models and archive at the same paths."
                ) from error
        else:
            self.deaths = 0
            self.idle.append(worker)
        return []

    def _ended(self, task: Any) -> list[tuple[Study, str | None, str]]:
        worker, study, _ = self.busy.pop(task)
        try:
            status = self.ray.get(task)
        except self.ray.exceptions.RayActorError:
            return [(study, None, "its worker ended")]
        except self.ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, CohortStopped):
                raise error.cause from None
            self.idle.append(worker)
            return [(study, None, f"it failed with {type(error.cause).__name__}")]  # the text may quote attributes
        self.idle.append(worker)
        return [(study, status, "")]
