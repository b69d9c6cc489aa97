"""What the slices of a volume are called on pictures, so that a reader finds them in the viewer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from groundglass.domain.findings import Findings, Region
from groundglass.domain.volume import CTVolume


@dataclass(frozen=True)
class SliceNames:
    """A name for each slice of a volume.

    Attributes:
        word: what a slice is: `Image`, `Frame` or `Slice`.
        numbers: of each slice, in the order of the volume.
        positions: where in the patient each lies, as `z -143.0 mm`; empty where that is not known.
        note: how the numbers count, where that isn't plain.
    """

    word: str
    numbers: Sequence[str]
    positions: Sequence[str]
    note: str = ""

    @classmethod
    def counted(cls, volume: CTVolume) -> "SliceNames":
        """Of a volume without images that have numbers: counted from the head where slices lie across the body."""
        count = len(volume.hu)
        along = volume.directions[0]
        is_axial = int(np.abs(along).argmax()) == 2
        numbers = range(count, 0, -1) if is_axial and along[2] > 0 else range(1, count + 1)
        note = f"Slices are counted from {'the head' if is_axial else 'the first of the volume'}."
        return cls("Slice", [str(number) for number in numbers], [""] * count, note)

    def name(self, index: int) -> str:
        """As `Image 57`."""
        return f"{self.word} {self.numbers[index]}"

    def place(self, index: int) -> str:
        """Name and position, as `Image 57 · z -143.0 mm`."""
        return " · ".join(filter(None, (self.name(index), self.positions[index])))

    def span(self, region: Region) -> str:
        """The slices of a region, as `52-61`, the smaller number first."""
        ends = [self.numbers[region.slices[0]], self.numbers[region.slices[-1]]]
        if all(number.isdecimal() for number in ends):
            ends.sort(key=int)
        return ends[0] if ends[0] == ends[1] else f"{ends[0]}-{ends[1]}"


def regions_on(findings: Findings, index: int) -> str:
    """The regions of one slice, as `Regions 1, 3`; empty where it shows none."""
    numbers = sorted({box.region for box in findings.boxes if box.slice_index == index})
    listed = [str(number) for number in numbers if number]
    if not listed:
        return "Region not listed" if numbers else ""
    return f"Region{'s' if len(listed) > 1 else ''} {', '.join(listed)}"


def pneumonia_of(findings: Findings, index: int) -> str:
    """The classifier's word on one slice, as `P(pneumonia) 0.87`."""
    for finding in findings.slices:
        if finding.index == index:
            return f"P(pneumonia) {finding.pneumonia_probability:.2f}"
    return "not classified: little lung"
