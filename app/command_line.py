"""The command line: check what can be known beforehand, run the graph, write result.json, tell how it went."""

import argparse
import fcntl
import logging
import os
import re
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from app import NAME, SETTINGS_FILE, VERSION
from app.exit_codes import ExitCode

if TYPE_CHECKING:  # the help answers at once
    from app.settings import Settings

LEAST_ROOM_BYTES = 4_000_000
"""Free on the output folder's disk, or nothing is begun: even a refusal writes a report and result.json."""

NOT_LISTED = "can't be listed ({}), and slices may lie in it. Check its permissions and the mount."

LOG = logging.getLogger("groundglass")
_LEVELS = ("DEBUG", "INFO", "WARN", "ERROR", "CRITICAL")
_OWN_FILES = re.compile(
    r"case-\d{3,}\.(seg|salient-seg|sr|key-images|boxes|saliency)\.dcm|case-\d{3,}\.preview\.png|result\.json"
    r"|\.(case-\d{3,}\.[a-z.-]+|result\.json)\.\d+\.part"  # of a run that was killed
)

_CODES = "\n".join(f"  {code.value}  {code.name.lower().replace('_', ' ')}" for code in ExitCode)
_EXAMPLES = f"""
examples:
  python -m app -i study/ -o results/ -m models/
  HOLOSCAN_INPUT_PATH=study HOLOSCAN_OUTPUT_PATH=results HOLOSCAN_MODEL_PATH=models python -m app

exit codes:
{_CODES}
  130, 143  stopped by SIGINT or SIGTERM: the files of finished cases are whole, and there is no result.json
"""


class UsageError(ValueError):
    """The call can't be carried out as it is."""


def main(arguments: list[str] | None = None) -> ExitCode:
    """Run the application; every problem becomes a sentence on standard error and an exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    set_up_logging(options.log_level)
    # Imports wait until they are needed: the help answers at once, and a wrong path is told before a network is loaded.
    from app.settings import SettingsError
    from dicomio.errors import OutputFailed

    try:
        return run(Path(options.input), Path(options.output), Path(options.model), Path(options.settings))
    except (UsageError, SettingsError) as error:
        LOG.error("%s", error)
        return ExitCode.USAGE
    except OutputFailed as failure:
        LOG.error("%s There is no result.json.", failure.reason)
        return ExitCode.USAGE


def run(input_folder: Path, output_folder: Path, model_folder: Path, settings_file: Path = SETTINGS_FILE) -> ExitCode:
    """Analyse every chest CT under `input_folder` and write the results into `output_folder`.

    Raises:
        UsageError, SettingsError: before anything is computed.
        OutputFailed: the output folder is full, or result.json can't be written.
    """
    from app.settings import load_settings
    from dicomio.files import check_room

    settings = load_settings(settings_file)
    if not input_folder.is_dir():
        raise UsageError("The input folder does not exist or is no folder. Give it with -i.")
    with _prepared(output_folder):
        check_room(output_folder, LEAST_ROOM_BYTES)
        return _analyse(input_folder, output_folder, model_folder, settings)


def _analyse(input_folder: Path, output_folder: Path, model_folder: Path, settings: "Settings") -> ExitCode:
    from app.analysis import AnalysisError, load_analysis
    from app.progress import ProgressReporter
    from dicomio.scan import list_files, scan_folder

    try:
        names = list_files(input_folder)
    except OSError as error:
        raise UsageError(f"The input folder, or a folder in it, {NOT_LISTED.format(error.strerror)}") from error
    try:
        analysis = load_analysis(settings, model_folder)
    except AnalysisError as error:
        raise UsageError(str(error)) from error
    from app.result import write_result  # it imports the graph's engine, for which `load_analysis` has prepared

    progress = ProgressReporter()
    record = analysis.run(partial(scan_folder, input_folder, names=names), output_folder, progress)
    progress.close()
    code = write_result(record, analysis.software, output_folder)
    _tell(record, code)
    return code


def _parser() -> argparse.ArgumentParser:
    environment = os.environ
    parser = argparse.ArgumentParser(
        prog="python -m app",
        description=f"{NAME} {VERSION}: chest CT in; lung segmentation, classification, saliency and report out. "
        "Research use only; not for clinical decisions.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "-i",
        "--input",
        type=_path,
        default=environment.get("HOLOSCAN_INPUT_PATH", "input"),
        help="folder with DICOM files, any nesting",
    )
    output = environment.get("HOLOSCAN_OUTPUT_PATH", "output")
    add("-o", "--output", type=_path, default=output, help="folder for the results")
    model = environment.get("HOLOSCAN_MODEL_PATH", "models")
    add("-m", "--model", type=_path, default=model, help="folder with the weights")
    add(
        "-w",
        "--workdir",
        default=environment.get("HOLOSCAN_WORKDIR"),
        help="accepted for orchestrators; nothing is kept there",
    )
    add("-l", "--log-level", type=str.upper, choices=_LEVELS, default="INFO", help="default INFO")
    add(
        "--settings",
        default=environment.get("HOLOSCAN_CONFIG_PATH", str(SETTINGS_FILE)),
        help="settings file (default app.yaml)",
    )
    add("--version", action="version", version=f"{NAME} {VERSION}")
    return parser


def _path(text: str) -> str:
    """A path: an empty one, such as an unset variable of a script gives, would be the folder that one is in."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    return text


def positive(text: str) -> int:
    """A whole number above 0, for options."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def set_up_logging(level: str) -> None:
    """The application's log, and none of what its libraries say of a patient's headers."""
    name = "WARNING" if level == "WARN" else level
    logging.basicConfig(stream=sys.stderr, level="WARNING", format="%(levelname)s %(message)s")
    LOG.setLevel(name)
    warnings.filterwarnings("ignore", message="Current stack size")  # the engine's wish, of no use to a reader
    # pydicom quotes header values in its warnings, and a header value may be a patient's.
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="pydicom|highdicom")
    # The engine's own log is of use only when the engine itself is in doubt. As an error it would print the text of any
    # exception, which may quote a header.
    os.environ.setdefault("HOLOSCAN_LOG_LEVEL", "DEBUG" if name == "DEBUG" else "OFF")


@contextmanager
def _prepared(folder: Path) -> Iterator[None]:
    """Make the folder, prove that it can be written, hold it, and clear the results of an earlier run.

    Files of an earlier run would be taken for results of this one, so exactly those that the application itself names
    are removed; anything else in the folder stays.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        lock = _lock(folder)
        # result.json first: without it the others count for nothing, should this be killed in between.
        for path in sorted(folder.iterdir(), key=lambda path: path.name != "result.json"):
            if _OWN_FILES.fullmatch(path.name):
                path.unlink()
    except OSError as error:
        raise UsageError(
            f"The output folder can't be written ({error.strerror}). Give a writable folder with -o."
        ) from error
    try:
        yield
    finally:
        os.close(lock)


def _lock(folder: Path) -> int:
    """The folder itself, open and locked: a second run would take this one's files for those of an earlier one."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise UsageError(
            "Another run is writing into the output folder. Wait for it, or give another folder with -o."
        ) from error
    except OSError:
        LOG.debug("The file system of the output folder locks no folders.")
    return lock


def _tell(record, code: ExitCode) -> None:  # type: ignore[no-untyped-def]
    """One line a case, and why there is none."""
    for case, outputs in record.cases:
        if case.status == "analysed":
            LOG.info("%s: analysed, %d files", case.name, len(outputs))
        else:
            LOG.error("%s: %s (%s). %s", case.name, case.status, case.reason_code, case.reason)
    if code is ExitCode.NO_ELIGIBLE_SERIES:
        LOG.error(
            "No series can be analysed: %d series rejected, %d files ignored. result.json gives the reasons.",
            len(record.series_rejected),
            len(record.files_ignored),
        )


def open_standard_streams() -> None:
    """Give a process that was started without them standard streams, to nowhere.

    Else a result would be opened under the number of standard error, and what decoders say there would end up in it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8")


def run_and_exit() -> None:
    """Leave the process with the exit code; an unforeseen exception is told without a patient's data."""
    from app.interruption import end_cleanly_when_asked

    open_standard_streams()
    end_cleanly_when_asked()
    try:
        code = main()
    except Exception as defect:
        # Not the exception's text, nor that of its causes: it may quote the source's attributes.
        LOG.debug("%s", "".join(traceback.format_tb(defect.__traceback__)))
        LOG.error("The software failed with %s. This is a defect: please report it.", type(defect).__name__)
        code = ExitCode.DEFECT
    sys.exit(int(code))
