"""What the method finds in one CT volume: slices, boxes, regions, and all of it together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from groundglass.domain.arrays import FloatMap, LabelMap
from groundglass.domain.class_names import CLASSES


@dataclass(frozen=True)
class Box:
    """The minimal upright rectangle of one salient region on one source slice (II-F.2).

    Columns and rows are pixel indices of the source image; minimum and maximum are the first and last pixel covered.
    """

    slice_index: int
    label: str
    column_min: int
    row_min: int
    column_max: int
    row_max: int
    area_mm2: float
    """Area of the salient region inside the box, not of the rectangle."""
    score: float
    """The slice's probability of `label`."""
    share: float = 1.0
    """Part of the slice's saliency that lies in the salient region."""
    region: int = 0
    """Number of the listed region it belongs to, from 1; 0 where that region is not listed."""

    @property
    def place(self) -> tuple[slice, slice]:
        """Its pixels in the source slice, as indices of `(row, col)`."""
        return slice(self.row_min, self.row_max + 1), slice(self.column_min, self.column_max + 1)

    @staticmethod
    def around(boxes: "Sequence[Box]") -> "Box":
        """The box around boxes of one region on one slice; area and share are those of all."""
        return replace(
            boxes[0],
            column_min=min(box.column_min for box in boxes),
            row_min=min(box.row_min for box in boxes),
            column_max=max(box.column_max for box in boxes),
            row_max=max(box.row_max for box in boxes),
            area_mm2=sum(box.area_mm2 for box in boxes),
            share=sum(box.share for box in boxes),
        )


Side = Literal["right", "left", "both"]
Third = Literal["upper", "middle", "lower"]
THIRDS: tuple[Third, ...] = ("upper", "middle", "lower")
"""Of the height of each lung, from its top."""
UNLISTED_REGION = 255
"""In `Findings.salient`: salient voxels of regions that are not listed."""


@dataclass(frozen=True)
class Region:
    """What the saliency holds together over the slices: one place in the lungs that drove the classification.

    Attributes:
        number: from 1, largest contribution first.
        contribution: part of the study's saliency that lies in it: the mean over the explained slices of the part of
            each, weighted with the slice's probability of pneumonia.
        slices: indices of the explained slices that show it, in order.
        side: the lung it lies in.
        third: that of the lung's height which holds most of it.
        volume_ml: of its salient voxels.
        box: around it on its most telling slice, the one that contributes most.
    """

    number: int
    contribution: float
    slices: tuple[int, ...]
    side: Side
    third: Third
    volume_ml: float
    box: Box

    @property
    def best_slice(self) -> int:
        return self.box.slice_index


@dataclass(frozen=True)
class Zone:
    """A third of one lung, and how much of it is salient.

    Attributes:
        side: `right` or `left`.
        third: of the lung's height.
        salient_fraction: salient volume over lung volume in this zone; None as `Findings.salient_fraction`, and where
            the zone holds no lung.
    """

    side: Side
    third: Third
    salient_fraction: float | None


WhyNotExplained = Literal["study_np", "slice_np", "budget"]
"""The study's pneumonia is absent; the slice is not diseased enough; more probable slices used up `maximum_slices`."""

State = Literal["absent", "present", "indeterminate"]
"""Whether the study shows pneumonia, as far as its probability carries."""
STATES: tuple[State, ...] = ("absent", "present", "indeterminate")
Kind = Literal["cap", "covid19", "undetermined"]
"""Which pneumonia, in a word; the probabilities of both are told always."""


@dataclass(frozen=True)
class Prediction:
    """What is concluded of a study.

    Attributes:
        probabilities: in the order of CLASSES, sum 1.
        state: the first question, pneumonia or none.
        kind: the second, which one; `undetermined` unless a rule allows a word.
    """

    probabilities: tuple[float, float, float]
    state: State
    kind: Kind

    @property
    def label(self) -> str:
        """The paper's three-way class, one of CLASSES: the most probable, whatever the state."""
        return CLASSES[max(range(len(CLASSES)), key=self.probabilities.__getitem__)]

    @property
    def pneumonia_probability(self) -> float:
        """Of either kind."""
        return 1.0 - self.probabilities[0]

    @property
    def explained_class(self) -> str:
        """The class whose score the saliency explains: the more probable of the two pneumonias."""
        return CLASSES[1] if self.probabilities[1] >= self.probabilities[2] else CLASSES[2]


@dataclass(frozen=True)
class SliceFinding:
    """What the classifier says of one slice, and how the saliency explains it."""

    index: int
    lung_area_mm2: float
    probabilities: tuple[float, float, float]
    """In the order of CLASSES."""
    explained: bool = False
    completeness_error: tuple[float, float, float] | None = None
    """Relative completeness error of the integrated gradients at Conv3, Conv4 and Conv5, where it is proved."""
    why_not_explained: WhyNotExplained | None = None
    """None where explained."""

    @property
    def pneumonia_probability(self) -> float:
        """Of either kind."""
        return 1.0 - self.probabilities[0]


@dataclass(frozen=True)
class Findings:
    """Everything the method finds in one CT volume.

    Attributes:
        lungs: uint8 `(slice, row, col)`: BACKGROUND, RIGHT_LUNG or LEFT_LUNG.
        right_ml, left_ml: lung volumes.
        prediction: the study's.
        salient_fraction: salient lung volume over lung volume, an estimate from saliency, not a lesion segmentation;
            None where nothing was explained although the study, or a slice, is more probably diseased than not.
        slices: the classified slices, in slice order.
        saliency: magnitude of the joint saliency (its geometric mean) of each explained slice, float32 `(row, col)`
            scaled to the slice's maximum of 1, by slice index; zero outside the lungs.
        salient: uint8 `(slice, row, col)`: number of the region of each voxel that the boxes enclose, UNLISTED_REGION
            where it is not listed, 0 elsewhere.
        boxes: of every salient region of every explained slice, in slice order, largest first within a slice.
        regions: what the boxes are over the volume, those that contribute most, in that order.
        unlisted_regions: how many more there are.
        zones: the salient fraction of each third of each lung; none where nothing was explained.
        reach_border: whether the images cut the lungs, so that volumes and fractions are of what they show.
    """

    lungs: LabelMap
    right_ml: float
    left_ml: float
    prediction: Prediction
    salient_fraction: float | None
    slices: tuple[SliceFinding, ...]
    saliency: Mapping[int, FloatMap] = field(default_factory=dict)
    salient: LabelMap | None = None
    boxes: tuple[Box, ...] = ()
    regions: tuple[Region, ...] = ()
    unlisted_regions: int = 0
    zones: tuple[Zone, ...] = ()
    reach_border: bool = False

    @property
    def volume_ml(self) -> float:
        return self.right_ml + self.left_ml

    def without_arrays(self) -> "Findings":
        """The findings with masks and maps let go: what is told of them in words and numbers is small."""
        return replace(self, lungs=np.empty(0, np.uint8), saliency={}, salient=None)
