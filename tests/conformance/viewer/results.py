"""A case of the phantom as a run of the application leaves it, and what a viewer that shows everything right tells."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread

from conformance.objects import write_outputs
from conformance.series import case_of, write_phantom
from conformance.viewer.case import SEGMENTATIONS, Case
from conformance.viewer.ohif import fullest_slice
from conformance.viewer.server import Measured

OBJECTS = {"SEG": "seg", "key images": "key-images", "boxes": "boxes"}


def write_case(folder: Path) -> Case:
    """Source and outputs of a small phantom in a folder, and the case that is read from it."""
    series = write_phantom("oblique", folder / "study")
    (folder / "study" / "notes.txt").write_text("no DICOM, as studies have it")
    (folder / "results").mkdir()
    names = []
    for output in write_outputs(series, folder / "written", OBJECTS.__contains__):
        names.append(f"case-001.{OBJECTS[output.name]}.dcm")
        output.path.rename(folder / "results" / names[-1])
    source = {"case": "case-001", "series_instance_uid": series.sources[0].SeriesInstanceUID, "outputs": names}
    result = {"cases": [{**source, **case_of(series)}]}
    (folder / "results" / "result.json").write_text(json.dumps(result, default=float))
    (case,) = Case.read_all("phantom", folder / "study", folder / "results")
    return case


def seen(case: Case, place: str = "0") -> tuple[dict[str, Any], Measured]:
    """What ohif.mjs would send of a case that OHIF shows as it is: the objects, and the arrays."""
    source = dcmread(case.source_paths[0])
    measured: Measured = {
        f"{place}/source/0": (source.pixel_array * source.RescaleSlope + source.RescaleIntercept)
        .astype(np.float32)
        .tobytes()
    }
    objects: dict[str, Any] = {"source": {"pixels": {f"{place}/source/0": "Float32Array"}}}
    for path, header in case.headers.items():
        name = case.kind(path)
        at = f"{place}/{name}"
        if header.SOPClassUID in SEGMENTATIONS:
            masks = case.masks[path]
            voxels = {}
            for number, (_, mask) in masks.items():
                for index in np.flatnonzero(mask.any(axis=(1, 2))):
                    layer = f"{at}/{number}-{index}"
                    measured[layer] = (mask[index] * number).astype(np.uint8).tobytes()
                    voxels[layer] = str(case.sources[index].SOPInstanceUID)
            anything = np.any([mask[fullest_slice(case, path)] for _, mask in masks.values()], axis=0)
            screen = np.where(anything[..., np.newaxis], (90, 180, 90, 255), (90, 90, 90, 255))
            measured[f"{at}/screen"] = screen.astype(np.uint8).tobytes()
            segments = {str(number): label for number, (label, _) in masks.items()}
            objects[name] = {"segments": segments, "voxels": voxels}
        elif name == "key-images":
            frames = dcmread(path).pixel_array.reshape(-1, header.Rows, header.Columns, 3)
            pixels = {f"{at}/{number}": "Uint8ClampedArray" for number in range(len(frames))}
            for key, frame in zip(pixels, frames, strict=True):
                measured[key] = np.dstack([frame, np.full(frame.shape[:2], 255, np.uint8)]).tobytes()
            objects[name] = {"pixels": pixels}
        else:
            objects[name] = {"unsupported": True}
    return objects, measured
