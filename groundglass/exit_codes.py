"""Exit codes of the application; the container passes them on unchanged."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What clinical IT acts on."""

    SUCCESS = 0
    """Every eligible case was analysed; a negative study too."""
    DEFECT = 1
    """The software failed in a way it was not built for."""
    USAGE = 2
    """The command line, the settings, the weights or a folder can't be used."""
    NO_ELIGIBLE_SERIES = 3
    """The input holds no series that can be analysed."""
    ALL_FAILED = 4
    """There were eligible series, and all were refused or failed."""
    PARTIAL = 5
    """Some eligible series were analysed and some were not."""


_MEANINGS = {
    ExitCode.SUCCESS: "every case was analysed, negative studies too",
    ExitCode.DEFECT: "the software failed: report it, with the last line of the log",
    ExitCode.USAGE: "the command line, the settings, the weights or a folder can't be used",
    ExitCode.NO_ELIGIBLE_SERIES: "the input holds no series that can be analysed",
    ExitCode.ALL_FAILED: "there were series to analyse, and all were refused or failed",
    ExitCode.PARTIAL: "some cases were analysed, some not",
}
EXPLAINED = "exit codes:\n" + "\n".join(f"  {code.value}  {meaning}" for code, meaning in _MEANINGS.items())
"""For help texts."""
