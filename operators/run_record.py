"""What a run leaves behind besides its DICOM objects: the facts result.json is made of."""

from dataclasses import dataclass, field

from operators.case import Case


@dataclass
class RunRecord:
    """Filled by three operators, each its own list; read once the graph has ended.

    Attributes:
        files_ignored: by the loader, `{file, reason}`.
        series_rejected: by the series selector, `{series_instance_uid, reasons}`.
        cases: by the writer, each with the names of the files written.
    """

    files_ignored: list[dict[str, str]] = field(default_factory=list)
    series_rejected: list[dict[str, object]] = field(default_factory=list)
    cases: list[tuple[Case, list[str]]] = field(default_factory=list)
