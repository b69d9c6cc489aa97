"""README's figures are told in words that a reader knows."""

from training.reports.readme import readme_figures
from training.reports.shipped import read_report


def test_sets_are_told_by_what_they_are_and_not_by_the_name_of_a_folder() -> None:
    told = readme_figures(*map(read_report, ("lungs_tables", "classifier")))
    assert "_" not in told
    assert "on the middle of the lungs (1 patient), " in told
    assert "on whole lungs (4 patients)." in told


def test_states_are_told_with_the_number_behind_them() -> None:
    classifier = read_report("classifier")
    patients = classifier["other_hospitals"]["patients"]
    for name, one in patients.items():
        one["state"] = "present" if name == "lesion_volumes case_1" else "absent"
    told = readme_figures(read_report("lungs_tables"), classifier)
    assert (
        f"Called present: 1 of {len(patients)} COVID-19 patients of other hospitals ({len(patients) - 1} absent);"
        in told
    )
