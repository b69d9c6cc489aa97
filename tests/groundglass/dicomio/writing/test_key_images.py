"""Key images show the telling slices, refer to their sources, and hold no patient data."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEGBaseline8Bit

from groundglass.dicomio.reading.frames import take_apart
from groundglass.dicomio.writing.files import write_dicom
from groundglass.dicomio.writing.key_images import make_key_images, make_multiframe_key_images
from groundglass.dicomio.writing.secondary_capture import source_names
from groundglass.rendering.slice_names import SliceNames
from groundglass.rendering.slice_picture import KEY_IMAGE_WIDTH, SlicePictures, draw_key_image
from tests.groundglass.dicomio.outputs_fixture import dciodvfy_errors, make_case


def test_each_key_image_is_a_single_frame_that_refers_to_its_source(tmp_path: Path) -> None:
    case = make_case()
    for number, (index, image) in enumerate(zip([5, 2], make_key_images(case, [5, 2]), strict=True), start=2):
        path = tmp_path / f"{number}.dcm"
        write_dicom(image, path)
        assert dciodvfy_errors(path) == []
        read = pydicom.dcmread(path)
        assert read.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
        assert "NumberOfFrames" not in read
        assert (read.SeriesNumber, read.InstanceNumber) == (9103, number)
        assert (read.BurnedInAnnotation, read.ConversionType) == ("YES", "WSD")
        assert list(read.ImageType) == ["DERIVED", "SECONDARY"]
        (reference,) = read.SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == case.sources[index].SOPInstanceUID
        assert read.PatientID == "P-1"


def test_pixels_are_jpeg_marked_lossy_small_and_close_to_what_was_drawn(tmp_path: Path) -> None:
    case = make_case()
    (image,) = make_key_images(case, [2])
    write_dicom(image, tmp_path / "key.dcm")
    read = pydicom.dcmread(tmp_path / "key.dcm")
    assert read.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    assert (read.LossyImageCompression, read.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    drawn = draw_key_image(SlicePictures(case.volume, case.findings, source_names(case.sources, case.volume)), 2)
    assert read.pixel_array.shape == drawn.shape == (read.Rows, KEY_IMAGE_WIDTH, 3)
    assert np.abs(read.pixel_array.astype(float) - drawn).mean() < 5
    assert read.LossyImageCompressionRatio == pytest.approx(drawn.size / len(read.PixelData), rel=0.05)
    assert (tmp_path / "key.dcm").stat().st_size < 400_000


def test_many_frames_hold_the_same_pictures(tmp_path: Path) -> None:
    case = make_case()
    write_dicom(make_multiframe_key_images(case, [2, 3]), tmp_path / "key.dcm")
    assert dciodvfy_errors(tmp_path / "key.dcm") == []
    read = pydicom.dcmread(tmp_path / "key.dcm")
    assert (read.SOPClassUID, read.InstanceNumber) == ("1.2.840.10008.5.1.4.1.1.7.4", 2)
    assert read.pixel_array.shape == (2, read.Rows, KEY_IMAGE_WIDTH, 3)
    first, second = (image.pixel_array for image in make_key_images(case, [2, 3]))
    for frame, single in zip(read.pixel_array, (first, second), strict=True):
        inside = frame[: single.shape[0] - 16, : single.shape[1] - 16].astype(int)
        assert np.abs(inside - single[: inside.shape[0], : inside.shape[1]]).mean() < 2
    assert len(read.SourceImageSequence) == 2


def test_what_was_lossy_before_stays_told() -> None:
    case = make_case()
    for source in case.sources:
        source.LossyImageCompression = "01"
        source.LossyImageCompressionRatio = 8
        source.LossyImageCompressionMethod = "ISO_15444_1"
    (image,) = make_key_images(case, [2])
    assert image.LossyImageCompression == "01"
    assert image.LossyImageCompressionRatio[0] == 8
    assert list(image.LossyImageCompressionMethod) == ["ISO_15444_1", "ISO_10918_1"]


def test_equal_input_gives_equal_uids_and_pixels() -> None:
    case = make_case()
    (first,), (second,) = (make_key_images(case, [2]) for _ in range(2))
    assert (first.SOPInstanceUID, first.PixelData) == (second.SOPInstanceUID, second.PixelData)


def test_sources_are_called_by_instance_number_and_position() -> None:
    case = make_case()
    for index, source in enumerate(case.sources):
        source.InstanceNumber = 60 - index
    names = source_names(case.sources, case.volume)
    assert names.place(0) == "Image 60 · z -110.0 mm"
    assert names.place(1) == "Image 59 · z -107.0 mm"
    assert names.note == ""


@pytest.mark.parametrize("value", [None, 7])
def test_sources_without_numbers_of_their_own_are_counted_from_the_head(value: int | None) -> None:
    case = make_case()
    case.sources[2].InstanceNumber = case.sources[3].InstanceNumber = value
    names = source_names(case.sources, case.volume)
    assert names.place(7) == "Slice 1 · z -89.0 mm"
    assert names.note == SliceNames.counted(case.volume).note


def test_frames_are_called_by_frame_number() -> None:
    case = make_case()
    whole = pydicom.Dataset()
    whole.SOPClassUID, whole.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2.1", "1.2.3"
    whole.InstanceNumber, whole.NumberOfFrames = 4, 8
    whole.PerFrameFunctionalGroupsSequence = [pydicom.Dataset() for _ in range(8)]
    names = source_names(take_apart([whole]), case.volume)
    assert names.place(2) == "Frame 3 · z -104.0 mm"
    second = pydicom.Dataset(whole)  # a frame number alone would name two frames
    second.InstanceNumber, second.SOPInstanceUID = 5, "1.2.4"
    assert source_names(take_apart([whole, second])[6:14], case.volume).name(2) == "Frame 5/1"
