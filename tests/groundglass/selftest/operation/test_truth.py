"""Each check against the truth finds what is wrong with others."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset

from tests.groundglass.selftest.operation.spoiling import Judged, case_of, items_of, shave, to_the_front

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("title", "change"),
    [
        ("Lung volumes", lambda result: case_of(result)["lungs"].update(left_ml=2800.0)),
        ("State of the study", lambda result: case_of(result)["prediction"].update(state="absent")),
        ("Side of the first regions", lambda result: [item.update(side="left") for item in case_of(result)["regions"]]),
    ],
)
def test_a_result_that_says_something_else_is_found(
    judged: Judged, title: str, change: Callable[[dict[str, Any]], object]
) -> None:
    judged.edit_result(change)
    assert judged.outcome(title).verdict == "failed"


def swap_sides(segmentation: Dataset) -> None:
    right, left = segmentation.SegmentSequence[:2]
    right.SegmentLabel, left.SegmentLabel = left.SegmentLabel, right.SegmentLabel


def shift(segmentation: Dataset) -> None:
    """By a whole voxel to the patient's left."""
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        position = frame.PlanePositionSequence[0]
        x, y, z = position.ImagePositionPatient
        position.ImagePositionPatient = [float(x) + 369.0 / 96, y, z]


def around_everything(report: Dataset) -> None:
    """Every box is the whole image, which holds every lesion and points at none."""
    for item in items_of(report):
        if item.ValueType == "SCOORD":
            item.GraphicData = [0, 0, 96, 0, 96, 96, 0, 96, 0, 0]


def set_salient(value: bool) -> Callable[[Dataset], None]:
    """Every pixel of the segments that are no lung."""

    def change(segmentation: Dataset) -> None:
        lungs = {item.SegmentNumber for item in segmentation.SegmentSequence if item.SegmentLabel.endswith("lung")}
        frames = segmentation.pixel_array.copy()
        for index, frame in enumerate(segmentation.PerFrameFunctionalGroupsSequence):
            if frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber not in lungs:
                frames[index] = value
        segmentation.PixelData = np.packbits(frames.ravel(), bitorder="little").tobytes()

    return change


nothing_is_salient, everything_is_salient = set_salient(False), set_salient(True)


@pytest.mark.parametrize(
    ("title", "kind", "change"),
    [
        ("Lungs in patient coordinates, by side", "seg", swap_sides),
        ("Lungs in patient coordinates, by side", "seg", shift),
        ("Lungs in patient coordinates, by side", "seg", shave),
        ("Centres of the lungs", "seg", shave),
        ("First region, in patient coordinates", "sr", to_the_front),
        ("First region, in patient coordinates", "sr", around_everything),
        ("Salient lesions", "regions", nothing_is_salient),
        ("Salient lesions", "regions", everything_is_salient),
    ],
)
def test_a_file_that_is_not_right_is_found(
    judged: Judged, title: str, kind: str, change: Callable[[Dataset], object]
) -> None:
    judged.edit(kind, change)
    assert judged.outcome(title).verdict == "failed"
