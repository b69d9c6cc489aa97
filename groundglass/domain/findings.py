"""What the method finds in one CT volume: slices, boxes, lesions, and all of it together."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from groundglass.domain.arrays import FloatMap, LabelMap, Mask
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
    lesion: int = 0
    """Number of the lesion it belongs to, from 1; 0 before boxes are grouped over the volume."""

    @property
    def place(self) -> tuple[slice, slice]:
        """Its pixels in the source slice, as indices of `(row, col)`."""
        return slice(self.row_min, self.row_max + 1), slice(self.column_min, self.column_max + 1)


@dataclass(frozen=True)
class Lesion:
    """Boxes that overlap on neighbouring slices: one place in the lungs that drove the classification.

    Attributes:
        number: from 1, largest volume first.
        slices: indices of the slices with its boxes.
        extent_mm: of the box around all its boxes, along `(slice, row, col)` of the source.
        volume_ml: of its salient regions.
        lung_fraction: volume over that of both lungs.
        lung: `right`, `left` or `both`.
    """

    number: int
    slices: tuple[int, ...]
    extent_mm: tuple[float, float, float]
    volume_ml: float
    lung_fraction: float
    lung: str

    @property
    def largest_extent_mm(self) -> float:
        return max(self.extent_mm)


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
    """Relative completeness error of the integrated gradients at Conv3, Conv4 and Conv5, where explained."""
    why_not_explained: WhyNotExplained | None = None
    """None where explained."""


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
        salient: bool `(slice, row, col)`, the regions the boxes enclose.
        boxes: in slice order, largest first within a slice.
        lesions: what the boxes are over the volume, largest first.
        reach_border: whether the images cut the lungs, so that volumes and fractions are of what they show.
    """

    lungs: LabelMap
    right_ml: float
    left_ml: float
    prediction: Prediction
    salient_fraction: float | None
    slices: tuple[SliceFinding, ...]
    saliency: Mapping[int, FloatMap] = field(default_factory=dict)
    salient: Mask | None = None
    boxes: tuple[Box, ...] = ()
    lesions: tuple[Lesion, ...] = ()
    reach_border: bool = False

    @property
    def volume_ml(self) -> float:
        return self.right_ml + self.left_ml

    def without_arrays(self) -> "Findings":
        """The findings with masks and maps let go: what is told of them in words and numbers is small."""
        return replace(self, lungs=np.empty(0, np.uint8), saliency={}, salient=None)
