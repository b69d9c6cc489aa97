"""Outputs that a check judges, and ways to spoil them that several test files share."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread

from groundglass.selftest.catalogue import OPERATION
from groundglass.selftest.check import Outcome, carry_out
from groundglass.selftest.runs import Phantom, Run, Runs

CHECKS = {check.title: check for check in OPERATION}


class Judged:
    """The checks on a first and a second run whose outputs lie in two folders, to be spoilt."""

    def __init__(self, phantom: Phantom, runs: Runs, first: Path, second: Path) -> None:
        self.runs, self.first, self.second = runs, first, second
        runs.kept["phantoms"] = (phantom,)  # made already: what Runs would make itself where it is asked
        runs.kept["samples"] = {}
        self.of_first, self.of_second = ({"code": 0, "told": "INFO", "seconds": 9.0, "peak_mib": 900.0} for _ in "12")

    def outcome(self, title: str) -> Outcome:
        """Of the check with this title."""
        self.runs.kept["first"] = Run(**self.of_first, out=self.first)
        self.runs.kept["second"] = Run(**self.of_second, out=self.second)
        return carry_out(CHECKS[title], self.runs)

    def edit(self, kind: str, change: Callable[[Dataset], object]) -> None:
        """One DICOM file of the first run."""
        path = self.first / f"case-001.{kind}.dcm"
        dataset = dcmread(path)
        change(dataset)
        dataset.save_as(path)

    def edit_result(self, change: Callable[[dict[str, Any]], object], folder: Path | None = None) -> None:
        """result.json of the first run, or of another."""
        path = (folder or self.first) / "result.json"
        result = json.loads(path.read_text(encoding="utf-8"))
        change(result)
        path.write_text(json.dumps(result), encoding="utf-8")


def case_of(result: dict[str, Any]) -> dict[str, Any]:
    case: dict[str, Any] = result["cases"][0]
    return case


def items_of(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", []):
        yield child
        yield from items_of(child)


def shave(segmentation: Dataset) -> None:
    """The frames of the right lung's upper half are empty."""
    numbers = [
        frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        for frame in segmentation.PerFrameFunctionalGroupsSequence
    ]
    frames = segmentation.pixel_array.copy()
    of_right = [index for index, number in enumerate(numbers) if number == 1]
    frames[of_right[len(of_right) // 2 :]] = 0
    segmentation.PixelData = np.packbits(frames.ravel(), bitorder="little").tobytes()


def to_the_front(report: Dataset) -> None:
    """Every box is mirrored within its image: the phantom's lesions are at the back."""
    for item in items_of(report):
        if item.ValueType == "SCOORD":
            points = np.reshape(item.GraphicData, (-1, 2))
            item.GraphicData = np.column_stack([points[:, 0], 96 - points[:, 1]]).ravel().tolist()
