"""A worker: the analysis with its weights loaded once, and one study after another."""

from dataclasses import dataclass
from pathlib import Path

from app.cohort.results import Results, Study

_OF_THE_DISK = frozenset({"DISK_FULL", "OUTPUT_NOT_WRITABLE"})


class CohortStopped(Exception):
    """No study can be analysed any more; the sentence says what to do."""


class CaseFailed(Exception):
    """A case failed for a reason of the machine or of the software: it is to be tried again, now or another day."""


class Interrupted(Exception):
    """The graph ended before the study's end, as it does when the process is told to stop."""


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
        AnalysisError, SettingsError: the device, the weights or the settings can't be used.
    """

    def __init__(self, job: Job) -> None:
        import torch

        from app.analysis import load_analysis
        from app.settings import load_settings

        torch.set_num_threads(job.cores)
        self._job = job
        self._analysis = load_analysis(load_settings(job.settings), job.models)

    def ready(self) -> str:
        """The device that computes."""
        return self._analysis.software.device

    def analyse(self, study: Study) -> str:
        """Analyse one study and put its results in their place.

        Returns:
            `status` of its result.json.

        Raises:
            CohortStopped: the disk of the results is full or can't be written.
            CaseFailed, Interrupted: there is no result, the study is to be analysed again.
        """
        from app.result import write_result
        from dicomio.errors import OutputFailed
        from dicomio.scan import Scan, scan_folder

        scans: list[Scan] = []

        def scan() -> Scan:
            scans.append(scan_folder(self._job.archive, names=study.files))
            return scans[0]

        try:
            with Results(self._job.output).new(study) as folder:
                record = self._analysis.run(scan, folder, _tell_nobody)
                for case, _ in record.cases:
                    if case.reason_code in _OF_THE_DISK:
                        raise CohortStopped(case.reason)
                if any(case.status == "failed" for case, _ in record.cases):
                    raise CaseFailed
                # Every series is a case or was rejected, unless the graph was stopped on its way.
                if not scans or len(record.cases) + len(record.series_rejected) < len(scans[0].series):
                    raise Interrupted("The graph ended before the study's end.")
                return write_result(record, self._analysis.software, folder).name
        except OutputFailed as failure:
            raise CohortStopped(failure.reason) from failure


def _tell_nobody(stage: str, done: int, total: int) -> None:
    """The bar of a cohort counts studies."""
