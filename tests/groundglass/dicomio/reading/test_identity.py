"""Numbers that no image of the series bears are noted."""

from groundglass.dicomio.reading.geometry import check_geometry
from groundglass.dicomio.reading.volume import read_grid
from tests.groundglass.dicomio.ct_samples import Sample, make_series


def test_numbers_that_are_left_out_are_noted() -> None:
    (note,) = read_grid(check_geometry(make_series(Sample(slices=60), skip=range(1, 60, 2)), place=True)).notes
    assert (note.attribute, "29 numbers" in note.problem) == ("InstanceNumber", True)
    assert read_grid(check_geometry(make_series(skip=(0, 1, 29)), place=True)).notes == ()
