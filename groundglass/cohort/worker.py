"""A worker: the analysis with its weights loaded once, and one study after another."""

from dataclasses import dataclass
from pathlib import Path

from groundglass.cohort.results import Results, Study
from groundglass.domain.refusals import OF_THE_DISK


class CohortStopped(Exception):
    """No study can be analysed any more; the sentence says what to do."""


class CaseFailed(Exception):
    """A case failed for a reason of the machine or of the software: it is to be tried again, now or another day."""


@dataclass(frozen=True)
class Job:
    """What all workers of a run have in common; the paths are the same on every machine.

    Attributes:
        archive, output, models, settings: as on the command line.
        cores: of the processor, for one worker.
    """

    archive: Path
    output: Path
    models: Path
    settings: Path
    cores: int


class Worker:
    """Analyses studies. Everything heavy is imported here, where the work is done.

    Raises:
        UsageError: the device, the weights or the settings can't be used.
    """

    def __init__(self, job: Job) -> None:
        import torch

        from groundglass.pipeline import Pipeline

        torch.set_num_threads(job.cores)
        self._job = job
        self._pipeline = Pipeline.load(job.settings, job.models)

    def ready(self) -> str:
        """The device that computes."""
        return self._pipeline.software.device

    def analyse(self, study: Study) -> str:
        """Analyse one study and put its results in their place.

        Returns:
            `status` of its result.json.

        Raises:
            CohortStopped: the disk of the results is full or can't be written.
            CaseFailed: there is no result, the study is to be analysed again.
        """
        from groundglass.dicomio.reading.scan import scan_folder
        from groundglass.domain.errors import OutputFailed
        from groundglass.result import write_result
        from groundglass.run import Run

        try:
            with Results(self._job.output).new(study) as folder:
                scan = scan_folder(self._job.archive, names=study.files)
                record = Run(self._pipeline, folder, _tell_nobody).whole(scan)
                for case, _ in record.cases:
                    if case.reason_code in OF_THE_DISK:
                        raise CohortStopped(case.reason)
                if any(case.status == "failed" for case, _ in record.cases):
                    raise CaseFailed
                return write_result(record, self._pipeline.software, folder).name
        except OutputFailed as failure:
            raise CohortStopped(failure.reason) from failure

    def close(self) -> None:
        """Nothing is to be ended: the work is done in this process."""


def _tell_nobody(stage: str, done: int, total: int) -> None:
    """The bar of a cohort counts studies."""
