"""What highdicom and pydicom read in the files of a run, held against what is known to be true.

Each returns its errors, one a line. Reports are compared number by number and box by box, segments voxel by voxel where
they lie in the patient.
"""

import threading
from collections import defaultdict
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
from pydicom import DataElement
from pydicom.pixels.utils import pixel_array
from pydicom.valuerep import STR_VR, validate_value

from groundglass.dicomio.writing.codes import CLASS_CODES, EXPLAINED_CLASS
from groundglass.domain.arrays import Coordinates, FloatMap, Mask
from groundglass.domain.volume import on_larger_grid
from groundglass.selftest.expected import AREA, LENGTH, VOLUME, Numbers, boxes, numbers, study
from groundglass.selftest.outputs import Output

_TOLERANCE = 1e-3
"""Relative; result.json and DICOM's Decimal Strings are rounded."""
_ROUNDED = {VOLUME: 0.051, LENGTH: 0.051, AREA: 0.051}
"""Absolute, where result.json is the truth: it has millilitres and millimetres to one decimal."""
_VOLUME_TOLERANCE = 5e-3

_READING_STRICTLY = threading.Lock()
"""pydicom's strictness is a setting of the whole process."""


def strict_pydicom(output: Output) -> list[str]:
    """pydicom reads every value by the letter of PS3.5, and decodes the pixels."""
    settings = pydicom.config.settings
    with _READING_STRICTLY:
        mode, settings.reading_validation_mode = settings.reading_validation_mode, pydicom.config.RAISE
        try:
            dataset = pydicom.dcmread(output.path)
            for element in (*dataset.file_meta, *dataset.iterall()):
                _validate(element)
            if "BitsAllocated" in dataset:
                pixel_array(dataset)
        except Exception as error:  # whatever it raises is its verdict
            return [f"{type(error).__name__}: {error}"]
        finally:
            settings.reading_validation_mode = mode
    return []


def _validate(element: DataElement) -> None:
    """Reading alone converts the values, and lets most that break their VR's rules pass."""
    if element.VR in STR_VR and not element.is_empty:
        for value in element.value if element.VM > 1 else [element.value]:
            validate_value(element.VR, str(value), pydicom.config.RAISE)


def highdicom_segmentation(output: Output) -> list[str]:
    """highdicom's own reader: each segment voxel by voxel where the patient has it."""
    segmentation = hd.seg.segread(output.path)
    found = {}
    for number in segmentation.segment_numbers:
        volume = segmentation.get_volume(segment_numbers=[number], rescale_fractional=False)
        array = volume.array[..., 0] if volume.array.ndim == 4 else volume.array == number
        found[segmentation.get_segment_description(number).segment_label] = array > 0, volume.affine
    return compare_segments(output, found)


def compare_segments(output: Output, found: dict[str, tuple[Mask, Coordinates]]) -> list[str]:
    """Masks and affines by label, as somebody has read them, against the truth, or else against result.json."""
    if output.series is None:
        return _compare_volumes(output, found)
    is_of_lungs = any(label.endswith("lung") for label in found)  # they and the regions are files of their own
    expected = {
        label: mask
        for label, mask in output.series.segments.items()
        if mask.any() and label.endswith("lung") == is_of_lungs
    }
    errors = [f"Segment '{label}' is missing." for label in expected if label not in found]
    for label, (mask, affine) in found.items():
        truth = expected.get(label)
        if truth is None:
            errors.append(f"Segment '{label}' is none of those expected.")
            continue
        try:
            placed = on_larger_grid(mask, affine, output.series.segments_affine, truth.shape)
            differing = np.count_nonzero(placed != truth)
        except ValueError as error:
            errors.append(f"Segment '{label}': {error}")
        else:
            if differing:
                errors.append(f"Segment '{label}' differs in {differing} voxels from the {truth.sum()} true ones.")
    return errors


def _compare_volumes(output: Output, found: dict[str, tuple[Mask, Coordinates]]) -> list[str]:
    errors = []
    for side in ("right", "left") if output.case else ():
        for label, (mask, affine) in found.items():
            volume_ml = np.count_nonzero(mask) * abs(np.linalg.det(affine[:3, :3])) / 1000
            said_ml = output.case["lungs"][f"{side}_ml"] if output.case else 0.0
            if label == f"{side.capitalize()} lung" and abs(volume_ml - said_ml) > _VOLUME_TOLERANCE * said_ml + 0.1:
                errors.append(f"Segment '{label}' has {volume_ml:.1f} ml, result.json says {said_ml:.1f} ml.")
    return errors


def highdicom_report(output: Output) -> list[str]:
    """highdicom's parser of TID 1500: every box, number and class; the study's numbers with what each is of."""
    content: Any = hd.sr.srread(output.path).content
    groups = [group for group in content.get_image_measurement_groups() if group.tracking_identifier == "Study"]
    if len(groups) != 1:
        return [f"There are {len(groups)} measurement groups of the study."]
    outlines = []
    classes = [groups[0].finding_type.value] if output.case else []  # a refused series has no class
    for group in content.get_planar_roi_measurement_groups():
        (explained,) = group.get_qualitative_evaluations(EXPLAINED_CLASS)
        classes.append(explained.value.value)
        uid = group.roi.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        outlines.append((str(uid), group.roi.value))
    found = {_subject(measurement): float(measurement.value) for measurement in groups[0].get_measurements()}
    expected = study(output.case) if output.case else {}
    errors = [
        f"{subject}: {found.get(subject)} was read, {value} is true."
        for subject, value in expected.items()
        if not np.isclose(found.get(subject, np.nan), value, _TOLERANCE, _TOLERANCE)
    ]
    if output.case:
        labels = [output.case["prediction"]["label"], *(box["label"] for box in output.case["boxes"])]
        if sorted(classes) != sorted(CLASS_CODES[label].value for label in labels):
            errors.append(
                f"The classes {', '.join(sorted(set(classes)))} were read, {', '.join(sorted(set(labels)))} are true."
            )
    segments = [_segment_number(group) for group in content.get_volumetric_roi_measurement_groups()]
    if segments != ([1, 2] if output.case else []):
        errors.append(f"The groups of the lungs refer to the segments {segments}, not to 1 and 2.")
    return errors + compare_numbers(output, _numbers_below(content)) + compare_boxes(output, outlines)


def _numbers_below(items: Any) -> Numbers:
    """Every numeric item of a tree, by its concept."""
    found: Numbers = defaultdict(list)
    for item in items:
        if item.ValueType == "NUM":
            found[item.ConceptNameCodeSequence[0].CodeValue].append(float(item.MeasuredValueSequence[0].NumericValue))
        for concept, values in _numbers_below(item.get("ContentSequence", ())).items():
            found[concept] += values
    return found


def _segment_number(group: Any) -> int:
    return int(group.referenced_segment[0].ReferencedSOPSequence[0].ReferencedSegmentNumber)


def _subject(measurement: Any) -> str:
    """What a number is of: the class of a probability, the side of a volume."""
    for site in measurement.finding_sites:
        side = site.laterality
        return f"{side.meaning.lower()} lung" if side is not None else "lungs"
    modifiers = measurement[0].get("ContentSequence", [])
    return str(modifiers[0].ConceptCodeSequence[0].CodeValue) if modifiers else measurement.name.meaning


def compare_numbers(output: Output, found: Numbers) -> list[str]:
    """The numbers that somebody has read in a report against those it has to hold."""
    expected = numbers(output.case) if output.case else {}
    errors = []
    for concept in sorted({*found, *expected}):
        read, true = sorted(found.get(concept, [])), expected.get(concept, [])
        absolute = _TOLERANCE if output.series else _ROUNDED.get(concept, _TOLERANCE)
        if len(read) != len(true) or not np.allclose(read, true, _TOLERANCE, absolute):
            errors.append(f"Values of the concept {concept}: {_short(read)} were read, {_short(true)} are true.")
    return errors


def compare_boxes(output: Output, outlines: list[tuple[str, FloatMap]]) -> list[str]:
    """The outlines that somebody has read, each with the UID of its image, against the boxes."""
    read = sorted((uid, (*points.min(axis=0), *points.max(axis=0))) for uid, points in outlines)
    true = boxes(output.case) if output.case else []
    if read == true:
        return []
    return [f"{len(set(true) - set(read))} of {len(true)} boxes are not where they are true; {len(read)} were read."]


def _short(values: list[float]) -> str:
    return ", ".join(f"{value:.6g}" for value in values) or "none"
