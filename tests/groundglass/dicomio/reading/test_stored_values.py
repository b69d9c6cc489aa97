"""Stored values become Hounsfield units, and what is no value becomes air."""

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_rescale

from groundglass.dicomio.reading.volume import read_images
from tests.groundglass.dicomio.ct_samples import Sample, chest_hu, make_series, set_pixels


@pytest.mark.parametrize(
    "sample",
    [
        Sample(is_signed=True, intercept=0),
        Sample(bits_stored=12),
        Sample(bits_stored=12, is_signed=True, intercept=0),
        Sample(slope=2, intercept=-1024),
        Sample(slope=0.5, intercept=-1000),
        Sample(slope=0.3, intercept=-1000),
    ],
)
def test_stored_values_become_hounsfield_units(sample: Sample) -> None:
    images = make_series(sample)
    read = read_images(images)
    volume, headers = read.volume, read.sources
    np.testing.assert_array_equal(volume.hu, chest_hu(sample))
    for slice_hu, header in zip(volume.hu, headers, strict=True):
        np.testing.assert_array_equal(slice_hu, np.rint(apply_rescale(header.pixel_array, header)))


def test_overlay_bits_above_the_stored_ones_are_not_pixel_values() -> None:
    sample = Sample(bits_stored=12)

    def draw_overlay(image: Dataset, index: int) -> None:
        image.PixelData = (np.frombuffer(image.PixelData, "<u2") | 0x8000).tobytes()

    volume = read_images(make_series(sample, draw_overlay)).volume
    np.testing.assert_array_equal(volume.hu, chest_hu(sample))


def test_every_slice_has_its_own_rescale() -> None:
    hu = chest_hu(Sample())

    def rescale(image: Dataset, index: int) -> None:
        image.RescaleSlope, image.RescaleIntercept = 2 if index % 2 else 1, -2000 - 2 * index
        set_pixels(image, (hu[index].astype(int) + 2000 + 2 * index) // int(image.RescaleSlope))

    volume = read_images(make_series(edit=rescale)).volume
    np.testing.assert_array_equal(volume.hu, hu)


def test_values_beyond_int16_are_clipped() -> None:
    def metal(image: Dataset, index: int) -> None:
        stored = np.frombuffer(image.PixelData, "<u2").astype(int).reshape(24, 32)
        stored[5, 5] = 65535
        set_pixels(image, stored)

    volume = read_images(make_series(edit=metal)).volume
    assert (volume.hu[:, 5, 5] == 32767).all()


@pytest.mark.parametrize("is_signed", [True, False])
@pytest.mark.parametrize("representation", ["as stored", "other sign"])
def test_padding_becomes_air(is_signed: bool, representation: str) -> None:
    sample = Sample(is_signed=is_signed, intercept=0 if is_signed else -1024)
    padding = -2000 if is_signed else 63536
    declared = padding if representation == "as stored" else padding + (65536 if is_signed else -65536)

    def pad(image: Dataset, index: int) -> None:
        stored = (chest_hu(sample)[index] - sample.intercept).astype(int)
        stored[-1] = padding
        set_pixels(image, stored)
        image.add_new("PixelPaddingValue", "SS" if declared < 0 else "US", declared)

    volume = read_images(make_series(sample, pad)).volume
    assert (volume.hu[:, -1] == -1024).all()
    np.testing.assert_array_equal(volume.hu[:, :-1], chest_hu(sample)[:, :-1])


@pytest.mark.parametrize("slope", [1, 0.5])
def test_padding_that_no_attribute_declares_becomes_air_too(slope: float) -> None:
    sample = Sample(is_signed=True, intercept=0, slope=slope)

    def pad(image: Dataset, index: int) -> None:
        stored = (chest_hu(sample)[index] / slope).astype(int)
        stored[-1] = -2048 / slope
        set_pixels(image, stored)

    volume = read_images(make_series(sample, pad)).volume
    assert (volume.hu[:, -1] == -1024).all()
    np.testing.assert_array_equal(volume.hu[:, :-1], chest_hu(sample)[:, :-1])


def test_a_range_of_padding_becomes_air() -> None:
    def pad(image: Dataset, index: int) -> None:
        stored = (chest_hu(Sample())[index] + 1024).astype(int)
        stored[-1] = np.arange(32) % 6
        set_pixels(image, stored)
        image.add_new("PixelPaddingValue", "US", 0)
        image.add_new("PixelPaddingRangeLimit", "US", 5)

    volume = read_images(make_series(edit=pad)).volume
    assert (volume.hu[:, -1] == -1024).all()
