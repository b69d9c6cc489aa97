"""The saliency map keeps every value at the position of its source image."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.pixels import apply_windowing

from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.dicomio.writing.files import write_dicom
from groundglass.dicomio.writing.parametric_map import make_saliency_map
from tests.groundglass.dicomio.outputs_fixture import ORIENTATIONS, dciodvfy_errors, make_case


def written(case: AnalysedSeries, folder: Path) -> Path:
    path = folder / "map.dcm"
    write_dicom(make_saliency_map(case), path)
    return path


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_values_and_positions_survive_the_file(orientation: str, tmp_path: Path) -> None:
    case = make_case(orientation)
    saliency_map = pydicom.dcmread(written(case, tmp_path))
    frames = saliency_map.pixel_array
    assert frames.dtype == np.float32
    seen = {}
    for frame, group in zip(frames, saliency_map.PerFrameFunctionalGroupsSequence, strict=True):
        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        seen[tuple(np.round(position, 3))] = frame
    assert len(seen) == 4
    for index in range(2, 6):
        position = np.array(case.sources[index].ImagePositionPatient, float)
        expected = case.findings.saliency.get(index, saliency_map.FloatPixelPaddingValue)
        np.testing.assert_array_equal(seen[tuple(np.round(position, 3))], expected)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_frames_follow_each_other_along_the_normal_without_gaps(orientation: str, tmp_path: Path) -> None:
    """Slices 2 and 5 were explained: readers that stack the frames would misplace them otherwise."""
    case = make_case(orientation)
    saliency_map = pydicom.dcmread(written(case, tmp_path))
    groups = saliency_map.PerFrameFunctionalGroupsSequence
    positions = np.array([group.PlanePositionSequence[0].ImagePositionPatient for group in groups], float)
    shared = saliency_map.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    steps_mm = np.diff(positions, axis=0) @ np.cross(cosines[:3], cosines[3:])
    np.testing.assert_allclose(steps_mm, shared.PixelMeasuresSequence[0].SpacingBetweenSlices, rtol=1e-5)
    assert [group.FrameContentSequence[0].DimensionIndexValues for group in groups] == [1, 2, 3, 4]
    assert shared.FrameAnatomySequence[0].FrameLaterality == "B"


def test_values_are_mapped_to_saliency(tmp_path: Path) -> None:
    path = written(make_case(), tmp_path)
    shared = pydicom.dcmread(path).SharedFunctionalGroupsSequence[0]
    mapping = shared.RealWorldValueMappingSequence[0]
    assert mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeValue == "130404"
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1.0, 0.0)
    assert dciodvfy_errors(path) == []


def test_the_window_shows_every_value_as_another_gray(tmp_path: Path) -> None:
    """A window of width 1 is a threshold for the function LINEAR, which viewers take where none is named."""
    saliency_map = pydicom.dcmread(written(make_case(), tmp_path))
    (window,) = saliency_map.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence
    shown = apply_windowing(np.array([0.0, 0.25, 0.5, 0.75, 1.0]), _monochrome(window))
    np.testing.assert_allclose(shown, [0, 63.75, 127.5, 191.25, 255])


def _monochrome(window: Dataset) -> Dataset:
    """What pydicom wants to know of an image to apply a window to it."""
    window.PhotometricInterpretation, window.BitsStored, window.PixelRepresentation = "MONOCHROME2", 8, 0
    return window


def test_equal_input_gives_equal_uids() -> None:
    case = make_case()
    first, second = (make_saliency_map(case) for _ in range(2))
    assert first.SOPInstanceUID == second.SOPInstanceUID


def test_a_study_without_explained_slices_has_no_map() -> None:
    case = make_case(positive=False)
    with pytest.raises(ValueError, match="No slice was explained"):
        make_saliency_map(case)
