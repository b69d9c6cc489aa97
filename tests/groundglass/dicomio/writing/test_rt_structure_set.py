"""The RT Structure Set holds the lungs: whoever fills its contours gets their voxels back."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from skimage.draw import polygon2mask

from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.dicomio.writing.files import write_dicom
from groundglass.dicomio.writing.rt_structure_set import make_structure_set, outlines
from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG
from tests.groundglass.dicomio.outputs_fixture import ORIENTATIONS, dciodvfy_errors, make_case


def filled(structure_set: pydicom.Dataset, number: int, case: AnalysedSeries) -> np.ndarray:
    """The voxels whose centres a region's contours enclose, on the images that the contours name."""
    mask = np.zeros(case.volume.hu.shape, bool)
    to_index = np.linalg.inv(case.volume.affine)
    slices = {source.SOPInstanceUID: index for index, source in enumerate(case.sources)}
    (region,) = (item for item in structure_set.ROIContourSequence if item.ReferencedROINumber == number)
    for contour in region.ContourSequence:
        assert contour.ContourGeometricType == "CLOSED_PLANAR"
        points = np.reshape(np.array(contour.ContourData, float), (-1, 3))
        assert len(points) == contour.NumberOfContourPoints
        indices = points @ to_index[:3, :3].T + to_index[:3, 3]
        (image,) = contour.ContourImageSequence
        index = slices[image.ReferencedSOPInstanceUID]
        np.testing.assert_allclose(indices[:, 0], index, atol=0.02)
        mask[index] ^= polygon2mask(mask.shape[1:], indices[:, 1:])
    return mask


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_filled_contours_are_the_lungs_in_patient_coordinates(orientation: str, tmp_path: Path) -> None:
    case = make_case(orientation)
    case.findings.lungs[3, 12:15, 26:31] = 0  # a hole
    write_dicom(make_structure_set(case), tmp_path / "rtstruct.dcm")
    structure_set = pydicom.dcmread(tmp_path / "rtstruct.dcm")
    for number in (RIGHT_LUNG, LEFT_LUNG):
        mask, lung = filled(structure_set, number, case), case.findings.lungs == number
        dice = 2 * np.count_nonzero(mask & lung) / (np.count_nonzero(mask) + np.count_nonzero(lung))
        assert dice >= 0.99


def test_a_ragged_mask_with_holes_comes_back_to_the_pixel() -> None:
    rows, columns = np.ogrid[:160, :200]
    generator = np.random.default_rng(3)
    mask = (rows - 80) ** 2 / 70**2 + (columns - 90) ** 2 / 60**2 < 1 + 0.1 * np.sin(columns / 7)
    for row, column in generator.integers(40, 120, (12, 2)):
        mask[row : row + 5, column : column + 3] = False
    mask[3, 190] = True
    found = list(outlines(mask))
    back = np.logical_xor.reduce([polygon2mask(mask.shape, outline) for outline in found])
    np.testing.assert_array_equal(back, mask)
    assert sum(map(len, found)) < np.count_nonzero(mask ^ np.roll(mask, 1, 0)) + np.count_nonzero(
        mask ^ np.roll(mask, 1, 1)
    )


def test_a_contour_holds_no_more_points_than_its_element() -> None:
    comb = np.zeros((600, 600), bool)
    comb[:, ::2] = comb[300] = True
    assert max(map(len, outlines(comb))) <= 2500


def test_regions_are_organs_found_automatically_with_codes_and_no_class(tmp_path: Path) -> None:
    structure_set = make_structure_set(make_case())
    assert [(roi.ROIName, roi.ROIGenerationAlgorithm) for roi in structure_set.StructureSetROISequence] == [
        ("Right lung", "AUTOMATIC"),
        ("Left lung", "AUTOMATIC"),
    ]
    for observation, code in zip(structure_set.RTROIObservationsSequence, ("3341006", "44029006"), strict=True):
        assert observation.RTROIInterpretedType == "ORGAN"
        assert observation.RTROIIdentificationCodeSequence[0].CodeValue == code
    assert structure_set.SeriesDescription.startswith("AI lungs contour")
    assert structure_set.SeriesDate == structure_set.StructureSetDate
    assert structure_set.ApprovalStatus == "UNAPPROVED"


def test_dciodvfy_finds_no_error(tmp_path: Path) -> None:
    write_dicom(make_structure_set(make_case("tilted")), tmp_path / "rtstruct.dcm")
    assert dciodvfy_errors(tmp_path / "rtstruct.dcm") == []
