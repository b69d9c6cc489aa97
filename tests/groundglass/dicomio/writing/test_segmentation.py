"""The Segmentation object holds every voxel where the patient has it, and says what each segment is."""

import dataclasses
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest

from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.dicomio.writing.files import write_dicom
from groundglass.dicomio.writing.segmentation import LABEL_MAP_STORAGE, make_salient_label_map, make_segmentation
from groundglass.domain.software import SoftwareIdentity
from groundglass.domain.volume import CTVolume
from tests.groundglass.dicomio.outputs_fixture import (
    ORIENTATIONS,
    SOFTWARE,
    SPACING_MM,
    dciodvfy_errors,
    make_case,
)


def written(case: AnalysedSeries, folder: Path) -> Path:
    path = folder / "seg.dcm"
    write_dicom(make_segmentation(case), path)
    return path


def positions_of(mask: np.ndarray, volume: CTVolume) -> set[tuple[float, ...]]:
    """Patient coordinates of the voxels of `mask`, to the hundredth of a millimetre."""
    indices = np.column_stack([np.argwhere(mask), np.ones(np.count_nonzero(mask))])
    return {tuple(point) for point in np.round((volume.affine @ indices.T).T[:, :3], 2) + 0.0}


def read_positions(segmentation: pydicom.Dataset, segment: int) -> set[tuple[float, ...]]:
    """Patient coordinates of a segment's voxels, from the functional groups alone (PS3.3 C.7.6.2.1.1)."""
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    row_mm, column_mm = (float(v) for v in shared.PixelMeasuresSequence[0].PixelSpacing)
    points: set[tuple[float, ...]] = set()
    for frame, group in zip(segmentation.pixel_array, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        if group.SegmentIdentificationSequence[0].ReferencedSegmentNumber != segment:
            continue
        corner = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        for row, column in np.argwhere(frame):
            point = corner + column * column_mm * orientation[:3] + row * row_mm * orientation[3:]
            points.add(tuple(np.round(point, 2) + 0.0))
    return points


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_voxel_lies_where_the_patient_has_it(orientation: str, tmp_path: Path) -> None:
    case = make_case(orientation)
    segmentation = pydicom.dcmread(written(case, tmp_path))
    assert case.findings.salient is not None
    expected = [case.findings.lungs == 1, case.findings.lungs == 2, case.findings.salient]
    for segment, mask in enumerate(expected, start=1):
        assert read_positions(segmentation, segment) == positions_of(mask, case.volume)


def test_groups_that_are_encoded_once_are_written_as_pydicom_writes_each_of_them(tmp_path: Path) -> None:
    case = make_case("tilted")
    segmentation = make_segmentation(case)
    write_dicom(segmentation, tmp_path / "once.dcm")
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        for dataset in (frame, *(group.value[0] for group in frame)):  # asked for, and so decoded
            dataset.set_original_encoding(None, None)
    segmentation.set_original_encoding(None, None)
    write_dicom(segmentation, tmp_path / "each.dcm")
    assert (tmp_path / "once.dcm").read_bytes() == (tmp_path / "each.dcm").read_bytes()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_highdicom_reads_each_source_images_pixels_back(orientation: str, tmp_path: Path) -> None:
    case = make_case(orientation)
    uids = [source.SOPInstanceUID for source in case.sources]
    pixels = hd.seg.segread(written(case, tmp_path)).get_pixels_by_source_instance(uids)
    np.testing.assert_array_equal(pixels[..., 0], case.findings.lungs == 1)
    np.testing.assert_array_equal(pixels[..., 1], case.findings.lungs == 2)
    np.testing.assert_array_equal(pixels[..., 2], case.findings.salient)


def test_lungs_are_coded_with_their_side_and_saliency_as_no_lesion(tmp_path: Path) -> None:
    right, left, salient = pydicom.dcmread(written(make_case(), tmp_path)).SegmentSequence
    for segment, side in ((right, "24028007"), (left, "7771000")):
        property_type = segment.SegmentedPropertyTypeCodeSequence[0]
        assert property_type.CodeValue == "39607008"
        assert property_type.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == side
        assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "91723000"
    assert salient.SegmentedPropertyTypeCodeSequence[0].CodeValue == "130404"
    assert salient.SegmentLabel == "Saliency of COVID-19 (not a lesion segmentation)"
    algorithm = salient.SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeValue == "123110"
    assert "cd" * 32 in algorithm.AlgorithmParameters


def test_a_negative_study_has_two_segments_and_all_frames(tmp_path: Path) -> None:
    segmentation = pydicom.dcmread(written(make_case(positive=False), tmp_path))
    assert len(segmentation.SegmentSequence) == 2
    assert segmentation.NumberOfFrames == 2 * 8


@pytest.mark.parametrize("thickness_mm", [None, 7.5])
def test_pixel_measures_come_from_the_volume(thickness_mm: float | None, tmp_path: Path) -> None:
    case = make_case()
    for source in case.sources:
        source.SliceThickness = thickness_mm
        source.SpacingBetweenSlices = "99"
    measures = pydicom.dcmread(written(case, tmp_path)).SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert (measures.SpacingBetweenSlices, *measures.PixelSpacing) == SPACING_MM
    assert measures.SliceThickness == SPACING_MM[0]


def test_patient_and_study_are_exactly_the_sources() -> None:
    case = make_case()
    for source in case.sources:
        source.SpecificCharacterSet = "GB18030"
        source.PatientName = "王^小东"
        source.PatientAge = "039Y"
    segmentation = make_segmentation(case)
    for keyword in ("PatientName", "PatientID", "PatientSex", "PatientAge", "StudyDate", "StudyDescription"):
        assert segmentation[keyword].value == case.sources[0][keyword].value
    assert segmentation.SpecificCharacterSet == "GB18030"
    assert not segmentation.PatientBirthDate


def test_sources_are_left_as_they_were() -> None:
    case = make_case()
    before = [source.to_json() for source in case.sources]
    make_segmentation(case)
    assert [source.to_json() for source in case.sources] == before


def test_the_same_input_gives_the_same_uids_and_other_weights_or_settings_give_others() -> None:
    case = make_case()

    def uids(software: SoftwareIdentity) -> list[str]:
        made = make_segmentation(dataclasses.replace(case, software=software))
        tracking = [segment.TrackingUID for segment in made.SegmentSequence]
        dimensions = made.DimensionOrganizationSequence[0].DimensionOrganizationUID
        return [made.SeriesInstanceUID, made.SOPInstanceUID, dimensions, *tracking]

    first = uids(SOFTWARE)
    assert uids(dataclasses.replace(SOFTWARE, device="cuda")) == first
    retrained = dataclasses.replace(SOFTWARE, weights_sha256={"lungs": "ab" * 32, "classifier": "ee" * 32})
    assert not set(uids(retrained)) & set(first)
    assert not set(uids(dataclasses.replace(SOFTWARE, version="0.2.0"))) & set(first)
    assert not set(uids(dataclasses.replace(SOFTWARE, settings_sha256="01" * 32))) & set(first)


@pytest.mark.parametrize("positive", [True, False])
def test_dciodvfy_finds_no_error(positive: bool, tmp_path: Path) -> None:
    assert dciodvfy_errors(written(make_case(positive=positive), tmp_path)) == []


def written_label_maps(case: AnalysedSeries, folder: Path) -> tuple[Path, Path]:
    """The label maps of the lungs and of the salient regions."""
    made = make_segmentation(case, "labelmap"), make_salient_label_map(case)
    paths = folder / "lungs.dcm", folder / "salient.dcm"
    for label_map, path in zip(made, paths, strict=True):
        write_dicom(label_map, path)
    return paths


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_label_maps_lose_no_voxel_and_leave_no_hole_where_a_lung_is_salient(orientation: str, tmp_path: Path) -> None:
    case = make_case(orientation)
    assert (case.findings.lungs[case.findings.salient] > 0).any()
    uids = [source.SOPInstanceUID for source in case.sources]
    lungs, salient = (hd.seg.segread(path) for path in written_label_maps(case, tmp_path))
    for label_map, expected in ((lungs, case.findings.lungs), (salient, 3 * case.findings.salient.astype(np.uint8))):
        assert label_map.SOPClassUID == LABEL_MAP_STORAGE
        read = label_map.get_pixels_by_source_instance(uids, combine_segments=True)
        np.testing.assert_array_equal(read, expected)
        affine = label_map.get_volume(combine_segments=True).affine
        points = np.argwhere(label_map.get_volume(combine_segments=True).array == expected.max())
        seen = {tuple(np.round(point, 2) + 0.0) for point in points @ affine[:3, :3].T + affine[:3, 3]}
        assert seen == positions_of(expected == expected.max(), case.volume)


def test_label_maps_have_the_segments_of_the_binary_form_and_uids_of_their_own(tmp_path: Path) -> None:
    case = make_case()
    binary = pydicom.dcmread(written(case, tmp_path))
    lungs, salient = (pydicom.dcmread(path) for path in written_label_maps(case, tmp_path))
    described = {item.SegmentNumber: item for made in (lungs, salient) for item in made.SegmentSequence}
    assert sorted(described) == [0, 1, 2, 3]  # 0 is the background
    for segment in binary.SegmentSequence:
        assert described[segment.SegmentNumber].SegmentLabel == segment.SegmentLabel
        assert described[segment.SegmentNumber].TrackingUID == segment.TrackingUID
    assert len({made.SOPInstanceUID for made in (binary, lungs, salient)}) == 3
    assert len({made.SeriesInstanceUID for made in (binary, lungs, salient)}) == 1


def test_a_negative_study_has_no_label_map_of_salient_regions() -> None:
    case = make_case(positive=False)
    with pytest.raises(ValueError, match="Nothing is salient"):
        make_salient_label_map(case)
