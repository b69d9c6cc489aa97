"""The errors of reading DICOM and of writing results."""


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
