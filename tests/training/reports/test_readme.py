"""README's figures are told in words that a reader knows."""

from training.reports.readme import _whole_lungs
from training.reports.shipped import read_report


def test_sets_are_told_by_what_they_are_and_not_by_the_name_of_a_folder() -> None:
    told = _whole_lungs(read_report("lungs_tables"))
    assert "_" not in told
    assert "(1 patient, the middle of the lungs alone) and " in told
    assert told.endswith("(4 patients)")
