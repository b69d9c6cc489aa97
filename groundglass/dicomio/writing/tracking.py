"""Names and UIDs by which the outputs tell that they speak of one and the same region."""

from collections.abc import Sequence

from pydicom import Dataset

from groundglass.dicomio.writing import identity
from groundglass.domain.software import SoftwareIdentity


def region_name(number: int) -> str:
    """The tracking identifier of a listed region, and its label in the pictures."""
    return f"Region {number}"


def tracking_uid(sources: Sequence[Dataset], software: SoftwareIdentity, label: str) -> str:
    """The tracking UID of what `label` names, the same in every output of a run and of its repetition."""
    return identity.derive_uid(*identity.run_parts(sources, software), "tracking", label)
