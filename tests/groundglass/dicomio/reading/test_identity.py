"""Numbers that no image of the series bears are noted."""

from groundglass.dicomio.reading.volume import read_images
from tests.groundglass.dicomio.ct_samples import Sample, make_series


def test_numbers_that_are_left_out_are_noted() -> None:
    (note,) = read_images(make_series(Sample(slices=60), skip=range(1, 60, 2))).notes
    assert (note.attribute, "29 numbers" in note.problem) == ("InstanceNumber", True)
    assert read_images(make_series(skip=(0, 1, 29))).notes == ()
