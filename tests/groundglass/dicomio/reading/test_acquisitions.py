"""Of copies and of acquisitions at one place, one is read and the others noted; nothing of a scan is dropped."""

from collections.abc import Sequence

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


def stack(first_mm: float, count: int, name: str, step_mm: float = 5.0, **attributes: object) -> list[Dataset]:
    """An acquisition whose first slice lies at a height, with pixels of its own."""
    sample = Sample(count, spacing_mm=(step_mm, 9.0, 7.0), top_mm=(-100.0, -90.0, first_mm))

    def change(image: Dataset, index: int) -> None:
        image.SOPInstanceUID += f".{ord(name)}"
        for keyword, content in attributes.items():
            setattr(image, keyword, content(index) if callable(content) else content)

    images = make_series(sample, change)
    for image in images:
        image.PixelData = image.PixelData[:-2] + bytes([ord(name), 4])
    return images


def names(images: Sequence[Dataset]) -> str:
    return "".join(sorted({chr(int(str(image.SOPInstanceUID).rsplit(".", 1)[1])) for image in images}))


def test_a_chest_is_read_though_phases_of_the_liver_reach_lower() -> None:
    chest = stack(50, 60, "c", AcquisitionNumber=1)
    liver = [*stack(-150, 80, "a", AcquisitionNumber=2), *stack(-150, 80, "p", AcquisitionNumber=3)]
    read = read_images(liver + chest)
    assert (names(read.sources), len(read.sources), read.goes_on_below) == ("c", 60, True)
    assert "160 images left out" in read.notes[0].problem


def test_the_upper_of_two_passes_is_no_chest() -> None:
    images = stack(50, 35, "u", AcquisitionNumber=1) + stack(-100, 35, "l", AcquisitionNumber=2)
    with pytest.raises(Refusal, match="AcquisitionNumber tells 2 acquisitions apart, but none of them covers"):
        read_images(images)


@pytest.mark.parametrize("keyword", ["AcquisitionNumber", "TemporalPositionIdentifier", "AcquisitionDateTime"])
def test_each_attribute_that_tells_acquisitions_apart_does(keyword: str) -> None:
    values = ("20200101120000", "20200101120100") if keyword.endswith("Time") else ("1", "2")
    images = stack(50, 30, "b", **{keyword: values[1]}) + stack(50, 30, "a", **{keyword: values[0]})
    read = read_images(images)
    assert names(read.sources) == "a"
    assert [note.attribute for note in read.notes] == [keyword]


def test_the_order_of_times_tells_passes_apart_though_each_image_has_its_own() -> None:
    first = stack(50, 30, "a", AcquisitionTime=lambda index: f"12000{index // 10}.{index % 10}")
    second = stack(50, 30, "b", AcquisitionTime=lambda index: f"12010{index // 10}.{index % 10}")
    assert names(read_images(second + first).sources) == "a"


def test_times_that_alternate_tell_nothing() -> None:
    first = stack(50, 30, "a", AcquisitionTime=lambda index: f"1200{2 * index % 60:02d}")
    second = stack(50, 30, "b", AcquisitionTime=lambda index: f"1200{(2 * index + 1) % 60:02d}")
    with pytest.raises(Refusal, match="none of AcquisitionNumber"):
        read_images(first + second)


def test_what_two_acquisitions_have_alike_is_no_copy() -> None:
    """Else the second, which is larger, would lack the slice that both show alike."""
    first, second = stack(50, 29, "a", AcquisitionNumber=1), stack(50, 30, "b", AcquisitionNumber=2)
    second[4].PixelData = first[4].PixelData
    read = read_images(first + second)
    assert (names(read.sources), len(read.sources)) == ("b", 30)


def test_copies_within_the_acquisition_that_is_read_are_left_out() -> None:
    chest, other = stack(50, 30, "a", AcquisitionNumber=1), stack(50, 20, "b", AcquisitionNumber=2)
    copies = stack(50, 5, "a", AcquisitionNumber=1)
    for image in copies:
        image.SOPInstanceUID = f"1.2.3.{image.InstanceNumber}.97"
    read = read_images(chest + copies + other)
    assert len(read.sources) == 30
    assert [note.attribute for note in read.notes] == ["AcquisitionNumber", "SOPInstanceUID"]


def test_copies_are_left_out_though_slices_elsewhere_have_the_same_pixels() -> None:
    """As those above the head and below the feet have, of air alone."""
    images = stack(50, 30, "a")
    images[29].PixelData = images[0].PixelData
    copies = stack(50, 30, "a")
    for copy, image in zip(copies, images, strict=True):
        copy.SOPInstanceUID, copy.PixelData = f"1.2.3.{image.InstanceNumber}.97", image.PixelData
    assert len(read_images(images + copies[:29:7] + copies[29:]).sources) == 30


@pytest.mark.parametrize("shift_mm", [2.5, 2.2, 1.0])
def test_two_scans_whose_slices_lie_between_one_another_are_never_mixed(shift_mm: float) -> None:
    images = stack(50, 30, "b", AcquisitionNumber=2) + stack(50 - shift_mm, 30, "a", AcquisitionNumber=1)
    read = read_images(images)
    assert (names(read.sources), len(read.sources)) == ("a", 30)
    assert "30 images left out" in read.notes[0].problem


@pytest.mark.parametrize("numbers", [2, 3])
def test_numbers_that_alternate_along_one_scan_tell_nothing(numbers: int) -> None:
    images = stack(50, 36, "a", AcquisitionNumber=lambda index: 1 + index % numbers)
    assert len(read_images(images).sources) == 36


def test_a_few_slices_with_a_number_of_their_own_are_of_the_scan() -> None:
    images = stack(50, 30, "a", AcquisitionNumber=lambda index: 1 + (index in (7, 8, 20)))
    assert len(read_images(images).sources) == 30


def test_a_refusal_says_what_tells_nothing_where_nothing_does() -> None:
    with pytest.raises(Refusal) as caught:
        read_images(stack(50, 30, "a") + stack(50, 30, "b"))
    assert "none of AcquisitionNumber, TemporalPositionIdentifier, AcquisitionDateTime" in caught.value.reason
