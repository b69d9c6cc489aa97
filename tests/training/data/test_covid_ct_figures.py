"""Whose a figure is, as far as its name tells."""

from training.data.covid_ct_figures import group_figures


def test_figures_of_a_preprint_of_a_case_and_that_follow_one_another_are_one_group() -> None:
    names = [
        "2020.02.10.20021584-p6-52%12", "2020.02.10.20021584-p9-77%3", "2020.01.24.919183-p27-132",
        "38%0", "38%1", "39%0", "1058", "1060", "1059", "1065",
    ]  # fmt: skip
    assert group_figures(names).tolist() == [
        "2020.02.10.20021584", "2020.02.10.20021584", "2020.01.24.919183",
        "38", "38", "39", "from 1058", "from 1058", "from 1058", "from 1065",
    ]  # fmt: skip
