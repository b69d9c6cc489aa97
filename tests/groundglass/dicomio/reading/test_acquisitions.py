"""Of copies and of acquisitions at one place, one is read and the others noted; nothing of a scan is dropped."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from groundglass.dicomio.reading.volume import read_images
from groundglass.domain.errors import Refusal
from tests.groundglass.dicomio.ct_samples import Sample, chest_hu, make_series, set_pixels


def second_acquisition(count: int, shift_mm: float = 0.0, number: int = 2) -> list[Dataset]:
    images = make_series(Sample(slices=count))
    for image in images:
        image.SOPInstanceUID += ".2"
        image.AcquisitionNumber = number
        image.ImagePositionPatient[2] += shift_mm
        set_pixels(image, np.full((24, 32), 1000))
    return images


def first_acquisition() -> list[Dataset]:
    def number(image: Dataset, index: int) -> None:
        image.AcquisitionNumber = 1

    return make_series(edit=number)


def refusal_code(images: list[Dataset]) -> str:
    with pytest.raises(Refusal) as caught:
        read_images(images)
    return caught.value.code


def test_identical_images_under_other_uids_are_left_out_and_noted() -> None:
    copies = make_series(Sample(slices=10))
    for image, original in zip(copies, make_series(), strict=False):
        image.SOPInstanceUID += ".99.1"
        image.PixelData = original.PixelData
    read = read_images(make_series() + copies)
    np.testing.assert_array_equal(read.volume.hu, chest_hu(Sample()))
    assert not any(str(source.SOPInstanceUID).endswith(".99.1") for source in read.sources)
    assert ["10 images left out" in note.problem for note in read.notes] == [True]


def test_of_two_acquisitions_at_the_same_places_the_larger_is_read_and_noted() -> None:
    read = read_images(second_acquisition(12) + first_acquisition())
    np.testing.assert_array_equal(read.volume.hu, chest_hu(Sample()))
    assert [note.attribute for note in read.notes] == ["AcquisitionNumber"]
    assert "12 images left out" in read.notes[0].problem


def test_of_two_equal_acquisitions_the_first_is_read_whatever_the_order_of_the_files() -> None:
    for images in (
        second_acquisition(30) + first_acquisition(),
        first_acquisition() + second_acquisition(30, number=10),
    ):
        np.testing.assert_array_equal(read_images(images).volume.hu, chest_hu(Sample()))


def test_an_acquisition_that_another_does_not_cover_is_not_dropped() -> None:
    assert refusal_code(first_acquisition() + second_acquisition(20, shift_mm=-100)) == "DUPLICATE_POSITION"


def test_a_slice_that_only_the_other_acquisition_has_is_missing() -> None:
    images = [image for image in first_acquisition() if image.InstanceNumber != 8]
    assert refusal_code(images + second_acquisition(20)) == "GAP"


def test_parts_of_one_scan_with_acquisition_numbers_of_their_own_stay_together() -> None:
    def number(image: Dataset, index: int) -> None:
        image.AcquisitionNumber = index // 4

    np.testing.assert_array_equal(read_images(make_series(edit=number)).volume.hu, chest_hu(Sample()))
