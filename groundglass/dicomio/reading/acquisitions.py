"""Images at one place: of copies one is kept, of several acquisitions the one that covers the others.

What can't be told apart is refused.
"""

from collections.abc import Sequence

import numpy as np
from pydicom.dataset import Dataset

from groundglass.dicomio.reading.attributes import text
from groundglass.dicomio.reading.defects import Defect
from groundglass.dicomio.reading.measures import in_order
from groundglass.dicomio.reading.pixels import pixel_digest
from groundglass.domain.arrays import Coordinates
from groundglass.domain.errors import Refusal
from groundglass.domain.refusals import RefusalCode

_SAME_POSITION_MM = 0.05
"""Images closer than this lie at the same place; no CT reconstructs slices so close."""
_BEYOND = 0.1
"""How far an acquisition may reach beyond another one that covers it, in parts of the other's extent."""


def one_image_a_position(
    instances: Sequence[Dataset], directions: Coordinates
) -> tuple[tuple[Dataset, ...], tuple[Defect, ...]]:
    """The images without copies, and of several acquisitions at the same positions the one that covers the others.

    Raises:
        Refusal: DUPLICATE_POSITION.
    """
    kept, copies = _without_copies(instances, directions)
    notes = []
    if copies:
        problem = f"differs between identical images, of which one each is analysed ({copies} images left out)"
        notes.append(Defect("SOPInstanceUID", problem))
    shared = _count_shared(kept, directions)
    if not shared:
        return kept, tuple(notes)
    for keyword in ("AcquisitionNumber", "AcquisitionTime"):
        chosen = _covering_group(kept, keyword, directions)
        if chosen is not None:
            left_out = len(kept) - len(chosen)
            problem = (
                f"tells acquisitions at the same positions apart, of which the one with {len(chosen)} images is "
                f"analysed ({left_out} images left out)"
            )
            return chosen, (*notes, Defect(keyword, problem))
    raise Refusal(
        RefusalCode.DUPLICATE_POSITION,
        f"{shared} of {len(kept)} images lie at the position of another image, and no acquisition number or time "
        "tells which belong together. Send each acquisition or reconstruction as a series of its own.",
    )


def _count_shared(instances: Sequence[Dataset], directions: Coordinates) -> int:
    """How many images lie where another does."""
    _, positions_mm = in_order(instances, directions)
    return int((np.diff(positions_mm @ directions[0]) < _SAME_POSITION_MM).sum())


def _without_copies(instances: Sequence[Dataset], directions: Coordinates) -> tuple[tuple[Dataset, ...], int]:
    """The images without those that show, at the place of another, the same pixels with the same rescale."""
    headers, positions_mm = in_order(instances, directions)
    depths_mm = positions_mm @ directions[0]
    is_shared = np.diff(depths_mm) < _SAME_POSITION_MM
    if not is_shared.any() or is_shared.all():
        return tuple(instances), 0
    copies: set[int] = set()
    seen: dict[tuple[bytes, ...], int] = {}
    for index, header in enumerate(headers):
        near = is_shared[max(0, index - 1) : index + 1]
        digest = pixel_digest(header) if near.any() else None
        if digest is None:
            continue
        likeness = (digest, *(text(header, name).encode() for name in ("RescaleSlope", "RescaleIntercept")))
        other = seen.setdefault(likeness, index)
        if other != index and np.abs(positions_mm[index] - positions_mm[other]).max() < _SAME_POSITION_MM:
            copies.add(id(header))
    return tuple(header for header in instances if id(header) not in copies), len(copies)


def _covering_group(instances: Sequence[Dataset], keyword: str, directions: Coordinates) -> tuple[Dataset, ...] | None:
    """The largest group of images with one value of `keyword`, if it reaches as far as all the others.

    None where the groups don't lie over one another, as the parts of a step-and-shoot series don't: nothing of a scan
    may be lost.
    """
    groups: dict[str, list[Dataset]] = {}
    for header in instances:
        groups.setdefault(text(header, keyword), []).append(header)
    if len(groups) < 2 or "" in groups:
        return None
    largest = max(groups.values(), key=len)  # of equally large ones the first, in the order of the files
    first_of_all = sorted((key for key, group in groups.items() if len(group) == len(largest)), key=_as_number)[0]
    chosen = groups[first_of_all]
    if len(chosen) < 2 or _count_shared(chosen, directions):
        return None
    own_mm = in_order(chosen, directions)[1] @ directions[0]
    all_mm = in_order(instances, directions)[1] @ directions[0]
    beyond_mm = _BEYOND * (own_mm[-1] - own_mm[0])
    is_covered = all_mm[0] >= own_mm[0] - beyond_mm and all_mm[-1] <= own_mm[-1] + beyond_mm
    return tuple(chosen) if is_covered else None


def _as_number(value: str) -> tuple[float, str]:
    try:
        return float(value), value
    except ValueError:
        return np.inf, value
