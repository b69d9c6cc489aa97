"""What is sound is read as it is."""

import numpy as np
from pydicom.dataset import Dataset

from groundglass.dicomio.reading.volume import read_images
from tests.groundglass.dicomio.ct_samples import Sample, chest_hu, make_series


def test_a_sound_series_is_read_as_it_is() -> None:
    images = make_series()
    read = read_images(images[::-1])
    np.testing.assert_array_equal(read.volume.hu, chest_hu(Sample()))
    assert read.sources == tuple(images)
    assert read.placement is None
    assert read.notes == ()


def test_monochrome1_is_for_display_alone() -> None:
    def invert_display(image: Dataset, index: int) -> None:
        image.PhotometricInterpretation = "MONOCHROME1"

    np.testing.assert_array_equal(read_images(make_series(edit=invert_display)).volume.hu, chest_hu(Sample()))
