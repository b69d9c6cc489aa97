"""What can go wrong, as sentences that tell clinical IT what is wrong and what to do; no patient's data in them."""


class SeriesRefused(Exception):
    """An eligible series that must not be analysed, because its result could be wrong.

    Attributes:
        code: a stable upper-case word for programs, for example GAP, ORIENTATION or TOO_FEW_SLICES.
        reason: full sentences for people: what is wrong, with numbers, and what to do. No patient data, no UID.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}"


class OutputFailed(Exception):
    """Results can't be written.

    Attributes:
        code: DISK_FULL or OUTPUT_NOT_WRITABLE.
        reason: full sentences for people: what is wrong and what to do; no path, since it may name a patient.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}"


class Unsuitable(ValueError):
    """The volume is sound, but the method can't give an answer for it.

    Attributes:
        code: a stable upper-case word for programs.
        reason: full sentences with the figures, and what to do; no patient's data.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class UsageError(ValueError):
    """The call can't be carried out as it is: command line, settings, weights, device or a folder."""
