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

import numpy as np

from conformance.tools import run
from groundglass.domain.volume import on_grid
from groundglass.selftest.expected import Numbers
from groundglass.selftest.outputs import Output
from groundglass.selftest.readers import compare_boxes, compare_numbers, compare_segments

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
    return compare_segments(output, found)


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
    """dcmqi's tid1500reader: every number of every measurement group, which is of a region."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "report.json")
        code, text = run("tid1500reader", "--inputDICOM", output.path, "--outputMetadata", file)
        if code or not file.is_file():
            return [_ending(code, text)]
        report = json.loads(file.read_text(encoding="utf-8"))
    found: Numbers = defaultdict(list)
    for group in report["Measurements"] or []:
        for item in group.get("measurementItems", []):
            found[item["quantity"]["CodeValue"]].append(float(item["value"]))
    return compare_numbers(output, found, of_study=False)


_NUMBER = re.compile(r'NUM:\(([^,]+),[^)]*\)="([^"]+)"')
_REGION = re.compile(r"SCOORD:\(111030,.*=\(POLYLINE,([^)]*)\)>\s*<selected from IMAGE:[^=]*=\(CT image,\"([\d.]+)\"")


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
    return compare_numbers(output, found) + compare_boxes(output, outlines)
