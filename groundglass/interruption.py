"""The end that an orchestrator or a person asks for: SIGTERM and SIGINT."""

import logging
import os
import signal
import threading
from collections.abc import Callable

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


WHAT_REMAINS = "there is no result.json. The files of finished cases are whole."


def end_cleanly_when_asked(what_remains: str = WHAT_REMAINS) -> None:
    """From now on SIGTERM and SIGINT end the process at once, with 128 + the signal's number, and whole files only.

    The files of finished cases stay. Of the case under way none appears, nor does result.json, which only a run that
    has come to its end writes. A second signal ends the process without waiting for the disk.

    A thread waits for the signals, since a handler of Python's would not run before the graph's engine returns, and
    the engine installs handlers of its own. To be called in the main thread, before there are others.

    Args:
        what_remains: told at the end.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # threads to come inherit it
    # Not before: numpy comes with it, whose own threads would take the signals.
    from groundglass.dicomio.writing.files import abandon_files

    threading.Thread(target=_end, args=(abandon_files, what_remains), name="signals", daemon=True).start()


def _end(abandon_files: Callable[[], None], what_remains: str) -> None:
    number = signal.Signals(signal.sigwait(_SIGNALS))
    threading.Thread(target=_end_now, daemon=True).start()
    abandon_files()
    logging.getLogger("groundglass").error("Stopped by %s before the end: %s", number.name, what_remains)
    os._exit(128 + number)


def _end_now() -> None:
    os._exit(128 + signal.sigwait(_SIGNALS))
