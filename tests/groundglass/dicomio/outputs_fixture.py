"""A small CT series in several orientations, and findings made by hand, for the tests of everything that is written."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import CTImageStorage

from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.domain.findings import THIRDS, Box, Findings, Prediction, Region, SliceFinding, Zone
from groundglass.domain.software import SoftwareIdentity
from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG, CTVolume

SLICES, ROWS, COLUMNS = 8, 32, 40
SPACING_MM = (3.0, 1.25, 1.5)
WEIGHTS = {"lungs": "ab" * 32, "classifier": "cd" * 32}
SOFTWARE = SoftwareIdentity("groundglass", "0.1.0", WEIGHTS, "cpu", "ef" * 32)

ORIENTATIONS = {
    # Directions along which the slice, row and column index grow, in patient coordinates.
    "head first supine": ((0, 0, 1), (0, 1, 0), (1, 0, 0)),
    "slices from head to feet": ((0, 0, -1), (0, 1, 0), (1, 0, 0)),
    "prone": ((0, 0, 1), (0, -1, 0), (-1, 0, 0)),
    "viewed from the head": ((0, 0, -1), (0, 1, 0), (-1, 0, 0)),
    "tilted": ((0, np.sin(0.2), np.cos(0.2)), (0, np.cos(0.2), -np.sin(0.2)), (1, 0, 0)),
}


def make_case(orientation: str = "head first supine", positive: bool = True) -> AnalysedSeries:
    directions = np.array(ORIENTATIONS[orientation], float)
    generator = np.random.default_rng(7)
    hu = generator.integers(-1000, 200, (SLICES, ROWS, COLUMNS)).astype(np.int16)
    volume = CTVolume(hu, SPACING_MM, np.array([-30.0, 12.5, -110.0]), directions)
    sources = [make_header(volume, index) for index in range(SLICES)]
    return AnalysedSeries(sources, volume, make_findings(volume, positive), SOFTWARE)


def make_header(volume: CTVolume, index: int) -> Dataset:
    """A CT header without pixels, and without the patient's name that the standard asks for."""
    header = Dataset()
    header.SOPClassUID = CTImageStorage
    header.SOPInstanceUID = f"1.2.3.4.{index + 1}"
    header.StudyInstanceUID = "1.2.3"
    header.SeriesInstanceUID = "1.2.3.4"
    header.FrameOfReferenceUID = "1.2.3.5"
    header.Modality = "CT"
    header.Manufacturer = "Synthetic"
    header.PatientID = "P-1"
    header.PatientSex = "F"
    header.StudyDate = "20200305"
    header.StudyTime = "101112"
    header.StudyDescription = "Thorax"
    header.StudyID = "1"
    header.SeriesNumber = 3
    header.InstanceNumber = index + 1
    header.Rows, header.Columns = volume.hu.shape[1:]
    header.SamplesPerPixel = 1
    header.PixelRepresentation = 1
    header.PixelSpacing = list(volume.spacing_mm[1:])
    header.SliceThickness = volume.spacing_mm[0]
    slice_direction, row_direction, column_direction = volume.directions
    header.ImageOrientationPatient = [round(float(v), 8) for v in (*column_direction, *row_direction)]
    position = volume.origin_mm + index * volume.spacing_mm[0] * slice_direction
    header.ImagePositionPatient = [round(float(v), 6) for v in position]
    return header


def make_findings(volume: CTVolume, positive: bool = True) -> Findings:
    """Asymmetric in every direction, so that no flip or swap of axes goes unnoticed."""
    lungs = np.zeros(volume.hu.shape, np.uint8)
    lungs[1:7, 4:20, 3:15] = RIGHT_LUNG
    lungs[2:8, 6:28, 22:36] = LEFT_LUNG
    probabilities = (0.07, 0.13, 0.8) if positive else (0.9, 0.06, 0.04)
    slices = tuple(SliceFinding(index, 500.0, probabilities, positive and index in (2, 5)) for index in range(1, 8))
    right_ml, left_ml = (float(np.count_nonzero(lungs == side)) * volume.voxel_volume_ml for side in (1, 2))
    if not positive:
        return Findings(lungs, right_ml, left_ml, Prediction(probabilities, "absent", "undetermined"), 0.0, slices)

    salient = np.zeros(lungs.shape, np.uint8)
    salient[2, 6:10, 5:12] = 1
    salient[5, 20:25, 24:27] = 2
    ramp = np.linspace(0.1, 1.0, ROWS * COLUMNS, dtype=np.float32).reshape(ROWS, COLUMNS)
    saliency = {index: np.where(lungs[index] > 0, ramp, 0).astype(np.float32) for index in (2, 5)}
    boxes = (
        Box(2, "covid19", 5, 6, 11, 9, 52.5, 0.8, 0.6, 1),
        Box(5, "covid19", 24, 20, 26, 24, 28.125, 0.75, 0.5, 2),
    )
    regions = (
        Region(1, 0.3, (2,), "right", "upper", 0.1575, boxes[0]),
        Region(2, 0.25, (5,), "left", "middle", 0.084375, boxes[1]),
    )
    return Findings(
        lungs=lungs,
        right_ml=right_ml,
        left_ml=left_ml,
        prediction=Prediction(probabilities, "present", "undetermined"),
        salient_fraction=float((salient > 0).sum() / np.count_nonzero(lungs)),
        slices=slices,
        saliency=saliency,
        salient=salient,
        boxes=boxes,
        regions=regions,
        unlisted_regions=0,
        zones=tuple(Zone(side, third, 0.01) for side in ("right", "left") for third in THIRDS),
    )


def dciodvfy_errors(path: Path) -> list[str]:
    """The error lines of dciodvfy, which checks a file against the modules of its SOP class."""
    tool = shutil.which("dciodvfy")
    if tool is None:
        pytest.skip("dciodvfy (Debian package dicom3tools) is not installed")
    done = subprocess.run([tool, str(path)], capture_output=True, text=True, errors="replace", check=False)
    lines = (done.stdout + done.stderr).splitlines()
    assert lines, "dciodvfy named no SOP class"
    return [line for line in lines if line.startswith("Error")]
