"""Multi-frame CT becomes the volume that its frames would make as images, and outputs refer to its frames."""

import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from highdicom.legacy import LegacyConvertedEnhancedCTImage
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    JPEGLosslessSV1,
    LegacyConvertedEnhancedCTImageStorage,
    RLELossless,
)

from groundglass.dicomio.reading.frames import Frame, refer_to_frames
from groundglass.dicomio.reading.scan import scan_folder
from groundglass.dicomio.reading.select import choose_series
from groundglass.dicomio.reading.volume import ReadSeries, read_grid
from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.dicomio.writing.key_images import make_multiframe_key_images
from groundglass.dicomio.writing.parametric_map import make_saliency_map
from groundglass.dicomio.writing.presentation_state import make_presentation_state
from groundglass.dicomio.writing.report import make_refusal_report, make_report
from groundglass.dicomio.writing.segmentation import make_segmentation
from groundglass.domain.errors import Refusal
from groundglass.domain.software import SoftwareIdentity
from groundglass.domain.volume import CTVolume
from groundglass.presets import SHIPPED
from tests.fuzz.files import as_file, as_multi_frame, small_series
from tests.fuzz.judge import judge
from tests.fuzz.mutations import OtherValue
from tests.groundglass.dicomio import outputs_fixture
from tests.groundglass.dicomio.ct_samples import FRAME, Sample, chest_hu, make_series, write
from tests.groundglass.dicomio.reading.test_pixels import encode

SAMPLE = Sample(slices=30, rows=32, columns=40, spacing_mm=(5.0, 1.25, 1.5))
WEIGHTS = {"lungs": "ab" * 32, "classifier": "cd" * 32}
SOFTWARE = SoftwareIdentity("groundglass", "0.1.0", WEIGHTS, "cpu", "ef" * 32)
UID = "1.2.826.0.1.3680043.10.511.77"


def group(**attributes: object) -> list[Dataset]:
    item = Dataset()
    for keyword, content in attributes.items():
        setattr(item, keyword, content)
    return [item]


def enhanced(shuffle: bool = True) -> Dataset:
    """Enhanced CT whose frames are stored in no order, with the rescale in the shared groups."""
    images = make_series(SAMPLE)
    order = np.random.default_rng(5).permutation(len(images)) if shuffle else np.arange(len(images))
    image = make_series(SAMPLE)[0]
    for keyword in (
        "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "RescaleSlope",
        "RescaleIntercept", "ConvolutionKernel", "InstanceNumber",
    ):  # fmt: skip
        delattr(image, keyword)
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = UID
    image.NumberOfFrames = len(images)
    shared = Dataset()
    shared.PlaneOrientationSequence = group(ImageOrientationPatient=list(SAMPLE.orientation))
    shared.PixelMeasuresSequence = group(PixelSpacing=list(SAMPLE.spacing_mm[1:]), SliceThickness=5.0)
    shared.PixelValueTransformationSequence = group(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")
    shared.CTReconstructionSequence = group(ConvolutionKernel="LUNG")
    shared.CTImageFrameTypeSequence = group(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])
    image.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for place in order:
        frame = Dataset()
        frame.PlanePositionSequence = group(ImagePositionPatient=images[place].ImagePositionPatient)
        frame.FrameContentSequence = group(FrameAcquisitionNumber=1)
        frames.append(frame)
    image.PerFrameFunctionalGroupsSequence = frames
    image.PixelData = b"".join(images[place].PixelData for place in order)
    image["PixelData"].VR = "OW"
    return image


def legacy_converted() -> Dataset:
    """What the converter of another project makes of the same slices."""
    images = make_series(SAMPLE)
    for image in images:
        image.Manufacturer, image.StudyID, image.SeriesNumber = "Synthetic", "1", 3
        image.StudyDate = image.SeriesDate = image.AcquisitionDate = image.ContentDate = "20200305"
        image.StudyTime = image.SeriesTime = image.AcquisitionTime = image.ContentTime = "101112"
        image.AccessionNumber = image.PatientBirthDate = image.PatientSex = image.ReferringPhysicianName = ""
        image.FrameOfReferenceUID, image.PositionReferenceIndicator = FRAME, ""
        image.PatientPosition = "HFS"
    made = LegacyConvertedEnhancedCTImage(
        images, make_series(SAMPLE)[0].SeriesInstanceUID, 4, UID, 1, transfer_syntax_uid=ExplicitVRLittleEndian
    )
    return made


def read(folder: Path) -> ReadSeries:
    (series,) = scan_folder(folder).series
    selection = choose_series([series], SHIPPED.selection)
    assert selection.chosen is not None, selection.rejected
    return read_grid(selection.chosen.grid)


@pytest.fixture(scope="module", params=[EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage])
def multi_frame(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ReadSeries:
    folder = tmp_path_factory.mktemp("multi-frame")
    if request.param == EnhancedCTImageStorage:
        write(enhanced(), folder / "enhanced")
    else:
        legacy_converted().save_as(folder / "legacy")
    return read(folder)


def test_the_frames_make_the_volume_of_the_images(multi_frame: ReadSeries) -> None:
    np.testing.assert_array_equal(multi_frame.volume.hu, chest_hu(SAMPLE))
    assert multi_frame.volume.spacing_mm == (5.0, 1.25, 1.5)
    np.testing.assert_allclose(multi_frame.volume.origin_mm, SAMPLE.top_mm)
    assert {str(source.SOPInstanceUID) for source in multi_frame.sources} == {UID}
    assert sorted(source.number for source in multi_frame.sources if isinstance(source, Frame)) == list(range(1, 31))


def second_pass(image: Dataset) -> Dataset:
    """The same places once more, with other pixels."""
    again = copy.deepcopy(image)
    stored = np.frombuffer(image.PixelData, "<u2")
    again.PixelData = (stored + 7).astype("<u2").tobytes()
    again["PixelData"].VR = "OW"
    return again


def test_frames_of_two_objects_at_the_same_places_are_two_acquisitions(tmp_path: Path) -> None:
    first, second = enhanced(), second_pass(enhanced())
    second.SOPInstanceUID = second.file_meta.MediaStorageSOPInstanceUID = f"{UID}.2"
    write(first, tmp_path / "2")
    write(second, tmp_path / "1")
    found = read(tmp_path)
    np.testing.assert_array_equal(found.volume.hu, chest_hu(SAMPLE))
    assert [note.attribute for note in found.notes] == ["SOPInstanceUID"]


def test_the_time_of_a_frame_tells_two_acquisitions_in_one_object_apart(tmp_path: Path) -> None:
    image = enhanced()
    again = second_pass(image)
    for part, minute in ((image, 1), (again, 2)):
        for frame in part.PerFrameFunctionalGroupsSequence:
            frame.FrameContentSequence[0].FrameAcquisitionDateTime = f"20200101120{minute}00"
    image.PerFrameFunctionalGroupsSequence.extend(again.PerFrameFunctionalGroupsSequence)
    image.PixelData += again.PixelData
    image.NumberOfFrames *= 2
    write(image, tmp_path / "enhanced")
    found = read(tmp_path)
    np.testing.assert_array_equal(found.volume.hu, chest_hu(SAMPLE))
    assert [note.attribute for note in found.notes] == ["AcquisitionDateTime"]


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLosslessSV1])
def test_compressed_frames_are_decoded(tmp_path: Path, syntax: str) -> None:
    image = enhanced()
    if syntax == RLELossless:
        image.compress(syntax, generate_instance_uid=False)
    else:
        stored = np.frombuffer(image.PixelData, "<u2").reshape(-1, SAMPLE.rows, SAMPLE.columns)
        image.PixelData = encapsulate([encode(frame, syntax, 16) for frame in stored])
        image["PixelData"].VR = "OB"
        image["PixelData"].is_undefined_length = True
        image.file_meta.TransferSyntaxUID = syntax
    image.save_as(tmp_path / "enhanced")
    np.testing.assert_array_equal(read(tmp_path).volume.hu, chest_hu(SAMPLE))


def refusal(image: Dataset, path: Path) -> str:
    write(image, path)
    (series,) = scan_folder(path.parent).series
    chosen = choose_series([series], SHIPPED.selection).chosen
    assert chosen is not None
    with pytest.raises(Refusal) as caught:
        _ = chosen.grid
    return str(caught.value)


def test_a_frame_without_a_place_is_refused(tmp_path: Path) -> None:
    image = enhanced(shuffle=False)
    del image.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence
    assert refusal(image, tmp_path / "image").startswith("MISSING_GEOMETRY: 1 of 30")


def test_a_missing_frame_is_refused(tmp_path: Path) -> None:
    image = enhanced(shuffle=False)
    del image.PerFrameFunctionalGroupsSequence[12]
    frame_bytes = 2 * SAMPLE.rows * SAMPLE.columns
    image.PixelData = image.PixelData[: 12 * frame_bytes] + image.PixelData[13 * frame_bytes :]
    image.NumberOfFrames = 29
    assert refusal(image, tmp_path / "image").startswith("GAP")


def test_frames_at_the_end_that_no_functional_group_describes_are_not_passed_over(tmp_path: Path) -> None:
    image = enhanced(shuffle=False)
    del image.PerFrameFunctionalGroupsSequence[28:]
    assert refusal(image, tmp_path / "image").startswith("MISSING_GEOMETRY: 1 of 29")


def test_functional_groups_that_are_no_sequence_are_none(tmp_path: Path) -> None:
    image = enhanced()
    image["PerFrameFunctionalGroupsSequence"] = DataElement("PerFrameFunctionalGroupsSequence", "US", 5)
    write(image, tmp_path / "image")
    assert choose_series(scan_folder(tmp_path).series, SHIPPED.selection).chosen is None


def test_what_the_functional_groups_lack_is_not_taken_from_elsewhere(tmp_path: Path) -> None:
    image = enhanced()
    del image.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
    image.RescaleSlope, image.RescaleIntercept = 1, -1000
    assert refusal(image, tmp_path / "image").startswith("NO_RESCALE: 30 of 30")


@pytest.mark.parametrize(
    ("keyword", "vr", "code"),
    [
        ("RescaleSlope", "PN", "NO_RESCALE"),
        ("RescaleIntercept", "SQ", "NO_RESCALE"),
        ("ImagePositionPatient", "DS", "MISSING_GEOMETRY"),
        ("PixelSpacing", "UN", "MISSING_GEOMETRY"),
    ],
)
def test_garbage_in_a_functional_group_is_refused_and_nothing_fails(
    tmp_path: Path, keyword: str, vr: str, code: str
) -> None:
    spoil = OtherValue(keyword, vr, b"CT", frozenset({2}))
    image = as_multi_frame(spoil(small_series(ExplicitVRLittleEndian)))
    (tmp_path / "image").write_bytes(as_file(image, ExplicitVRLittleEndian))
    assert judge(tmp_path, 1).codes == (code,)


def references(dataset: Dataset) -> Iterator[Dataset]:
    """Every item at any depth that refers to an instance of CT."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                if str(item.get("ReferencedSOPClassUID", "")).startswith("1.2.840.10008.5.1.4.1.1.2"):
                    yield item
                yield from references(item)


def frames_of(reference: Dataset) -> list[int]:
    numbers = reference.get("ReferencedFrameNumber", [])
    return [int(numbers)] if isinstance(numbers, (int, str)) else [int(number) for number in numbers]


@pytest.fixture(scope="module")
def outputs(multi_frame: ReadSeries) -> tuple[ReadSeries, dict[str, Dataset]]:
    keep = slice(0, outputs_fixture.SLICES)
    whole, sources = multi_frame.volume, multi_frame.sources[keep]
    volume = CTVolume(whole.hu[keep], whole.spacing_mm, whole.origin_mm, whole.directions)
    findings = outputs_fixture.make_findings(
        CTVolume(np.zeros((8, 32, 40), np.int16), volume.spacing_mm, volume.origin_mm, volume.directions)
    )
    analysed = AnalysedSeries(sources, volume, findings, SOFTWARE)
    segmentation = make_segmentation(analysed)
    made = {
        "seg": segmentation,
        "sr": make_report(analysed, [segmentation]),
        "key images": make_multiframe_key_images(analysed, [1, 2, 3, 5]),
        "boxes": make_presentation_state(analysed),
        "map": make_saliency_map(analysed),
        "refusal": make_refusal_report(sources, SOFTWARE, "GAP", "Slices are missing."),
    }
    return multi_frame, {name: refer_to_frames(dataset, sources) for name, dataset in made.items()}


def test_every_reference_names_the_image_and_none_a_uid_that_was_made_up(
    outputs: tuple[ReadSeries, dict[str, Dataset]],
) -> None:
    _, made = outputs
    for name, dataset in made.items():
        found = list(references(dataset))
        assert found, name
        assert {str(item.ReferencedSOPInstanceUID) for item in found} == {UID}, name
        assert {str(item.ReferencedSOPClassUID) for item in found} <= {
            EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage,
        }, name  # fmt: skip


def test_each_frame_of_the_segmentation_comes_from_the_frame_at_its_place(
    outputs: tuple[ReadSeries, dict[str, Dataset]],
) -> None:
    multi_frame, made = outputs
    positions = {source.number: list(source.ImagePositionPatient) for source in multi_frame.sources}  # type: ignore[attr-defined]
    for name in ("seg", "map"):
        assert len(made[name].PerFrameFunctionalGroupsSequence) > 0
        for frame in made[name].PerFrameFunctionalGroupsSequence:
            (source,) = frame.DerivationImageSequence[0].SourceImageSequence
            (number,) = frames_of(source)
            assert list(frame.PlanePositionSequence[0].ImagePositionPatient) == positions[number]
        (series,) = made[name].ReferencedSeriesSequence
        (instance,) = series.ReferencedInstanceSequence
        assert "ReferencedFrameNumber" not in instance


def test_boxes_are_drawn_on_their_frames(outputs: tuple[ReadSeries, dict[str, Dataset]]) -> None:
    multi_frame, made = outputs
    expected = [multi_frame.sources[index].number for index in (2, 5)]  # type: ignore[attr-defined]
    annotated = [item.ReferencedImageSequence for item in made["boxes"].GraphicAnnotationSequence]
    assert [frames_of(images[0]) for images in annotated] == [[number] for number in expected]
    (series,) = made["boxes"].ReferencedSeriesSequence
    (image,) = series.ReferencedImageSequence
    assert sorted(frames_of(image)) == sorted(expected)
    regions = [frames_of(item) for item in references(made["sr"]) if "ReferencedFrameNumber" in item]
    # The Image Library, the region and the source of its first number.
    assert sorted(regions) == sorted(3 * [[number] for number in expected])
    (evidence,) = made["refusal"].CurrentRequestedProcedureEvidenceSequence
    assert len(evidence.ReferencedSeriesSequence[0].ReferencedSOPSequence) == 1


@pytest.mark.parametrize("name", ["seg", "sr", "key images", "boxes", "map"])
def test_the_outputs_are_valid(tmp_path: Path, outputs: tuple[ReadSeries, dict[str, Dataset]], name: str) -> None:
    path = tmp_path / "output.dcm"
    outputs[1][name].save_as(path)
    assert outputs_fixture.dciodvfy_errors(path) == []


def test_single_images_keep_their_references() -> None:
    case = outputs_fixture.make_case()
    made = make_segmentation(case)
    before = copy.deepcopy(made)
    assert refer_to_frames(made, case.sources) == before
