"""A child is told by its age, or by the dates of its birth and of the study."""

import pytest
from pydicom.dataset import Dataset

from groundglass.dicomio.reading.patient_age import is_minor


@pytest.mark.parametrize(
    ("age", "born", "studied", "expected"),
    [
        ("001M", "", "", True),
        ("010D", "19590308", "20200101", True),
        ("080W", "", "", True),
        ("017Y", "", "", True),
        ("017y", "", "", True),
        ("018Y", "", "", False),
        ("240M", "", "", False),
        ("", "20150301", "20200101", True),
        ("", "20020101", "20200102", False),
        ("", "", "", False),
        ("", "20200102", "20200101", False),
        ("", "2015", "20200101", False),
        ("?", "20201350", "20200101", False),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR", "ignore:The value length")
def test_less_than_eighteen_years_are_a_childs(age: str, born: str, studied: str, expected: bool) -> None:
    image = Dataset()
    image.PatientAge, image.PatientBirthDate, image.StudyDate = age, born, studied
    assert is_minor(image) is expected


def test_headers_that_say_nothing_are_no_childs() -> None:
    assert not is_minor(Dataset())


@pytest.mark.parametrize("keyword", ["SeriesDate", "AcquisitionDate", "ContentDate"])
def test_another_date_of_the_scan_tells_the_age_where_the_study_has_none(keyword: str) -> None:
    image = Dataset()
    image.PatientBirthDate, image.StudyDate = "20150301", ""
    setattr(image, keyword, "20200101")
    assert is_minor(image)
    image.PatientBirthDate = "19590301"
    assert not is_minor(image)


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_a_date_as_old_as_acr_nema_is_read() -> None:
    image = Dataset()
    image.PatientBirthDate, image.StudyDate = "2015.03.01", "20200101"
    assert is_minor(image)
