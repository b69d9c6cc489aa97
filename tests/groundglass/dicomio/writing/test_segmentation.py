"""The Segmentation object holds every voxel where the patient has it, and says what each segment is."""

import dataclasses
import datetime
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.uid import RLELossless

from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.dicomio.writing.files import write_dicom
from groundglass.dicomio.writing.segmentation import (
    LABEL_MAP_STORAGE,
    OTHER_REGIONS,
    Form,
    make_region_segmentation,
    make_segmentation,
)
from groundglass.dicomio.writing.tracking import tracking_uid
from groundglass.domain.findings import UNLISTED_REGION
from groundglass.domain.software import SoftwareIdentity
from groundglass.domain.volume import CTVolume
from tests.groundglass.dicomio.outputs_fixture import (
    ORIENTATIONS,
    SOFTWARE,
    SPACING_MM,
    dciodvfy_errors,
    make_case,
)


def written(case: AnalysedSeries, folder: Path, form: Form = "binary") -> Path:
    path = folder / "seg.dcm"
    write_dicom(make_segmentation(case, form), path)
    return path


def written_regions(case: AnalysedSeries, folder: Path, form: Form = "binary") -> Path:
    path = folder / "regions.dcm"
    write_dicom(make_region_segmentation(case, form), path)
    return path


def with_unlisted_region(case: AnalysedSeries) -> AnalysedSeries:
    """A third salient region, which isn't listed, with an explained slice between that shows nothing."""
    assert case.findings.salient is not None
    salient = case.findings.salient.copy()
    salient[3, 12:14, 25:30] = UNLISTED_REGION
    return dataclasses.replace(case, findings=dataclasses.replace(case.findings, salient=salient))


def masks_of(case: AnalysedSeries) -> dict[str, np.ndarray]:
    """The voxels that each segment has to have, by its label."""
    lungs, salient = case.findings.lungs, case.findings.salient
    assert salient is not None
    numbers = {"Region 1": 1, "Region 2": 2, OTHER_REGIONS: UNLISTED_REGION}
    return {"Right lung": lungs == 1, "Left lung": lungs == 2} | {
        label: salient == number for label, number in numbers.items()
    }


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
    case = with_unlisted_region(make_case(orientation))
    expected = masks_of(case)
    for path in (written(case, tmp_path), written_regions(case, tmp_path)):
        segmentation = pydicom.dcmread(path)
        for segment in segmentation.SegmentSequence:
            found = read_positions(segmentation, segment.SegmentNumber)
            assert found == positions_of(expected.pop(segment.SegmentLabel), case.volume)
    assert not expected


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


@pytest.mark.parametrize("form", ["binary", "labelmap"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_highdicom_reads_each_source_images_pixels_back(orientation: str, form: Form, tmp_path: Path) -> None:
    case = with_unlisted_region(make_case(orientation))
    uids = [source.SOPInstanceUID for source in case.sources]
    expected = masks_of(case)
    for path in (written(case, tmp_path, form), written_regions(case, tmp_path, form)):
        segmentation = hd.seg.segread(path)
        pixels = segmentation.get_pixels_by_source_instance(uids, assert_missing_frames_are_empty=True)
        for index, number in enumerate(segmentation.segment_numbers):
            label = segmentation.get_segment_description(number).segment_label
            np.testing.assert_array_equal(pixels[..., index], expected.pop(label))
    assert not expected


def test_frames_without_a_voxel_are_left_out_in_the_series_of_the_lungs_and_of_the_regions(tmp_path: Path) -> None:
    case = with_unlisted_region(make_case())
    assert pydicom.dcmread(written(case, tmp_path)).NumberOfFrames == 6 + 6
    assert pydicom.dcmread(written_regions(case, tmp_path)).NumberOfFrames == 3
    assert pydicom.dcmread(written(case, tmp_path, "labelmap")).NumberOfFrames == 7
    assert pydicom.dcmread(written_regions(case, tmp_path, "labelmap")).NumberOfFrames == 3


def test_lungs_are_coded_with_their_side_and_regions_as_saliency_without_a_class(tmp_path: Path) -> None:
    case = with_unlisted_region(make_case())
    for segment, side in zip(
        pydicom.dcmread(written(case, tmp_path)).SegmentSequence, ("24028007", "7771000"), strict=True
    ):
        property_type = segment.SegmentedPropertyTypeCodeSequence[0]
        assert property_type.CodeValue == "39607008"
        assert property_type.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == side
        assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "91723000"
    regions = pydicom.dcmread(written_regions(case, tmp_path)).SegmentSequence
    assert [region.SegmentLabel for region in regions] == ["Region 1", "Region 2", "Other salient regions"]
    for region in regions:
        assert region.SegmentedPropertyTypeCodeSequence[0].CodeValue == "130404"
        assert region.SegmentDescription.endswith("no lesion segmentation.")
        assert not any(word in str(region) for word in ("COVID", "CAP", "pneumonia"))
        algorithm = region.SegmentationAlgorithmIdentificationSequence[0]
        assert algorithm.AlgorithmFamilyCodeSequence[0].CodeValue == "123110"
        assert "cd" * 32 in algorithm.AlgorithmParameters


def test_a_region_has_the_tracking_uid_of_the_report(tmp_path: Path) -> None:
    case = make_case()
    for region in make_region_segmentation(case).SegmentSequence:
        assert region.TrackingUID == tracking_uid(case.sources, SOFTWARE, region.TrackingID)
        assert region.TrackingID == region.SegmentLabel == f"Region {region.SegmentNumber}"


def test_a_negative_study_has_the_lungs_alone() -> None:
    case = make_case(positive=False)
    assert len(make_segmentation(case).SegmentSequence) == 2
    with pytest.raises(ValueError, match="Nothing is salient"):
        make_region_segmentation(case)


def test_a_single_region_on_one_slice_is_read_back(tmp_path: Path) -> None:
    case = make_case()
    assert case.findings.salient is not None
    salient = np.where(case.findings.salient == 1, np.uint8(1), np.uint8(0))
    findings = dataclasses.replace(case.findings, salient=salient, regions=case.findings.regions[:1])
    path = written_regions(dataclasses.replace(case, findings=findings), tmp_path)
    pixels = hd.seg.segread(path).get_pixels_by_source_instance([case.sources[2].SOPInstanceUID])
    np.testing.assert_array_equal(pixels[0, ..., 0], salient[2])
    assert dciodvfy_errors(path) == []


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


def test_lungs_and_regions_are_series_of_their_own_with_names_that_16_characters_tell() -> None:
    case = make_case()
    lungs, regions = make_segmentation(case), make_region_segmentation(case)
    assert lungs.SeriesInstanceUID != regions.SeriesInstanceUID
    assert (lungs.SeriesNumber, regions.SeriesNumber) == (9101, 9106)
    assert (lungs.SeriesDescription[:8], regions.SeriesDescription[:10]) == ("AI lungs", "AI regions")
    assert lungs.InstanceNumber == regions.InstanceNumber == 1


def test_all_outputs_of_a_case_are_of_one_moment_in_the_time_zone_of_the_source() -> None:
    moment = datetime.datetime(2026, 3, 1, 23, 30, tzinfo=datetime.UTC)
    case = dataclasses.replace(make_case(), created=moment)
    case.sources[0].TimezoneOffsetFromUTC = "+0200"
    for made in (make_segmentation(case), make_region_segmentation(case, "labelmap")):
        assert (made.SeriesDate, made.ContentDate) == ("20260302", "20260302")
        assert made.SeriesTime == made.ContentTime == "013000.000000"


@pytest.mark.parametrize("positive", [True, False])
def test_dciodvfy_finds_no_error(positive: bool, tmp_path: Path) -> None:
    case = make_case(positive=positive)
    assert dciodvfy_errors(written(case, tmp_path)) == []
    if positive:
        assert dciodvfy_errors(written_regions(with_unlisted_region(case), tmp_path)) == []


def test_label_maps_are_compressed_and_have_the_segments_of_the_binary_form_and_uids_of_their_own() -> None:
    case = with_unlisted_region(make_case())
    for make in (make_segmentation, make_region_segmentation):
        binary, label_map = make(case), make(case, "labelmap")
        assert label_map.SOPClassUID == LABEL_MAP_STORAGE
        assert label_map.file_meta.TransferSyntaxUID == RLELossless
        described = {item.SegmentNumber: item for item in label_map.SegmentSequence}
        assert sorted(described) == [0, *(item.SegmentNumber for item in binary.SegmentSequence)]  # 0 is the background
        for segment in binary.SegmentSequence:
            assert described[segment.SegmentNumber].SegmentLabel == segment.SegmentLabel
            assert described[segment.SegmentNumber].TrackingUID == segment.TrackingUID
        assert binary.SOPInstanceUID != label_map.SOPInstanceUID
        assert binary.SeriesInstanceUID != label_map.SeriesInstanceUID  # viewers take one instance of a series
