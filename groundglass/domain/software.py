"""Who made a result: name and version, weights and settings."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

NAME = "Groundglass"
RESEARCH_USE = "Research use only; not for clinical decisions"
INTENDED_USE = "Research. Not for clinical decisions, not a medical device, not validated prospectively."
"""As the model cards and the report of the self-test say it."""
VERSION = "0.2.0"
"""The one place of it: the package's metadata and all that tells a version read it here."""


@dataclass(frozen=True)
class SoftwareIdentity:
    """Who made a result: written into every DICOM object and into result.json."""

    name: str
    version: str
    weights_sha256: dict[str, str]
    """SHA-256 of each weight file by model name."""
    device: str
    """`cpu` or `cuda`."""
    settings_sha256: str
    """Of the settings that shape a result."""


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as lower-case hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
