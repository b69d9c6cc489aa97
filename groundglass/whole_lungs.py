"""Which series of a study shows the lungs whole: what headers can't tell, and is seen once they were looked for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from groundglass.case import ANALYSED, REFUSED, Case
from groundglass.dicomio.reading.attributes import text
from groundglass.dicomio.reading.body_part import is_named_as_another_part
from groundglass.dicomio.reading.checked_series import CheckedSeries
from groundglass.dicomio.reading.geometry import Grid
from groundglass.domain.arrays import Coordinates
from groundglass.domain.refusals import RefusalCode
from groundglass.domain.volume import LOWEST_SLICE, Face
from groundglass.pipeline import SegmentedLungs

MOST_LOOKS = 3
"""Series whose lungs are looked for, of one study: each costs the time of a segmentation."""
_FURTHER_MM = 10.0
"""Less can't hold what is missing of lungs."""
_LARGER = 1.05
"""Of the lungs, where none of the series shows them whole: less of a gain isn't worth a worse series."""


@dataclass(frozen=True)
class Look:
    """A series whose lungs were looked for, and what came of it.

    Attributes:
        checked: the series.
        case: without what takes memory; refused where the series must not be analysed as it is.
        cut_at: where its images cut the lungs.
        lungs_ml: of both lungs.
    """

    checked: CheckedSeries
    case: Case[None]
    cut_at: tuple[Face, ...] = ()
    lungs_ml: float = 0.0

    @property
    def is_whole(self) -> bool:
        return self.case.status == ANALYSED and not self.cut_at

    @property
    def outcome(self) -> str:
        """In a sentence about `the series`."""
        if self.case.reason_code == RefusalCode.NO_LUNGS:
            return "No lungs were found in it."
        if self.case.status != ANALYSED:
            return f"It can't be analysed ({self.case.reason_code}). {self.case.reason}"
        return "Its images cut the lungs." if self.cut_at else "Its images show the lungs whole."


def look_at(case: Case[Any], lungs: SegmentedLungs | None, goes_on_below: bool) -> Look:
    """What the search for the lungs of a case has found.

    Args:
        case: after it, analysed so far or not.
        lungs: what was found; None where it was refused or has failed.
        goes_on_below: as `ReadSeries` has it.
    """
    if case.checked is None:
        raise ValueError("The case doesn't know its series.")
    small: Case[None] = case.with_found(None)
    if lungs is None:
        return Look(case.checked, small)
    reason = None
    if goes_on_below and LOWEST_SLICE in lungs.cut_at:
        code = RefusalCode.DUPLICATE_POSITION
        reason = (
            "The series holds several acquisitions, and the one that reaches highest cuts the lungs at its lower end, "
            "where another goes on. Send each acquisition as a series of its own."
        )
    elif lungs.cut_at and is_named_as_another_part(case.sources[0]):
        code = RefusalCode.OTHER_BODY_PART
        reason = (
            "The body part examined is not the chest, no description names it, and the images cut the lungs. Send a "
            "series that shows the chest, or correct BodyPartExamined where it is wrong."
        )
    if reason is not None:
        small = replace(small, status=REFUSED, reason_code=code, reason=reason)
    return Look(case.checked, small, lungs.cut_at, lungs.right_ml + lungs.left_ml)


def next_to_look_at(looks: Sequence[Look], others: Sequence[CheckedSeries]) -> CheckedSeries | None:
    """The next series of the study that may show the lungs whole where those looked at don't, if there is one.

    A series that is cut where the others are, as are the reconstructions of one scan, shows no more than they do.

    Args:
        looks: in their order.
        others: the other eligible series of the study, best first.
    """
    is_over = looks[-1].is_whole or looks[-1].case.status not in (ANALYSED, REFUSED)
    if is_over or len(looks) == MOST_LOOKS:
        return None
    seen = [look.checked for look in looks]
    return next(
        (
            other
            for other in others
            if isinstance(other.outcome, Grid)
            and not any(other is checked for checked in seen)
            and all(_may_show_more(other.outcome, look) for look in looks)
        ),
        None,
    )


def best_of(looks: Sequence[Look]) -> Look:
    """The series that is analysed: whole lungs, then clearly larger ones, then the one that its headers prefer."""
    first_ml = looks[0].lungs_ml

    def worth(look: Look) -> tuple[bool, bool, float]:
        larger_ml = look.lungs_ml if look.lungs_ml > _LARGER * first_ml else first_ml
        return look.case.status == ANALYSED, look.is_whole, larger_ml

    return max(looks, key=worth)  # the first of equals


def why_this_one(first: Look, best: Look) -> str:
    """That, and why, not the series was analysed that its headers prefer."""
    shows = "shows them whole" if best.is_whole else "shows more of them"
    if first.case.reason_code == RefusalCode.NO_LUNGS:
        instead = f"no lungs were found in it, so this series was analysed, which {shows}"
    elif first.case.status != ANALYSED:
        instead = f"it can't be analysed ({first.case.reason_code}), so this series was"
    else:
        instead = f"its images cut the lungs, so this series was analysed, which {shows}"
    return f"Another series of the study is preferred by its headers, but {instead}."


def _may_show_more(other: Grid, look: Look) -> bool:
    own = look.checked.outcome
    if not isinstance(own, Grid) or _frame(own) != _frame(other):
        return True
    if look.cut_at:
        return all(_reaches_further(other, own, _outwards(own, face)) for face in look.cut_at)
    if look.case.reason_code == RefusalCode.NO_LUNGS:
        return any(_reaches_further(other, own, sign * axis) for axis in own.directions for sign in (-1, 1))
    return True  # refused for its pixels


def _frame(grid: Grid) -> str:
    return text(grid.headers[0], "FrameOfReferenceUID")


def _outwards(grid: Grid, face: Face) -> Coordinates:
    axis, end = face
    direction: Coordinates = grid.directions[axis] if end else -grid.directions[axis]
    return direction


def _reaches_further(other: Grid, own: Grid, direction: Coordinates) -> bool:
    return _reach_mm(other, direction) > _reach_mm(own, direction) + _FURTHER_MM


def _reach_mm(grid: Grid, direction: Coordinates) -> float:
    """How far the voxels of a grid go along a direction in patient coordinates."""
    lengths_mm = (np.array(grid.shape) - 1) * grid.spacing_mm
    along_mm = (grid.directions @ direction) * lengths_mm
    return float(grid.origin_mm @ direction + np.maximum(along_mm, 0).sum())
