"""3D Slicer's core, offscreen: the images load, and every segment of a Segmentation lies on its voxels.

dcmqi converts the Segmentation, as it does inside of Slicer.
"""

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread

from conformance.tools import ToolMissing, run
from conformance.viewer.case import SEGMENTATIONS, Case, affine_of
from conformance.viewer.finding import Finding, compare_masks
from groundglass.domain.volume import on_grid
from groundglass.locations import ROOT

HERE = Path(__file__).resolve().parent
PYTHON = ROOT / ".viewer-venv" / "bin" / "python"
_ENDS_WITHIN_S = 900


def look(cases: Sequence[Case]) -> Iterator[Finding]:
    """Loads the images and the Segmentations of every case that has one.

    Raises:
        ToolMissing: Slicer's core or dcmqi is not installed.
    """
    if not PYTHON.is_file():
        raise ToolMissing(f"3D Slicer's core is not installed. Run `make viewer`, which makes {PYTHON.parent.parent}.")
    segmented = [case for case in cases if case.of_class(SEGMENTATIONS)]
    with TemporaryDirectory(prefix="groundglass-slicer-") as name:
        folders = [Path(name, str(number)) for number in range(len(segmented))]
        job = [_convert(case, folder) for case, folder in zip(segmented, folders, strict=True)]
        Path(name, "job.json").write_text(json.dumps(job), encoding="utf-8")
        done = subprocess.run(
            [PYTHON, "-P", HERE / "in_slicer.py", Path(name, "job.json")],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_ENDS_WITHIN_S,
            check=False,
        )
        said = done.stdout.decode("utf-8", "replace")
        complaints = [line.strip() for line in said.splitlines() if "ERR|" in line or line.startswith("Error")]
        yield Finding("3D Slicer", "all", "no error is reported", "; ".join(dict.fromkeys(complaints)))
        for case, folder, files in zip(segmented, folders, job, strict=True):
            if not (folder / "result.json").is_file():
                yield Finding("3D Slicer", case.name, "ends", f"It did not get to its end: {said.strip()[-300:]}")
            else:
                yield from compare(case, folder, files)


def _convert(case: Case, folder: Path) -> dict[str, Any]:
    """What in_slicer.py is to load; dcmqi writes the Segmentations into `folder` as images."""
    folder.mkdir()
    segmentations = []
    for path in case.of_class(SEGMENTATIONS):
        prefix = case.kind(path)
        into = ("--outputDirectory", folder, "--outputType", "nrrd", "--prefix", prefix, "--mergeSegments")
        run("segimage2itkimage", "--inputDICOM", path, *into)
        meta = json.loads((folder / f"{prefix}-meta.json").read_text(encoding="utf-8"))
        for number, segments in enumerate(meta["segmentAttributes"], start=1):
            converted = str(folder / f"{prefix}-{number}.nrrd")
            held = {str(segment["labelID"]): segment for segment in segments}
            segmentations.append({"path": converted, "of": str(path), "segments": held})
    return {
        "folder": str(folder),
        "images": [str(path) for path in case.source_paths],
        "segmentations": segmentations,
    }


def compare(case: Case, folder: Path, files: dict[str, Any]) -> Iterator[Finding]:
    """What in_slicer.py saved of a case, against its files."""
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    if result["problem"]:
        yield Finding("3D Slicer", case.name, "loads", result["problem"])
        return
    affine, truth_affine = np.load(folder / "affine.npy"), affine_of(case.sources)
    truth = np.stack([_hounsfield(source) for source in case.sources])
    differing = _compared(np.load(folder / "images.npy"), affine, truth, truth_affine)
    yield Finding("3D Slicer", case.name, f"source: {len(truth)} images, every voxel", differing)
    saved = {
        (file["of"], int(label)): f"{number}-{label}"
        for number, file in enumerate(files["segmentations"])
        for label in file["segments"]
    }
    for path in case.of_class(SEGMENTATIONS):
        for number, (label, mask) in case.masks[path].items():
            what = f"{case.kind(path)}: {label}, {np.count_nonzero(mask)} voxels"
            of = saved.get((str(path), number), "")
            if of not in result["names"]:
                yield Finding("3D Slicer", case.name, what, "Slicer has no such segment.")
                continue
            problem = _compared(np.load(folder / f"{of}.npy"), affine, mask, truth_affine)
            if result["names"][of] != label:
                problem = f"Slicer names it {result['names'][of]!r}. {problem}".strip()
            yield Finding("3D Slicer", case.name, what, problem)


def _hounsfield(source: Dataset) -> np.ndarray:
    dataset = dcmread(str(source.filename))
    return dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)


def _compared(values: np.ndarray, affine: np.ndarray, truth: np.ndarray, truth_affine: np.ndarray) -> str:
    try:
        return compare_masks(truth, on_grid(values, affine, truth_affine))
    except ValueError as error:
        return str(error)
