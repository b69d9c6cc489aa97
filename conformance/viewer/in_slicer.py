"""What runs inside of 3D Slicer's core, in an environment of its own: loads a job's files, and saves what Slicer has.

Usage: python -P in_slicer.py JOB, a JSON file: see `look` of slicer_core.py.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from slicer import (
    vtkMRMLColorLogic,
    vtkMRMLScalarVolumeNode,
    vtkMRMLScene,
    vtkMRMLSegmentationNode,
    vtkSlicerApplicationLogic,
    vtkSlicerSegmentationsModuleLogic,
    vtkSlicerVolumesLogic,
)
from slicer.util import arrayFromVolume
from vtkmodules.vtkCommonCore import vtkStringArray
from vtkmodules.vtkCommonMath import vtkMatrix4x4


class Slicer:
    """A scene, and the parts of Slicer that load volumes and segmentations into it, as its windows do."""

    def __init__(self) -> None:
        self.scene = vtkMRMLScene()
        self.application = vtkSlicerApplicationLogic()
        self.application.SetMRMLScene(self.scene)
        self.colors = self._add(vtkMRMLColorLogic(), "Colors")
        self.colors.AddDefaultColorNodes()
        self.volumes = self._add(vtkSlicerVolumesLogic(), "Volumes")
        self.segmentations = self._add(vtkSlicerSegmentationsModuleLogic(), "Segmentations")

    def _add(self, logic: Any, name: str) -> Any:
        logic.SetMRMLScene(self.scene)
        logic.SetMRMLApplicationLogic(self.application)
        self.application.SetModuleLogic(name, logic)
        return logic

    def load(self, case: dict[str, Any], folder: Path) -> dict[str, str]:
        """Load the images and the segmentations of a case, and save what Slicer made of them in `folder`.

        `images.npy` and `affine.npy` are the volume, `(slice, row, col)`, and where it lies in DICOM's coordinates;
        `F-N.npy` is segment N of file F on the same grid.

        Returns:
            The names that Slicer has for the segments, by `F-N`.

        Raises:
            ValueError: Slicer can't load a file.
        """
        volume = self.volumes.AddArchetypeVolume(case["images"][0], "images", 0, _strings(case["images"]))
        if volume is None:
            raise ValueError("Slicer can't load the images.")
        np.save(folder / "images.npy", arrayFromVolume(volume))
        np.save(folder / "affine.npy", _affine(volume))
        names = {}
        for number, file in enumerate(case["segmentations"]):
            node = self.segmentations.LoadSegmentationFromFile(file["path"], True, str(number))
            if node is None:
                raise ValueError("Slicer can't load a segmentation.")
            segmentation = node.GetSegmentation()
            for index in range(segmentation.GetNumberOfSegments()):
                segment = segmentation.GetNthSegment(index)
                # As Slicer's own plugin for Segmentations names what dcmqi has converted.
                segment.SetName(file["segments"][str(segment.GetLabelValue())]["SegmentLabel"])
                saved = f"{number}-{segment.GetLabelValue()}"
                np.save(folder / f"{saved}.npy", self._on_grid(node, segmentation.GetNthSegmentID(index), volume))
                names[saved] = segment.GetName()
        self.scene.Clear(False)
        return names

    def _on_grid(self, node: vtkMRMLSegmentationNode, segment: str, volume: vtkMRMLScalarVolumeNode) -> np.ndarray:
        labels = self.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", segment)
        if not self.segmentations.ExportSegmentsToLabelmapNode(node, _strings([segment]), labels, volume):
            raise ValueError("Slicer can't lay a segment on the grid of the images.")
        return arrayFromVolume(labels) > 0


def _strings(values: list[str]) -> vtkStringArray:
    array = vtkStringArray()
    for value in values:
        array.InsertNextValue(value)
    return array


def _affine(volume: vtkMRMLScalarVolumeNode) -> np.ndarray:
    """Slicer's matrix has (column, row, slice) and the patient's right and front; DICOM's has left and back."""
    matrix = vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    values = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ values[:, [2, 1, 0, 3]]


def main() -> None:
    """Go through the job; a case that fails says why in its folder, and the others go on."""
    slicer = Slicer()
    for case in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        folder = Path(case["folder"])
        try:
            names, problem = slicer.load(case, folder), ""
        except Exception as error:  # whatever Slicer raises is its verdict
            names, problem = {}, f"{type(error).__name__}: {error}"
        (folder / "result.json").write_text(json.dumps({"names": names, "problem": problem}), encoding="utf-8")


if __name__ == "__main__":
    main()
