"""The saliency map keeps every value at the position of its source image."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from dicomio.files import write_dicom
from dicomio.parametric_map import make_saliency_map
from tests.dicomio.outputs_fixture import ORIENTATIONS, SOFTWARE, dciodvfy_errors, make_case


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_values_and_positions_survive_the_file(orientation: str, tmp_path: Path) -> None:
    case = make_case(orientation)
    path = tmp_path / "map.dcm"
    write_dicom(make_saliency_map(case.sources, case.volume, case.findings, SOFTWARE), path)
    saliency_map = pydicom.dcmread(path)
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


def test_neighbouring_frames_lie_as_far_apart_as_the_header_says(tmp_path: Path) -> None:
    """Slices 2 and 5 were explained: without frames between them, readers that make a volume misplace the second."""
    case = make_case()
    path = tmp_path / "map.dcm"
    write_dicom(make_saliency_map(case.sources, case.volume, case.findings, SOFTWARE), path)
    saliency_map = pydicom.dcmread(path)
    groups = saliency_map.PerFrameFunctionalGroupsSequence
    positions = np.array([group.PlanePositionSequence[0].ImagePositionPatient for group in groups], float)
    measures = saliency_map.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    np.testing.assert_allclose(np.abs(np.diff(positions[:, 2])), measures.SpacingBetweenSlices)
    assert saliency_map.SharedFunctionalGroupsSequence[0].FrameAnatomySequence[0].FrameLaterality == "B"


def test_values_are_mapped_to_saliency(tmp_path: Path) -> None:
    case = make_case()
    path = tmp_path / "map.dcm"
    write_dicom(make_saliency_map(case.sources, case.volume, case.findings, SOFTWARE), path)
    shared = pydicom.dcmread(path).SharedFunctionalGroupsSequence[0]
    mapping = shared.RealWorldValueMappingSequence[0]
    assert mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeValue == "130404"
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1.0, 0.0)
    assert dciodvfy_errors(path) == []


def test_equal_input_gives_equal_uids() -> None:
    case = make_case()
    first, second = (make_saliency_map(case.sources, case.volume, case.findings, SOFTWARE) for _ in range(2))
    assert first.SOPInstanceUID == second.SOPInstanceUID


def test_a_study_without_explained_slices_has_no_map() -> None:
    case = make_case(positive=False)
    with pytest.raises(ValueError, match="No slice was explained"):
        make_saliency_map(case.sources, case.volume, case.findings, SOFTWARE)
