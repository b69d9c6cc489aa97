"""Images at one place: of several acquisitions the one that shows the whole chest, of copies one is kept.

What can't be told apart is refused.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from groundglass.dicomio.reading.attributes import text
from groundglass.dicomio.reading.defects import Defect
from groundglass.dicomio.reading.frames import Frame
from groundglass.dicomio.reading.measures import in_order
from groundglass.dicomio.reading.pixels import pixel_digest
from groundglass.dicomio.reading.regular_grid import are_even
from groundglass.dicomio.reading.stacking import thickness_mm
from groundglass.domain.arrays import Coordinates
from groundglass.domain.errors import Refusal
from groundglass.domain.refusals import RefusalCode

_SAME_POSITION_MM = 0.05
"""Images closer than this lie at the same place; no CT reconstructs slices so close."""
_BEYOND = 0.1
"""How far an acquisition may reach beyond another one that covers it, in parts of the other's extent."""
_CHEST_MM = 220.0
"""No pass of a step-and-shoot scan is as high (detectors have 160 mm), and lungs seldom are higher. An acquisition that
reaches highest and is as high is a chest of its own, not the upper part of one."""
_LEAST_PASS = 10
"""Images of a pass that only the order of their times tells from the next: fewer are times that alternate. As many
between the slices of another acquisition are no scan's own whose number is wrong."""
_GAP = 0.6
"""A stack whose slices are thinner than this part of their distance has gaps."""
_OBJECT = "SOPInstanceUID"
_NUMBERS = (_OBJECT, "AcquisitionNumber", "TemporalPositionIdentifier")
_KEYWORDS = (*_NUMBERS, "AcquisitionDateTime", "AcquisitionTime")
"""What may tell acquisitions apart; the first are multi-frame objects."""


@dataclass(frozen=True)
class OneEach:
    """Images of which no two lie at one position.

    Attributes:
        images: of them, in the order in which they came.
        notes: what was left out.
        goes_on_below: whether another acquisition, which was left out, reaches further to the patient's feet.
    """

    images: tuple[Dataset, ...]
    notes: tuple[Defect, ...] = ()
    goes_on_below: bool = False


def one_image_a_position(instances: Sequence[Dataset], directions: Coordinates) -> OneEach:
    """The images without copies, and of several acquisitions of the same place the one that shows the chest.

    That is the largest that covers all the others; else, where there is none, a chest above others that reach lower, as
    phases of the liver do. Acquisitions whose slices lie between those of another, at no common position, are told by
    their numbers alone.

    Raises:
        Refusal: DUPLICATE_POSITION.
    """
    is_shared = _count_shared(instances, directions) > 0
    keywords = _KEYWORDS if is_shared else _NUMBERS
    # Copies are sought within an acquisition: what two of them have alike, air above the head for example, is none.
    groupings = {keyword: _groups(instances, keyword, directions) for keyword in keywords}
    for keyword, groups in groupings.items():
        chosen = _chest_of(groups, instances, directions)
        if chosen is not None and (is_shared or _is_interleaved(chosen, instances, directions)):
            left_out = len(instances) - len(chosen.images)
            problem = (
                f"tells acquisitions of the same place apart, of which the one with {len(chosen.images)} images is "
                f"analysed ({left_out} images left out)"
            )
            return OneEach(chosen.images, (Defect(keyword, problem), *chosen.notes), chosen.goes_on_below)
    if not is_shared:
        return OneEach(tuple(instances))
    alone = _without_copies(instances, directions)
    shared = _count_shared(alone.images, directions)
    if not shared:
        return alone
    raise Refusal(RefusalCode.DUPLICATE_POSITION, _why_refused(groupings, shared, len(alone.images), directions))


def _why_refused(groupings: dict[str, list[OneEach]], shared: int, total: int, directions: Coordinates) -> str:
    told = f"{shared} of {total} images lie at the position of another image"
    for keyword, groups in groupings.items():
        if groups and not any(_count_shared(group.images, directions) for group in groups):
            by = "The multi-frame object" if keyword == _OBJECT else keyword
            return (
                f"{told}. {by} tells {len(groups)} acquisitions apart, but none of them covers the others, or is a "
                f"whole chest above them, at least {_CHEST_MM:.0f} mm high. Send each acquisition as a series of its "
                "own."
            )
    return (
        f"{told}, and none of {', '.join(_KEYWORDS[1:])}, nor the object that holds them, parts the images into "
        "acquisitions with one image at each position. Send each acquisition or reconstruction as a series of its own."
    )


def _count_shared(instances: Sequence[Dataset], directions: Coordinates) -> int:
    """How many images lie where another does."""
    _, positions_mm = in_order(instances, directions)
    return int((np.diff(positions_mm @ directions[0]) < _SAME_POSITION_MM).sum())


def _without_copies(instances: Sequence[Dataset], directions: Coordinates) -> OneEach:
    """The images without those that show, at the place of another, the same pixels with the same rescale."""
    headers, positions_mm = in_order(instances, directions)
    depths_mm = positions_mm @ directions[0]
    is_shared = np.diff(depths_mm) < _SAME_POSITION_MM
    if not is_shared.any() or is_shared.all():
        return OneEach(tuple(instances))
    copies: set[int] = set()
    seen: dict[tuple[bytes, ...], int] = {}  # the last one: slices elsewhere may have the same pixels, of air alone
    for index, header in enumerate(headers):
        near = is_shared[max(0, index - 1) : index + 1]
        digest = pixel_digest(header) if near.any() else None
        if digest is None:
            continue
        likeness = (digest, *(text(header, name).encode() for name in ("RescaleSlope", "RescaleIntercept")))
        other = seen.get(likeness)
        if other is not None and np.abs(positions_mm[index] - positions_mm[other]).max() < _SAME_POSITION_MM:
            copies.add(id(header))
        else:
            seen[likeness] = index
    if not copies:
        return OneEach(tuple(instances))
    problem = f"differs between identical images, of which one each is analysed ({len(copies)} images left out)"
    kept = tuple(header for header in instances if id(header) not in copies)
    return OneEach(kept, (Defect("SOPInstanceUID", problem),))


def _groups(instances: Sequence[Dataset], keyword: str, directions: Coordinates) -> list[OneEach]:
    """The acquisitions by an attribute, largest first, then by its value, without copies.

    None where it tells none apart: an image lacks it, or all have the same, or each its own.
    """
    by_value: dict[str, list[Dataset]] = {}
    for header in instances:
        by_value.setdefault(_value(header, keyword), []).append(header)
    if len(by_value) < 2 or "" in by_value:
        return []
    if keyword.endswith("Time") and len(by_value) > len(instances) // 4:
        if any(_count_shared(images, directions) for images in by_value.values() if len(images) > 1):
            return []
        passes = list(_passes(instances, keyword, directions))
        if min(map(len, passes)) < _LEAST_PASS:
            return []
        by_value = {str(number): images for number, images in enumerate(passes)}
    if max(map(len, by_value.values())) < 2:
        return []
    ordered = sorted(by_value, key=lambda value: (-len(by_value[value]), _as_number(value)))
    return [_without_copies(by_value[value], directions) for value in ordered]


def _value(header: Dataset, keyword: str) -> str:
    if keyword == _OBJECT:
        return text(header, keyword) if isinstance(header, Frame) else ""
    return text(header, keyword)


def _passes(instances: Sequence[Dataset], keyword: str, directions: Coordinates) -> Iterator[list[Dataset]]:
    """The images in the order of their times, a new pass beginning where one comes to a position a second time."""
    headers, positions_mm = in_order(instances, directions)
    depths_mm = positions_mm @ directions[0]
    # The same number for all images at one position.
    places = np.concatenate([[0], np.cumsum(np.diff(depths_mm) >= _SAME_POSITION_MM)])
    pairs = zip(headers, places.tolist(), strict=True)
    images: list[Dataset] = []
    taken: set[int] = set()
    for header, place in sorted(pairs, key=lambda pair: _as_number(text(pair[0], keyword))):
        if place in taken:
            yield images
            images, taken = [], set()
        images.append(header)
        taken.add(place)
    yield images


def _chest_of(groups: Sequence[OneEach], instances: Sequence[Dataset], directions: Coordinates) -> OneEach | None:
    """The first of the acquisitions that covers all, or else the first that is a chest above the others.

    None where they don't lie over one another, as the parts of a step-and-shoot series don't: nothing of a scan may be
    lost.
    """
    all_mm = in_order(instances, directions)[1] @ directions[0]
    chests = []
    for group in groups:
        if len(group.images) < 2 or _count_shared(group.images, directions):
            continue
        own_mm = in_order(group.images, directions)[1] @ directions[0]
        extent_mm = own_mm[-1] - own_mm[0]
        beyond_mm = _BEYOND * extent_mm
        if all_mm[0] < own_mm[0] - beyond_mm:
            continue
        if all_mm[-1] <= own_mm[-1] + beyond_mm:
            return group
        if extent_mm >= _CHEST_MM:
            chests.append(OneEach(group.images, group.notes, goes_on_below=True))
    return chests[0] if chests else None


def _is_interleaved(chosen: OneEach, instances: Sequence[Dataset], directions: Coordinates) -> bool:
    """Whether an acquisition is a whole stack by itself, and another one's slices lie between its own.

    Slices far apart, between which others fill the gaps, are no whole stack: numbers alternate along one scan.
    """
    own = {id(header) for header in chosen.images}
    headers, positions_mm = in_order(instances, directions)
    depths_mm = positions_mm @ directions[0]
    is_own = np.array([id(header) in own for header in headers])
    first, last = np.flatnonzero(is_own)[[0, -1]]
    if np.count_nonzero(~is_own[first:last]) < _LEAST_PASS:
        return False
    own_mm, all_mm = (float(np.median(np.abs(np.diff(depths)))) for depths in (depths_mm[is_own], depths_mm))
    if _GAP * all_mm <= max(map(thickness_mm, chosen.images)) < _GAP * own_mm:
        return False
    try:
        are_even(depths_mm[is_own])
    except Refusal:
        return False
    return True


def _as_number(value: str) -> tuple[float, str]:
    try:
        return float(value), value
    except ValueError:
        return np.inf, value
