"""What highdicom and pydicom read in the files of a run, held against what is known to be true.

Each returns its errors, one a line. Reports are compared word by word, number by number and box by box, segments voxel
by voxel where they lie in the patient.
"""

import threading
from collections.abc import Iterable, Sequence
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
from pydicom import DataElement
from pydicom.pixels.utils import pixel_array
from pydicom.sr.coding import Code
from pydicom.valuerep import STR_VR, validate_value

from groundglass.dicomio.writing import codes
from groundglass.domain.arrays import Coordinates, FloatMap, Mask
from groundglass.domain.volume import on_larger_grid
from groundglass.selftest import expected
from groundglass.selftest.expected import ROUNDED, Numbers
from groundglass.selftest.outputs import Output

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
    """highdicom's parser of TID 1500: the conclusion first, every coded answer, number with its subject, and box."""
    report: Any = hd.sr.srread(output.path)
    case, content = output.case, report.content
    answers = {item.name.value: item.value.value for item in _items(content, codes.QUALITATIVE_EVALUATIONS, "CODE")}
    told = expected.evaluations(case) if case else {codes.RUN_STATUS.value: codes.NONE_SUCCEEDED.value}
    errors = [] if answers == told else [f"The coded answers {answers} were read, {told} are true."]
    if case:
        errors += _compare_words(content, case["prediction"]["statement"])
    groups = content.get_planar_roi_measurement_groups()
    if len({group.tracking_uid for group in groups}) != len(groups):
        errors.append("Regions share a Tracking UID: a viewer takes them for one.")
    if len(groups) != len(_items(content, codes.IMAGING_MEASUREMENTS, "CONTAINER")):
        errors.append("A measurement group has no coordinates: OHIF does not open the report.")
    numbers = _subjects(_items(content, codes.DERIVED_MEASUREMENTS, "NUM"))
    errors += _compare_subjects("the study", numbers, expected.study(case) if case else {})
    true = expected.regions(case) if case else {}
    found = {group.tracking_identifier: _subjects(group.get_measurements(), group.finding_sites) for group in groups}
    for name in sorted({*found, *true}):
        errors += _compare_subjects(name, found.get(name, {}), true.get(name, {}))
    outlines = [
        (str(group.roi.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID), group.roi.value)
        for group in groups
    ]
    return errors + compare_boxes(output, outlines)


def _items(content: Any, container: Code, value_type: str) -> list[Any]:
    """The content items of one kind in one of the root's containers."""
    held = [item for item in content[0].ContentSequence if item.name == container]
    return [item for one in held for item in one.ContentSequence if item.ValueType == value_type]


def _compare_words(content: Any, statement: list[str]) -> list[str]:
    first = [item.get("TextValue") for item in content[0].ContentSequence[: len(statement)]]
    return [] if first == statement else ["The report does not begin with the statement of result.json."]


def _subjects(measurements: Iterable[Any], place: Sequence[Any] = ()) -> dict[expected.Subject, float]:
    """Numbers by what they are of: the site or the finding below each, or else `place`, with its side."""
    found = {}
    for measurement in measurements:
        item = measurement[0] if isinstance(measurement, hd.sr.Measurement) else measurement
        of = [child for child in item.get("ContentSequence", []) if child.ValueType == "CODE"] or place
        named = [_value(code) for one in of[:1] for code in (one, *one.get("ContentSequence", []))]
        concept = str(item.ConceptNameCodeSequence[0].CodeValue)
        what, side = [*named, "", ""][:2]
        found[concept, what, side] = float(item.MeasuredValueSequence[0].NumericValue)
    return found


def _value(item: Any) -> str:
    return str(item.ConceptCodeSequence[0].CodeValue)


def _compare_subjects(of: str, found: dict[expected.Subject, float], true: dict[expected.Subject, float]) -> list[str]:
    errors = []
    for subject in sorted({*found, *true}):
        read, right = found.get(subject), true.get(subject)
        if read is None or right is None or abs(read - right) > ROUNDED[subject[0]]:
            errors.append(f"{' '.join(filter(None, subject))} of {of}: {read} was read, {right} is true.")
    return errors


def compare_numbers(output: Output, found: Numbers, of_study: bool = True) -> list[str]:
    """The numbers that somebody has read in a report, the study's too or its regions' alone, against the true ones."""
    true: Numbers = {}
    if output.case:
        subjects = [*expected.regions(output.case).values(), *([expected.study(output.case)] if of_study else [])]
        true = expected.numbers(*subjects)
    errors = []
    for concept in sorted({*found, *true}):
        read, right = sorted(found.get(concept, [])), true.get(concept, [])
        if len(read) != len(right) or not np.allclose(read, right, 0, ROUNDED.get(concept, 0)):
            errors.append(f"Values of the concept {concept}: {_short(read)} were read, {_short(right)} are true.")
    return errors


def compare_boxes(output: Output, outlines: list[tuple[str, FloatMap]]) -> list[str]:
    """The outlines that somebody has read, each with the UID of its image, against the boxes."""
    read = sorted((uid, (*points.min(axis=0), *points.max(axis=0))) for uid, points in outlines)
    true = expected.boxes(output.case) if output.case else []
    if read == true:
        return []
    return [f"{len(set(true) - set(read))} of {len(true)} boxes are not where they are true; {len(read)} were read."]


def _short(values: list[float]) -> str:
    return ", ".join(f"{value:.6g}" for value in values) or "none"
