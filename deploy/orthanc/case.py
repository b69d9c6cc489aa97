"""One study: fetch its CT images, have them analysed, store the results in place of former ones, send them on.

Every step can be done again without a second effect, since the application's results have the same UIDs whenever
images, version and settings are the same. What is done is noted with the images' fingerprint, so that images which
arrive late are seen.
"""

import hashlib
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from deploy.orthanc.application import Application, Failed, Stopped, WorkFolderUnusable
from deploy.orthanc.archive import Archive, CTImages
from deploy.orthanc.monitoring import Monitor
from deploy.orthanc.settings import Settings
from deploy.orthanc.state import Job, State


class GivenUp(Exception):
    """These images have failed as often as is tried."""


def fingerprint_of(images: CTImages) -> str:
    """What tells one state of a study from another."""
    return hashlib.sha256("\n".join(images.instances).encode()).hexdigest()


def work_on(
    job: Job,
    archive: Archive,
    application: Application,
    state: State,
    settings: Settings,
    monitor: Monitor,
    stop: threading.Event,
) -> str:
    """Bring a study to where its results are stored, and sent on where that is wanted.

    Returns:
        `analysed`, `refused`, `not_eligible`; `sent_on`, where nothing else was left; `no_ct` and `unchanged`, where
        nothing was; `images_changed`, where images arrived or were deleted meanwhile: it is to be looked at again.

    Raises:
        Failed, CannotRun, Stopped, GivenUp, WorkFolderUnusable, archive.Unreachable, archive.Refused
    """
    images = archive.ct_images(job.study)
    if not images.instances:
        return "no_ct"
    fingerprint = fingerprint_of(images)
    # A study that was deleted and sent again has the same images, and its results no more.
    to_analyse = job.analysed != fingerprint or not state.results(job) <= archive.series(job.study).keys()
    to_send = bool(settings.destination) and job.forwarded != fingerprint
    if not to_analyse and not to_send:
        return "unchanged"
    if job.tried == fingerprint and job.attempts >= settings.attempts:
        raise GivenUp
    attempt = state.count_attempt(job, fingerprint)
    outcome = "sent_on"
    if to_analyse:
        monitor.tell("debug", "images", job=job.job, study=job.study, images=len(images.instances))
        with _folder(settings.work_folder / f"job-{job.job}-{attempt}") as folder:
            outcome = _analyse_and_store(job, images, folder, archive, application, state, settings, monitor, stop)
    if to_send and outcome != "images_changed":
        with monitor.timed("send"):
            results = _series_in(job, archive, state.results(job))
            if results and not archive.send(results, settings.destination, stop):
                raise Stopped
        state.results_forwarded(job, fingerprint)
    return outcome


def _analyse_and_store(
    job: Job,
    images: CTImages,
    folder: Path,
    archive: Archive,
    application: Application,
    state: State,
    settings: Settings,
    monitor: Monitor,
    stop: threading.Event,
) -> str:
    study, results = folder / "study", folder / "results"
    with monitor.timed("fetch"):
        _fetch(images.instances, study, archive, stop)
        results.mkdir()
    log = settings.work_folder / f"job-{job.job}.log"
    with monitor.timed("application"):
        made = application.analyse(study, results, log)
    log.unlink(missing_ok=True)  # kept where the run failed
    with monitor.timed("store"):
        series_uids = _series_uids(made.files)
        if series_uids & images.series_uids:
            raise Failed("The application's results bear the Series Instance UID of the images: they are not stored.")
        state.expect_results(job, series_uids)
        if archive.ct_images(job.study).instances != images.instances:
            return "images_changed"
        for file in made.files:
            archive.store(file)
        superseded = state.results(job) - series_uids
        for series in _series_in(job, archive, superseded):
            archive.delete_series(series)
        state.results_stored(job, fingerprint_of(images), superseded)
    if superseded:
        monitor.tell("info", "former_results_deleted", job=job.job, series=len(superseded))
    return made.outcome


def _series_in(job: Job, archive: Archive, uids: frozenset[str]) -> list[str]:
    """Orthanc's identifiers of those of the series that are in this study.

    The same images under another Patient ID are another study, with results of the same UIDs: those are not touched.
    """
    return [name for uid, name in archive.series(job.study).items() if uid in uids]


def _fetch(instances: Sequence[str], folder: Path, archive: Archive, stop: threading.Event) -> None:
    folder.mkdir()
    for number, instance in enumerate(instances, start=1):
        if stop.is_set():
            raise Stopped
        archive.download(instance, folder / f"{number:06}.dcm")


def _series_uids(files: Sequence[Path]) -> frozenset[str]:
    try:
        headers = [
            pydicom.dcmread(file, specific_tags=["SeriesInstanceUID"], stop_before_pixels=True) for file in files
        ]
        return frozenset(str(header.SeriesInstanceUID) for header in headers)
    except (InvalidDicomError, AttributeError):
        raise Failed("A result of the application is no DICOM file, or has no Series Instance UID.") from None


@contextmanager
def _folder(folder: Path) -> Iterator[Path]:
    """A new folder, removed at the end."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        yield folder
    except OSError as error:
        raise WorkFolderUnusable(
            f"The work folder can't be used ({error.strerror}). Make room there, or correct its permissions."
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
