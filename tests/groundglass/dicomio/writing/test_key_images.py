"""Key images show the telling slices, refer to their sources, and hold no patient data."""

from pathlib import Path

import numpy as np
import pydicom

from groundglass.dicomio.writing.files import write_dicom
from groundglass.dicomio.writing.key_images import make_key_images
from groundglass.rendering.slice_picture import draw_finding, telling_slices
from tests.groundglass.dicomio.outputs_fixture import dciodvfy_errors, make_case


def test_key_images_are_readable_and_refer_to_their_sources(tmp_path: Path) -> None:
    case = make_case()
    path = tmp_path / "key.dcm"
    write_dicom(make_key_images(case, count=3), path)
    images = pydicom.dcmread(path)
    assert images.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7.4"
    assert images.pixel_array.shape == (3, images.Rows, images.Columns, 3)
    assert (images.BurnedInAnnotation, images.ConversionType) == ("YES", "WSD")
    assert list(images.ImageType) == ["DERIVED", "SECONDARY"]
    references = [item.ReferencedSOPInstanceUID for item in images.SourceImageSequence]
    shown = telling_slices(case.findings, 3)
    assert references == [case.sources[index].SOPInstanceUID for index in shown]
    assert images.PatientID == "P-1"
    assert dciodvfy_errors(path) == []


def test_frames_show_the_slices_they_refer_to() -> None:
    case = make_case()
    images = make_key_images(case, count=2)
    for frame, index in zip(images.pixel_array, telling_slices(case.findings, 2), strict=True):
        np.testing.assert_array_equal(frame, draw_finding(case.volume, case.findings, index))


def test_lossy_sources_stay_marked_lossy() -> None:
    case = make_case()
    for source in case.sources:
        source.LossyImageCompression = "01"
        source.LossyImageCompressionRatio = 8
    images = make_key_images(case)
    assert (images.LossyImageCompression, images.LossyImageCompressionRatio) == ("01", 8)


def test_equal_input_gives_equal_uids_and_pixels() -> None:
    case = make_case()
    first, second = (make_key_images(case) for _ in range(2))
    assert (first.SOPInstanceUID, first.PixelData) == (second.SOPInstanceUID, second.PixelData)
