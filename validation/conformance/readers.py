"""Checks of the content: what the readers of others find in a file, against what is known to be true.

Each returns its errors, one a line. Reports are compared number by number and box by box, images voxel by voxel where
they lie in the patient.
"""

import gzip
import json
import re
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import highdicom as hd
import numpy as np

from dicomio.codes import CLASS_CODES, EXPLAINED_CLASS
from validation.conformance.expected import AREA, LENGTH, VOLUME, Numbers, boxes, numbers, study
from validation.conformance.objects import Output
from validation.conformance.series import on_grid
from validation.conformance.tools import run

_TOLERANCE = 1e-3
"""Relative; result.json and DICOM's Decimal Strings are rounded."""
_ROUNDED = {VOLUME: 0.051, LENGTH: 0.051, AREA: 0.051}
"""Absolute, where result.json is the truth: it has millilitres and millimetres to one decimal."""
_VOLUME_TOLERANCE = 5e-3

# Segmentations


def dcmqi_segmentation(output: Output) -> list[str]:
    """dcmqi's segimage2itkimage, which 3D Slicer uses: each segment voxel by voxel where the patient has it."""
    with TemporaryDirectory() as folder:
        meta = Path(folder, "s-meta.json")
        code, text = _convert("segimage2itkimage", output, folder, "s")
        if code or not meta.is_file():
            return [_ending(code, text)]
        found = {}
        for file, segments in enumerate(json.loads(meta.read_text(encoding="utf-8"))["segmentAttributes"], start=1):
            values, affine = read_nrrd(Path(folder, f"s-{file}.nrrd"))
            for segment in segments:
                found[segment["SegmentLabel"]] = values == segment["labelID"], affine
    return _compare_segments(output, found)


def highdicom_segmentation(output: Output) -> list[str]:
    """highdicom's own reader: each segment voxel by voxel where the patient has it."""
    segmentation = hd.seg.segread(output.path)
    found = {}
    for number in segmentation.segment_numbers:
        volume = segmentation.get_volume(segment_numbers=[number], rescale_fractional=False)
        array = volume.array[..., 0] if volume.array.ndim == 4 else volume.array == number
        found[segmentation.get_segment_description(number).segment_label] = array > 0, volume.affine
    return _compare_segments(output, found)


def _compare_segments(output: Output, found: dict[str, tuple[np.ndarray, np.ndarray]]) -> list[str]:
    if output.series is None:
        return _compare_volumes(output, found)
    expected = {label: mask for label, mask in output.series.segments.items() if mask.any()}
    errors = []
    if output.name == "SEG":
        errors += [f"Segment '{label}' is missing." for label in expected if not _labelled(label, found)]
    for label, (mask, affine) in found.items():
        truth = next((truth for name, truth in expected.items() if label.startswith(name)), None)
        if truth is None:
            errors.append(f"Segment '{label}' is none of those expected.")
            continue
        try:
            differing = np.count_nonzero(on_grid(mask, affine, output.series.segments_affine) != truth)
        except ValueError as error:
            errors.append(f"Segment '{label}': {error}")
        else:
            if differing:
                errors.append(f"Segment '{label}' differs in {differing} voxels from the {truth.sum()} true ones.")
    return errors


def _labelled(name: str, found: dict[str, Any]) -> bool:
    return any(label.startswith(name) for label in found)


def _compare_volumes(output: Output, found: dict[str, tuple[np.ndarray, np.ndarray]]) -> list[str]:
    errors = []
    for side in ("right", "left") if output.case else ():
        for label, (mask, affine) in found.items():
            volume_ml = np.count_nonzero(mask) * abs(np.linalg.det(affine[:3, :3])) / 1000
            said_ml = output.case["lungs"][f"{side}_ml"] if output.case else 0.0
            if label == f"{side.capitalize()} lung" and abs(volume_ml - said_ml) > _VOLUME_TOLERANCE * said_ml + 0.1:
                errors.append(f"Segment '{label}' has {volume_ml:.1f} ml, result.json says {said_ml:.1f} ml.")
    return errors


# Parametric Map


def dcmqi_parametric_map(output: Output) -> list[str]:
    """dcmqi's paramap2itkimage: each value where the patient has it, and less than 0 where nothing was explained."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "m-pmap.nrrd")
        code, text = _convert("paramap2itkimage", output, folder, "m")
        if code or not file.is_file():
            return [_ending(code, text)]
        values, affine = read_nrrd(file)
    if output.series is None:
        return [] if values.min() >= -1 and values.max() <= 1 else ["A value is outside -1 to 1."]
    saliency = output.series.findings.saliency
    first, last = min(saliency), max(saliency)
    truth = np.full((last - first + 1, *output.series.volume.hu.shape[1:]), -1, np.float32)
    for index, plane in saliency.items():
        truth[index - first] = plane
    truth_affine = output.series.volume.affine
    truth_affine[:3, 3] += first * truth_affine[:3, 0]
    try:
        differing = np.count_nonzero(on_grid(values, affine, truth_affine) != truth)
    except ValueError as error:
        return [str(error)]
    return [f"{differing} of {truth.size} values differ."] if differing else []


def _convert(program: str, output: Output, folder: str, prefix: str) -> tuple[int, str]:
    """Starts a converter of dcmqi, which writes NRRD files into `folder`; returns its exit code and what it says."""
    into = ("--outputDirectory", folder, "--outputType", "nrrd", "--prefix", prefix)
    return run(program, "--inputDICOM", output.path, *into)


def _ending(code: int, text: str) -> str:
    return f"It ended with the exit code {code}: {text.strip()[-300:]}"


def read_nrrd(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """An image as ITK writes it (http://teem.sourceforge.net/nrrd/format.html), and its affine in DICOM's coordinates.

    Raises:
        ValueError: the file isn't one of those.
    """
    header, _, data = path.read_bytes().partition(b"\n\n")
    fields = dict(line.split(": ", 1) for line in header.decode().splitlines() if ": " in line)
    if (fields["space"], fields["encoding"], fields.get("endian", "little")) != (
        "left-posterior-superior",
        "gzip",
        "little",
    ):
        raise ValueError(f"{path.name} is not the NRRD that is read here.")
    dtype = {"short": "<i2", "unsigned short": "<u2", "unsigned char": "u1", "float": "<f4"}[fields["type"]]
    sizes = [int(size) for size in fields["sizes"].split()]
    vectors = [_vector(text) for text in (*fields["space directions"].split(), fields["space origin"])]
    affine = np.eye(4)
    affine[:3] = np.array(vectors).T
    return np.frombuffer(gzip.decompress(data), dtype).reshape(sizes, order="F"), affine


def _vector(text: str) -> list[float]:
    return [float(value) for value in text.strip("()").split(",")]


# Reports


def dcmqi_report(output: Output) -> list[str]:
    """dcmqi's tid1500reader: every number of every measurement group."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "report.json")
        code, text = run("tid1500reader", "--inputDICOM", output.path, "--outputMetadata", file)
        if code or not file.is_file():
            return [_ending(code, text)]
        report = json.loads(file.read_text(encoding="utf-8"))
    found: Numbers = defaultdict(list)
    for group in report["Measurements"]:
        for item in group.get("measurementItems", []):
            found[item["quantity"]["CodeValue"]].append(float(item["value"]))
    return _compare_numbers(output, found)


_NUMBER = re.compile(r'NUM:\(([^,]+),[^)]*\)="([^"]+)"')
_REGION = re.compile(r"SCOORD:.*=\(POLYLINE,([^)]*)\)>\s*<selected from IMAGE:[^=]*=\(CT image,\"([\d.]+)\"")


def dcmtk_report(output: Output) -> list[str]:
    """DCMTK's dsrdump: every number and every box."""
    code, text = run("dsrdump", "+Pl", "+Pu", "+Pc", output.path)
    if code or re.search(r"^[EF]:", text, re.MULTILINE):
        return [_ending(code, text)]
    found: Numbers = defaultdict(list)
    for concept, value in _NUMBER.findall(text):
        found[concept].append(float(value))
    outlines = [
        (uid, np.array([p.split("/") for p in points.split(",")], float)) for points, uid in _REGION.findall(text)
    ]
    return _compare_numbers(output, found) + _compare_boxes(output, outlines)


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
    return errors + _compare_numbers(output, _numbers_below(content)) + _compare_boxes(output, outlines)


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


def _compare_numbers(output: Output, found: Numbers) -> list[str]:
    expected = numbers(output.case) if output.case else {}
    errors = []
    for concept in sorted({*found, *expected}):
        read, true = sorted(found.get(concept, [])), expected.get(concept, [])
        absolute = _TOLERANCE if output.series else _ROUNDED.get(concept, _TOLERANCE)
        if len(read) != len(true) or not np.allclose(read, true, _TOLERANCE, absolute):
            errors.append(f"Values of the concept {concept}: {_short(read)} were read, {_short(true)} are true.")
    return errors


def _compare_boxes(output: Output, outlines: list[tuple[str, np.ndarray]]) -> list[str]:
    read = sorted((uid, (*points.min(axis=0), *points.max(axis=0))) for uid, points in outlines)
    true = boxes(output.case) if output.case else []
    if read == true:
        return []
    return [f"{len(set(true) - set(read))} of {len(true)} boxes are not where they are true; {len(read)} were read."]


def _short(values: list[float]) -> str:
    return ", ".join(f"{value:.6g}" for value in values) or "none"
