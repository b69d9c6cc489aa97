"""Which of the eligible series of a study is analysed: first what shows the whole lungs, then what shows them best."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from groundglass.dicomio.reading.attributes import number, quiet_pydicom, text
from groundglass.dicomio.reading.body_part import hints_at_another_part
from groundglass.dicomio.reading.checked_series import CheckedSeries
from groundglass.dicomio.reading.derived_images import is_monoenergetic
from groundglass.dicomio.reading.measures import measures
from groundglass.dicomio.reading.stacking import spacing_and_extent_mm, stacking, thickness_mm
from groundglass.domain.errors import Refusal

_HEIGHT_MM, _WIDTH_MM = 270.0, 300.0
"""Of images that show the lungs of nearly every adult; more counts for nothing."""
_NOISY_KV = 100.0
"""Below it an image is noisy: of a pair of two energies it is the one that no one reads."""
_EXPIRATION = re.compile("EXSP|EXPIR|EXHAL|(?<![A-Z])ESPIR|AUSATM|UITADEM|(?<![A-Z])EXP(?![A-Z])")
_INSPIRATION = re.compile("INSP|INHAL|EINATM|INADEM")
_NO_CONTRAST = re.compile(
    r"(IV ?:? ?)?(N|NO|NONE|NON|NOT (GIVEN|USED|APPLICABLE)|NC|NIL|NULL|NA|N[/.]A|0+ ?(ML|CC)?|-+|FALSE|UNKNOWN|PLAIN"
    r"|WITHOUT|W/?O|UNENHANCED)[. ]*"
    r"|(NO|NONE|NON|WITHOUT|W/?O|OHNE|KEIN|SANS|SENZA|SIN)[^A-Z].*|(OHNE|KEIN|SANS|SENZA|NATIV|NON-?CON).*"
)
"""What is written into Contrast/Bolus Agent where there was none."""


@dataclass(frozen=True)
class Preference:
    """A series, and how it ranks.

    Attributes:
        checked: the series.
        criteria: how it ranks by each criterion, lowest first, and what to call that.
    """

    checked: CheckedSeries
    criteria: tuple[tuple[int, str], ...]

    @property
    def _order(self) -> tuple[list[int], str]:
        return [rank for rank, _ in self.criteria], self.checked.series.series_instance_uid

    def why_not(self, other: "Preference") -> list[str]:
        """All in which this series is better than another, what decided first."""
        reasons = [
            f"Another series of the study was preferred: it {own_text}, this one {other_text}."
            for (own_rank, own_text), (other_rank, other_text) in zip(self.criteria, other.criteria, strict=True)
            if own_rank < other_rank
        ]
        equal = "Another series of the study was preferred: the two are equal, and its Series Instance UID sorts first."
        return reasons or [equal]


@quiet_pydicom()
def in_order_of_preference(eligible: Sequence[CheckedSeries]) -> list[Preference]:
    """The series of one study, best first. The first of these that differs decides:

    1. what can be read, before what would be refused;
    2. a series that no tag calls another part of the body;
    3. height and width of the images: how much of the lungs they can show, in tenths of what the best series of the
       study has, up to what holds the lungs of nearly every adult;
    4. inspiration, before what is described as expiration;
    5. 100 kV or more, before less, which is noisy;
    6. an ordinary spectrum, before virtual monoenergetic images, which the networks have not learned from;
    7. original images, before derived ones such as reformatted slices;
    8. one volume, before slices to be placed on a regular grid;
    9. slices 0.5 to 1.5 mm apart and thick, then up to 3 mm, then under 0.5 mm apart (noise, and twice the time), then
       up to 5 mm, then the rest;
    10. a lung or standard kernel, before a bone or edge kernel;
    11. no contrast agent, before the phases with one;
    12. more slices;
    13. more extent, by whole millimetres;
    14. the Series Instance UID that sorts first, so that the choice never depends on the order of the files.
    """
    sizes = [_size_mm(checked) for checked in eligible]
    readable = [_coverage(*size) for size, checked in zip(sizes, eligible, strict=True) if not _is_refused(checked)]
    best = max(readable, default=1.0) or 1.0
    ranked = [
        Preference(checked, tuple(_criteria(checked, size, best)))
        for size, checked in zip(sizes, eligible, strict=True)
    ]
    return sorted(ranked, key=lambda item: item._order)


def _is_refused(checked: CheckedSeries) -> bool:
    return isinstance(checked.outcome, Refusal)


def _images(checked: CheckedSeries) -> Sequence[Dataset]:
    """Those that would be analysed."""
    return checked.series.instances if isinstance(checked.outcome, Refusal) else checked.outcome.headers


def _size_mm(checked: CheckedSeries) -> tuple[float, float]:
    """From the first to the last slice, and of the longer side of an image; zero where the headers don't say."""
    images = _images(checked)
    _, extent_mm = spacing_and_extent_mm(stacking(images)[0])
    spacing = measures(images[0], "PixelSpacing", 2) or (0.0, 0.0)
    sides_mm = [step * (number(images[0], name) or 0) for step, name in zip(spacing, ("Rows", "Columns"), strict=True)]
    return extent_mm, max(sides_mm)


def _coverage(height_mm: float, width_mm: float) -> float:
    """Part of the largest lungs that images of a size can show."""
    return min(height_mm / _HEIGHT_MM, 1.0) * min(width_mm / _WIDTH_MM, 1.0)


def _criteria(checked: CheckedSeries, size_mm: tuple[float, float], best: float) -> list[tuple[int, str]]:
    outcome, images = checked.outcome, _images(checked)
    refusal = f"would be refused ({outcome.code})" if isinstance(outcome, Refusal) else ""
    is_placed = not isinstance(outcome, Refusal) and outcome.placement is not None
    first, (extent_mm, width_mm) = images[0], size_mm
    lacking = max(0, int(10 * (1 - _coverage(*size_mm) / best) + 1e-6))
    spacing_mm, _ = spacing_and_extent_mm(stacking(images)[0])
    slice_mm = thickness_mm(first)
    kilovolts = number(first, "KVP")
    is_noisy = kilovolts is not None and 0 < kilovolts < _NOISY_KV
    is_derived = text(first, "ImageType").upper().startswith("DERIVED")
    return [
        _either(bool(refusal), refusal, "can be read"),
        _either(hints_at_another_part(first), "is called another part of the body", "is not called another part"),
        (lacking, f"has images {_size(width_mm, extent_mm)}"),
        _either(_is_expiration(first), "is described as expiration", "is not described as expiration alone"),
        _either(is_noisy, f"was made at {kilovolts or 0:g} kV", f"names no voltage below {_NOISY_KV:g} kV"),
        _either(is_monoenergetic(first), "has virtual monoenergetic images", "isn't said to have monoenergetic images"),
        _either(is_derived, "has derived images", "isn't said to have derived images"),
        _either(is_placed, "has slices to be placed on a regular grid", "is one volume"),
        (_spacing_rank(spacing_mm, slice_mm), f"has {_distances(spacing_mm, slice_mm)}"),
        _either(_has_bone_kernel(first), "has a bone or edge kernel", "names no bone or edge kernel"),
        _either(_has_contrast(first), "names a contrast agent", "names no contrast agent"),
        (-len(images), f"has {len(images)} slices"),
        (-round(extent_mm), f"covers {_height(extent_mm)}"),
    ]


def _size(width_mm: float, extent_mm: float) -> str:
    wide = f"{width_mm:.0f} mm wide" if width_mm > 0 else "of unknown width"
    return f"{wide} over {_height(extent_mm)}"


def _height(extent_mm: float) -> str:
    return f"{extent_mm:.0f} mm" if extent_mm > 0 else "an unknown height"


def _distances(spacing_mm: float, slice_mm: float) -> str:
    thick = f" {slice_mm:.2f} mm thick" if slice_mm > 0 else " of unknown thickness"
    return f"{spacing_mm:.2f} mm between slices{thick}" if spacing_mm > 0 else f"slices{thick}"


def _either(is_worse: bool, worse: str, better: str) -> tuple[int, str]:
    return int(is_worse), worse if is_worse else better


def _is_expiration(image: Dataset) -> bool:
    """By its description alone: a protocol's name may tell of both."""
    description = text(image, "SeriesDescription").upper()
    return bool(_EXPIRATION.search(description)) and not _INSPIRATION.search(description)


def _has_contrast(image: Dataset) -> bool:
    agent = text(image, "ContrastBolusAgent").upper()
    return bool(agent) and not _NO_CONTRAST.fullmatch(agent)


def _spacing_rank(spacing_mm: float, slice_mm: float) -> int:
    if spacing_mm < 0.5 and slice_mm <= 1.5:
        return 2
    largest_mm = max(spacing_mm, slice_mm)
    return 0 if largest_mm <= 1.5 else 1 if largest_mm <= 3.0 else 3 if largest_mm <= 5.0 else 4


def _has_bone_kernel(image: Dataset) -> bool:
    """Whether the kernel is made for bone, by the names of the vendors.

    GE says BONE, BONEPLUS or EDGE; Siemens B75 or higher, whatever the letters; Canon FC30 to FC39 and FC80 to FC89.
    """
    kernel = text(image, "ConvolutionKernel").upper()
    if "BONE" in kernel or "EDGE" in kernel or re.match(r"FC[38]\d", kernel):
        return True
    siemens = re.match(r"[A-Z]{1,2}(\d\d)[A-Z]?(\\|$)", kernel)
    return siemens is not None and int(siemens[1]) >= 75
