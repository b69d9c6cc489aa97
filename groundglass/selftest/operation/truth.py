"""What was found, held against the phantoms' truth in patient coordinates: lungs, class, boxes and lesions."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from pydicom import Dataset

from groundglass.domain.arrays import Coordinates, Mask
from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG, on_larger_grid
from groundglass.selftest.check import Measured, NotApplicable
from groundglass.selftest.runs import Phantom, Runs

VOLUME_PERCENT = 5.0
DICE = 0.95
CENTRE_MM = 3.0
TOP_BOXES, TOP_BOXES_ON_LESIONS = 10, 7
LESION_PART = 0.1
"""Part of a box that lesions must fill for it to be on them."""
LESIONS_FOUND = 0.75

_SIDES = {"right": RIGHT_LUNG, "left": LEFT_LUNG}


def lung_volumes(runs: Runs) -> Measured:
    """Volumes in result.json against the truth."""
    figures, as_expected = [], True
    for phantom in runs.phantoms:
        lungs = runs.first.case_of(phantom)["lungs"]
        for side in _SIDES:
            true_ml = getattr(phantom.truth, f"{side}_ml")
            percent = 100 * (lungs[f"{side}_ml"] / true_ml - 1)
            as_expected &= abs(percent) <= VOLUME_PERCENT
            found_ml = lungs[f"{side}_ml"]
            figures.append(f"{phantom.preset.name} {side} {found_ml:.0f} of {true_ml:.0f} ml ({percent:+.1f} %)")
    return Measured(as_expected, "; ".join(figures))


def _lungs(runs: Runs, phantom: Phantom) -> Iterator[tuple[str, Mask, Mask]]:
    """Side, its segment in the SEG file, put on the phantom's grid by patient coordinates, and the truth, both bool."""
    if "lungs" not in runs.copy.settings["output"]["segmentations"]:
        raise NotApplicable("output.segmentations leaves the lungs out.")
    segmentation = hd.seg.segread(runs.first.out / f"{runs.first.case_of(phantom)['case']}.seg.dcm")
    for number in segmentation.segment_numbers:
        label = segmentation.get_segment_description(number).segment_label.lower()
        side = next((side for side in _SIDES if label.startswith(f"{side} lung")), None)
        if side is not None:
            volume = segmentation.get_volume(segment_numbers=[number], rescale_fractional=False)
            mask: Mask = volume.array[..., 0] > 0 if volume.array.ndim == 4 else volume.array == number
            truth: Mask = phantom.truth.lungs == _SIDES[side]
            yield side, on_larger_grid(mask, volume.affine, phantom.volume.affine, truth.shape), truth


def lung_overlap(runs: Runs) -> Measured:
    """Right is right, and every voxel is where the patient has it."""
    figures, as_expected = [], True
    for phantom in runs.phantoms:
        sides = set()
        for side, mask, truth in _lungs(runs, phantom):
            dice = 2 * np.count_nonzero(mask & truth) / (np.count_nonzero(mask) + np.count_nonzero(truth))
            as_expected &= bool(dice >= DICE)
            sides.add(side)
            figures.append(f"{phantom.preset.name} ({phantom.preset.patient_position}) {side} {dice:.3f}")
        as_expected &= sides == set(_SIDES)
    return Measured(as_expected, "; ".join(figures))


def lung_centres(runs: Runs) -> Measured:
    """How far each lung's centre, in patient coordinates, is from the true one."""
    figures, as_expected = [], True
    for phantom in runs.phantoms:
        centres = {}
        for side, mask, truth in _lungs(runs, phantom):
            spacing_mm = np.array(phantom.volume.spacing_mm)
            offset_mm = (np.argwhere(mask).mean(axis=0) - np.argwhere(truth).mean(axis=0)) * spacing_mm
            centres[side] = float(np.linalg.norm(offset_mm))
        as_expected &= len(centres) == len(_SIDES) and max(centres.values()) <= CENTRE_MM
        said = ", ".join(f"{side} {mm:.1f} mm" for side, mm in centres.items())
        figures.append(f"{phantom.preset.name} ({phantom.preset.patient_position}): {said}")
    return Measured(as_expected, "; ".join(figures))


def classes(runs: Runs) -> Measured:
    """Diseased phantoms are told from the healthy one."""
    figures, as_expected = [], True
    for phantom in runs.phantoms:
        prediction = runs.first.case_of(phantom)["prediction"]
        as_expected &= prediction["state"] == ("absent" if phantom.truth.label == "np" else "present")
        probabilities = ", ".join(f"{name} {value:.2f}" for name, value in prediction["probabilities"].items())
        figures.append(f"{phantom.preset.name}: {prediction['state']} ({probabilities})")
    return Measured(as_expected, "; ".join(figures))


@cache
def _box_contents(path: Path, phantom: Phantom) -> list[set[int]]:
    """Numbers of the true lesions that each box of a report covers, largest box first.

    The boxes are read from the report and put into the patient by the headers of the images that they refer to, so that
    neither result.json nor the application's own geometry is believed.
    """
    content: Any = hd.sr.srread(path).content
    to_index = np.linalg.inv(phantom.volume.affine)
    boxes = []
    for group in content.get_planar_roi_measurement_groups():
        reference = group.roi.ContentSequence[0].ReferencedSOPSequence[0]
        image = phantom.sources[reference.ReferencedSOPInstanceUID]
        first, last = group.roi.value.min(axis=0), group.roi.value.max(axis=0) - 1  # (column, row), outer edges
        corners = np.array([_position_mm(image, *corner) for corner in (first, last)])
        low, high = np.sort(np.rint(corners @ to_index[:3, :3].T + to_index[:3, 3]).astype(int), axis=0)
        inside = phantom.truth.lesions[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))]
        area_mm2 = next(float(item.value) for item in group.get_measurements() if item.name.meaning == "Area")
        # A box around everything would hold every lesion, and point at none.
        is_hit = np.count_nonzero(inside) >= LESION_PART * inside.size
        boxes.append((area_mm2, {int(number) for number in np.unique(inside) if number and is_hit}))
    return [numbers for _, numbers in sorted(boxes, key=lambda box: -box[0])]


def _report_of(runs: Runs, phantom: Phantom) -> Path:
    return runs.first.out / f"{runs.first.case_of(phantom)['case']}.sr.dcm"


def _position_mm(image: Dataset, column: float, row: float) -> Coordinates:
    """Where the patient has the centre of a pixel (PS3.3 equation C.7.6.2.1-1)."""
    row_cosine, column_cosine = np.array(image.ImageOrientationPatient, dtype=float).reshape(2, 3)
    row_mm, column_mm = (float(value) for value in image.PixelSpacing)
    first = np.array(image.ImagePositionPatient, dtype=float)
    position: Coordinates = first + column * column_mm * row_cosine + row * row_mm * column_cosine
    return position


def top_boxes(runs: Runs) -> Measured:
    """The largest boxes of a diseased phantom lie on its lesions; a healthy one has none."""
    figures, as_expected = [], True
    for phantom in runs.phantoms:
        boxes = _box_contents(_report_of(runs, phantom), phantom)
        if phantom.truth.label == "np":
            as_expected &= not boxes
            figures.append(f"{phantom.preset.name}: {len(boxes)} boxes")
            continue
        top = boxes[:TOP_BOXES]
        hits = sum(bool(numbers) for numbers in top)
        as_expected &= len(top) == TOP_BOXES and hits >= TOP_BOXES_ON_LESIONS
        figures.append(
            f"{phantom.preset.name}: {hits} of the {len(top)} largest, {sum(map(bool, boxes))} of all {len(boxes)}"
        )
    return Measured(as_expected, "; ".join(figures))


def lesions_found(runs: Runs) -> Measured:
    """How many of the true lesions any box covers, by patient coordinates."""
    figures, as_expected = [], True
    for phantom in runs.phantoms:
        true = len(phantom.truth.lesion_list)
        found = len(set().union(*_box_contents(_report_of(runs, phantom), phantom)))
        as_expected &= found >= LESIONS_FOUND * true
        figures.append(f"{phantom.preset.name}: {found} of {true}")
    return Measured(as_expected, "; ".join(figures))


def lesion_sides(runs: Runs) -> Measured:
    """The largest lesions are in the lungs that have some; with lesions on both sides, both are found."""
    figures, as_expected = [], True
    for phantom in runs.phantoms:
        values = phantom.truth.lungs[phantom.truth.lesions > 0]
        true = {side for side, value in _SIDES.items() if (values == value).any()}
        if not true:
            continue
        found = [region["side"] for region in runs.first.case_of(phantom)["regions"]]
        largest = found[: len(true)]
        as_expected &= set(largest) == true or ("both" in largest and len(true) == 2)
        said = f"largest {' and '.join(largest) or 'none'}, true {' and '.join(sorted(true))}"
        figures.append(f"{phantom.preset.name}: {said}")
    return Measured(as_expected, "; ".join(figures))
