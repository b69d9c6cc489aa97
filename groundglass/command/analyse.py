"""Analyse one input folder: check what can be known beforehand, do the run, write result.json, tell how it went."""

import fcntl
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from groundglass.command.folders import lies_in, why_unwritable
from groundglass.command.startup import many_imports
from groundglass.domain.errors import OutputFailed, UsageError
from groundglass.exit_codes import ExitCode
from groundglass.locations import MODEL_FOLDER, SETTINGS_FILE

if TYPE_CHECKING:  # the help answers at once
    from groundglass.case import RunRecord
    from groundglass.dicomio.reading.scan import Scan
    from groundglass.pipeline import Pipeline
    from groundglass.run import Run
    from groundglass.settings import Settings

LEAST_ROOM_BYTES = 4_000_000
"""Free on the output folder's disk, or nothing is begun: even a refusal writes a report and result.json."""

LOG = logging.getLogger("groundglass")
_OWN_FILES = re.compile(
    r"case-\d{3,}\.(seg|regions|rtstruct|sr|summary|summary-pdf|key-image-\d\d|key-images|boxes|saliency)\.dcm"
    r"|case-\d{3,}\.(salient-seg\.dcm|preview\.png|fhir\.json)|result\.json"  # salient-seg: of earlier versions
    r"|\.(case-\d{3,}\.[a-z0-9.-]+|result\.json)\.\d+\.part"  # of a run that was killed
)


CarryOut = Callable[["Run", Callable[[], "Scan"]], None]
"""Takes the steps of a run and what finds the input's series, and does every step of every study."""


def do_every_step(run: "Run", scan: "Callable[[], Scan]") -> None:
    """One step after another, in this process."""
    run.whole(scan())


def analyse(
    input_folder: Path,
    output_folder: Path,
    model_folder: Path = MODEL_FOLDER,
    settings_file: Path = SETTINGS_FILE,
    carry_out: CarryOut = do_every_step,
    pipeline: "Pipeline | None" = None,
    names: "Sequence[str] | None" = None,
) -> ExitCode:
    """Analyse every chest CT under `input_folder` and write the results into `output_folder`.

    A problem with the call, or with the output folder, becomes a sentence of the log and its exit code.

    Args:
        input_folder: with any nesting, and with other files in it.
        output_folder: made where it is not there; results of an earlier run in it are replaced.
        model_folder: with the weights.
        settings_file: app.yaml or another.
        carry_out: does the steps; the application has a graph do them.
        pipeline: loaded before, by a worker that stays; `model_folder` and `settings_file` count for nothing then.
        names: of the files of the input folder that are looked at; all where None.
    """
    try:
        return _analyse(input_folder, output_folder, model_folder, settings_file, carry_out, pipeline, names)
    except UsageError as error:
        LOG.error("%s", error)
        return ExitCode.USAGE
    except OutputFailed as failure:
        LOG.error("%s There is no result.json.", failure.reason)
        return ExitCode.USAGE


def _analyse(
    input_folder: Path,
    output_folder: Path,
    model_folder: Path,
    settings_file: Path,
    carry_out: CarryOut,
    pipeline: "Pipeline | None",
    names: "Sequence[str] | None",
) -> ExitCode:
    with many_imports():
        from groundglass.dicomio.writing.files import check_room
        from groundglass.settings import load_settings

    settings = load_settings(settings_file) if pipeline is None else pipeline.settings
    if input_folder.is_file():
        raise UsageError(
            "The input is a file. Give the folder that holds the DICOM files. `groundglass analyse` also takes a NIfTI "
            "file (.nii, .nii.gz)."
        )
    if not input_folder.is_dir():
        raise UsageError("The input folder does not exist or is no folder. Check its path.")
    with _prepared(output_folder, input_folder):
        check_room(output_folder, LEAST_ROOM_BYTES)
        return _run(input_folder, output_folder, model_folder, settings, carry_out, pipeline, names)


def _run(
    input_folder: Path,
    output_folder: Path,
    model_folder: Path,
    settings: "Settings",
    carry_out: CarryOut,
    pipeline: "Pipeline | None",
    names: "Sequence[str] | None",
) -> ExitCode:
    with many_imports():
        from groundglass.dicomio.reading.scan import list_files, scan_folder
        from groundglass.pipeline import Pipeline
        from groundglass.progress import ProgressReporter
        from groundglass.result import write_result
        from groundglass.run import Run

    try:
        names = list_files(input_folder) if names is None else names
    except OSError as error:
        raise UsageError(tell_unlisted(error, input_folder, "input folder")) from error
    pipeline = pipeline or Pipeline.load(settings, model_folder)
    _clear(output_folder)
    progress = ProgressReporter()
    run = Run(pipeline, output_folder, progress)
    carry_out(run, partial(scan_folder, input_folder, names=names))
    progress.close()
    code = write_result(run.record, pipeline.software, output_folder)
    _tell(run.record, code)
    return code


def tell_unlisted(error: OSError, folder: Path, called: str) -> str:
    """Which folder can't be listed, and what to do.

    A name that begins with a letter or a digit may be a patient's, so only the log of level DEBUG has it.
    """
    inner = Path(os.path.relpath(os.fsdecode(error.filename or folder), folder))
    LOG.debug("The folder that can't be listed: %s", as_text(inner))
    if inner == Path():
        which = f"The {called}"
    elif inner.name[0].isalnum():
        which = f"A folder in the {called}, {len(inner.parts)} deep ('-l DEBUG' tells its name),"
    else:
        which = f"The folder {as_text(inner.name)} in the {called}, {len(inner.parts)} deep,"
    return f"{which} can't be listed ({error.strerror}), and slices may lie in it. Check its permissions and the mount."


def as_text(path: Path | str) -> str:
    """A path as text that any log or file takes, though a path may be any bytes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@contextmanager
def _prepared(folder: Path, input_folder: Path) -> Iterator[None]:
    """Make the folder, prove that it can be written and hold it."""
    try:
        if lies_in(folder, input_folder):
            LOG.warning("The result folder lies in the study folder, so that results lie among the images.")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        lock = _lock(folder)
    except OSError as error:
        raise _not_writable(error, folder) from error
    try:
        yield
    finally:
        os.close(lock)


def _clear(folder: Path) -> None:
    """Remove the results of an earlier run, once nothing in the call stands in the way of new ones.

    They would be taken for results of this run, so exactly the files that the application itself names are removed;
    anything else in the folder stays.
    """
    try:
        # result.json first: without it the others count for nothing, should this be killed in between.
        for path in sorted(folder.iterdir(), key=lambda path: path.name != "result.json"):
            if _OWN_FILES.fullmatch(path.name):
                path.unlink()
    except OSError as error:
        raise _not_writable(error, folder) from error


def _not_writable(error: OSError, folder: Path) -> UsageError:
    why = why_unwritable(error, folder)
    return UsageError(f"The output folder can't be written ({why}). Give a folder that can be written.")


def _lock(folder: Path) -> int:
    """The folder itself, open and locked: a second run would take this one's files for those of an earlier one."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise UsageError(
            "Another run is writing into the output folder. Wait for it, or give another folder."
        ) from error
    except OSError:
        LOG.debug("The file system of the output folder locks no folders.")
    return lock


def _tell(record: "RunRecord", code: ExitCode) -> None:
    """One line a case, and why there is none."""
    for case, outputs in record.cases:
        if case.status == "analysed":
            LOG.info("%s: analysed, %d files", case.name, len(outputs))
        else:
            LOG.error("%s: %s (%s). %s", case.name, case.status, case.reason_code, case.reason)
        for warning in case.warnings:
            LOG.warning("%s: %s", case.name, warning)
    if code is ExitCode.NO_ELIGIBLE_SERIES:
        from groundglass.study import why_none

        rejected = [item["reasons"] for item in record.series_rejected]
        for line in why_none(rejected, [item["reason"] for item in record.files_ignored]):
            LOG.error("%s", line)
