"""What was found, held against the phantoms' truth in patient coordinates: lungs, state, regions and lesions."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from pydicom import Dataset, dcmread

from groundglass.domain.arrays import Coordinates, Mask
from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG, on_larger_grid
from groundglass.selftest.check import Measured, NotApplicable
from groundglass.selftest.runs import Phantom, Runs

VOLUME_PERCENT = 5.0
DICE = 0.95
CENTRE_MM = 3.0
BOX_ON_LESIONS = 0.1
"""Part of a box that lesions must fill for it to be on them."""
LESIONS_FOUND = 0.75
LESION_SALIENT = 0.1
"""Part of a lesion that must be salient for it to be found."""
SALIENT_ON_LESIONS = 0.3
"""Part of what is salient that must be on lesions: if everything were, every lesion would be found."""

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


def _segments(path: Path) -> Iterator[tuple[str, Mask, Coordinates]]:
    """Label in lower case, mask and affine of each segment of a Segmentation, binary or label map."""
    segmentation = hd.seg.segread(path)
    for number in segmentation.segment_numbers:
        volume = segmentation.get_volume(segment_numbers=[number], rescale_fractional=False)
        mask: Mask = volume.array[..., 0] > 0 if volume.array.ndim == 4 else volume.array == number
        yield segmentation.get_segment_description(number).segment_label.lower(), mask, volume.affine


def _lungs(runs: Runs, phantom: Phantom) -> Iterator[tuple[str, Mask, Mask]]:
    """Side, its segment in the SEG file, put on the phantom's grid by patient coordinates, and the truth, both bool."""
    if "lungs" not in runs.copy.settings["output"]["segmentations"]:
        raise NotApplicable("output.segmentations leaves the lungs out.")
    for label, mask, affine in _segments(runs.first.out / f"{runs.first.case_of(phantom)['case']}.seg.dcm"):
        side = next((side for side in _SIDES if label.startswith(f"{side} lung")), None)
        if side is not None:
            truth: Mask = phantom.truth.lungs == _SIDES[side]
            yield side, on_larger_grid(mask, affine, phantom.volume.affine, truth.shape), truth


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


def states(runs: Runs) -> Measured:
    """Diseased phantoms are told from the healthy one.

    Whether pneumonia is absent there or indeterminate is left open: below which probability it is absent rests on real
    CT, and a phantom of coarse slices need not be as clear as a healthy patient.
    """
    figures, as_expected = [], True
    for phantom in runs.phantoms:
        prediction = runs.first.case_of(phantom)["prediction"]
        as_expected &= (prediction["state"] == "present") == (phantom.truth.label != "np")
        probabilities = ", ".join(f"{name} {value:.2f}" for name, value in prediction["probabilities"].items())
        figures.append(f"{phantom.preset.name}: {prediction['state']} ({probabilities})")
    return Measured(as_expected, "; ".join(figures))


@cache
def _boxes_on_lesions(path: Path, phantom: Phantom) -> list[bool]:
    """Whether the box of each region of a report is on true lesions, the region that contributes most first.

    The boxes are read from the report and put into the patient by the headers of the images that they refer to, so that
    neither result.json nor the application's own geometry is believed.
    """
    content: Any = hd.sr.srread(path).content
    to_index = np.linalg.inv(phantom.volume.affine)
    on_lesions = []
    for group in content.get_planar_roi_measurement_groups():
        reference = group.roi.ContentSequence[0].ReferencedSOPSequence[0]
        image = phantom.sources[reference.ReferencedSOPInstanceUID]
        first, last = group.roi.value.min(axis=0), group.roi.value.max(axis=0) - 1  # (column, row), outer edges
        corners = np.array([_position_mm(image, *corner) for corner in (first, last)])
        low, high = np.sort(np.rint(corners @ to_index[:3, :3].T + to_index[:3, 3]).astype(int), axis=0)
        inside = phantom.truth.lesions[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))]
        on_lesions.append(bool(np.count_nonzero(inside) >= BOX_ON_LESIONS * inside.size))
    return on_lesions


def _salient(runs: Runs, phantom: Phantom) -> Mask:
    """What is salient, from the segments that are no lung, on the phantom's grid; False everywhere without any."""
    salient = np.zeros(phantom.truth.lesions.shape, bool)
    for path in sorted(runs.first.out.glob(f"{runs.first.case_of(phantom)['case']}.*.dcm")):
        if dcmread(path, stop_before_pixels=True).Modality == "SEG":
            for label, mask, affine in _segments(path):
                if not label.endswith("lung"):
                    salient |= on_larger_grid(mask, affine, phantom.volume.affine, salient.shape)
    return salient


def _report_of(runs: Runs, phantom: Phantom) -> Path:
    return runs.first.out / f"{runs.first.case_of(phantom)['case']}.sr.dcm"


def _position_mm(image: Dataset, column: float, row: float) -> Coordinates:
    """Where the patient has the centre of a pixel (PS3.3 equation C.7.6.2.1-1)."""
    row_cosine, column_cosine = np.array(image.ImageOrientationPatient, dtype=float).reshape(2, 3)
    row_mm, column_mm = (float(value) for value in image.PixelSpacing)
    first = np.array(image.ImagePositionPatient, dtype=float)
    position: Coordinates = first + column * column_mm * row_cosine + row * row_mm * column_cosine
    return position


def first_region(runs: Runs) -> Measured:
    """The region that contributes most is on lesions of a diseased phantom; a healthy one has no region."""
    figures, as_expected = [], True
    for phantom in runs.phantoms:
        on_lesions = _boxes_on_lesions(_report_of(runs, phantom), phantom)
        if phantom.truth.label == "np":
            as_expected &= not on_lesions
        else:
            as_expected &= on_lesions[:1] == [True]
        numbers = [number for number, is_on_lesions in enumerate(on_lesions, 1) if is_on_lesions]
        said = f": {', '.join(map(str, numbers))}" if numbers else ""
        figures.append(f"{phantom.preset.name}: {len(numbers)} of {len(on_lesions)} regions on lesions{said}")
    return Measured(as_expected, "; ".join(figures))


def lesions_found(runs: Runs) -> Measured:
    """How many of the true lesions are salient, and how much of what is salient is on lesions, by the SEG files.

    Lesions are counted over all phantoms: one with a consolidation has two.
    """
    figures, as_expected, all_found, all_true = [], True, 0, 0
    for phantom in runs.phantoms:
        lesions, salient = phantom.truth.lesions, _salient(runs, phantom)
        sizes = np.bincount(lesions.ravel())
        parts = np.bincount(lesions[salient], minlength=len(sizes)) / np.maximum(sizes, 1)
        true, found = len(phantom.truth.lesion_list), int(np.count_nonzero(parts[1:] >= LESION_SALIENT))
        on_lesions = np.count_nonzero(lesions[salient]) / max(int(np.count_nonzero(salient)), 1)
        all_found, all_true = all_found + found, all_true + true
        if true:
            as_expected &= bool(found and on_lesions >= SALIENT_ON_LESIONS)
        figures.append(f"{phantom.preset.name}: {found} of {true}, {on_lesions:.0%} of what is salient on lesions")
    as_expected &= all_found >= LESIONS_FOUND * all_true
    return Measured(as_expected, "; ".join(figures))


def region_sides(runs: Runs) -> Measured:
    """The first regions are in the lungs that have lesions; with lesions on both sides, both are found."""
    figures, as_expected = [], True
    for phantom in runs.phantoms:
        values = phantom.truth.lungs[phantom.truth.lesions > 0]
        true = {side for side, value in _SIDES.items() if (values == value).any()}
        if not true:
            continue
        found = [region["side"] for region in runs.first.case_of(phantom)["regions"]]
        first = found[: len(true)]
        as_expected &= set(first) == true or ("both" in first and len(true) == 2)
        said = f"first {' and '.join(first) or 'none'}, true {' and '.join(sorted(true))}"
        figures.append(f"{phantom.preset.name}: {said}")
    return Measured(as_expected, "; ".join(figures))
