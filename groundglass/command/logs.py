"""What a command says: its log, its standard streams, and the end of its process."""

import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import NoReturn

from groundglass.command.startup import collect_seldom, leave_garbage
from groundglass.exit_codes import ExitCode

LOG = logging.getLogger("groundglass")
LEVELS = ("DEBUG", "INFO", "WARN", "ERROR", "CRITICAL")


def set_up_logging(level: str) -> None:
    """The application's log, and none of what its libraries say of a patient's headers."""
    name = "WARNING" if level == "WARN" else level
    logging.basicConfig(stream=sys.stderr, level="WARNING", format="%(levelname)s %(message)s")
    LOG.setLevel(name)
    warnings.filterwarnings("ignore", message="Current stack size")  # the engine's wish, of no use to a reader
    # pydicom quotes header values in its warnings, and a header value may be a patient's.
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)  # says of a broken file what the error says too
    warnings.filterwarnings("ignore", module="pydicom|highdicom")


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


def exit_with(
    main: Callable[[], int], starts_processes: bool = False, what_remains: str = "what was finished is whole."
) -> NoReturn:
    """Leave the process with the exit code; an unforeseen exception is told without a patient's data.

    Args:
        main: the command.
        starts_processes: it has processes of its own, which must not inherit what a clean end does to signals.
        what_remains: told where it is stopped by Ctrl-C and has not asked for a clean end itself.
    """
    from groundglass.interruption import end_cleanly_when_asked

    collect_seldom()
    open_standard_streams()
    if not starts_processes:
        end_cleanly_when_asked()
    try:
        code = int(main())
    except KeyboardInterrupt:
        LOG.error("Stopped before the end: %s", what_remains)
        code = 128 + signal.SIGINT
    except Exception as defect:
        # Not the exception's text, nor that of its causes: it may quote the source's attributes.
        LOG.debug("%s", "".join(traceback.format_tb(defect.__traceback__)))
        LOG.error("The software failed with %s. This is a defect: please report it.", type(defect).__name__)
        code = int(ExitCode.DEFECT)
    leave_garbage()
    sys.exit(code)
