"""Who made a result: name and version, weights and settings."""

from dataclasses import dataclass

NAME = "Groundglass"
RESEARCH_USE = "Research use only; not for clinical decisions"
VERSION = "0.1.0"
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
