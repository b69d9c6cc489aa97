"""What can go wrong, as sentences that tell clinical IT what is wrong and what to do; no patient's data in them."""

from groundglass.domain.refusals import RefusalCode


class GroundglassError(Exception):
    """Every error that the library raises on purpose."""


class _Coded(GroundglassError):
    def __init__(self, code: RefusalCode, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}"


class Refusal(_Coded):
    """A series that must not be analysed, or for which the method can't give an answer: its result could be wrong.

    Attributes:
        code: for programs.
        reason: full sentences for people: what is wrong, with numbers, and what to do. No patient data, no UID.
    """


class OutputFailed(_Coded):
    """Results can't be written.

    Attributes:
        code: DISK_FULL or OUTPUT_NOT_WRITABLE.
        reason: full sentences for people: what is wrong and what to do; no path, since it may name a patient.
    """


class UsageError(GroundglassError, ValueError):
    """The call can't be carried out as it is: command line, settings, weights, device or a folder."""
