"""What is sound is read as it is."""

import numpy as np
from pydicom.dataset import Dataset

from groundglass.dicomio.reading.geometry import check_geometry
from groundglass.dicomio.reading.volume import read_grid, read_volume
from tests.groundglass.dicomio.ct_samples import Sample, chest_hu, make_series


def test_a_sound_series_is_read_as_it_is() -> None:
    read = read_grid(check_geometry(make_series(), place=True))
    volume, sources = read_volume(make_series())
    np.testing.assert_array_equal(read.volume.hu, volume.hu)
    assert read.sources == sources
    assert read.placement is None
    assert read.notes == ()


def test_monochrome1_is_for_display_alone() -> None:
    def invert_display(image: Dataset, index: int) -> None:
        image.PhotometricInterpretation = "MONOCHROME1"

    np.testing.assert_array_equal(read_volume(make_series(edit=invert_display))[0].hu, chest_hu(Sample()))
