"""Whether the headers of a series tell of a child."""

import datetime
import re

from pydicom.dataset import Dataset

from groundglass.dicomio.reading.attributes import quiet_pydicom, text

_ADULT_YEARS = 18.0
_PER_YEAR = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}
"""Units of an age (PS3.5 6.2, AS)."""
_DATES = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
"""The first that the header has is that of the scan: de-identification leaves one or the other."""


@quiet_pydicom()
def is_minor(image: Dataset) -> bool:
    """Whether Patient's Age, or the time from Patient's Birth Date to the scan, is less than 18 years.

    One of the two is enough, since de-identification puts a made-up date beside a true age.
    """
    return any(
        years is not None and 0 <= years < _ADULT_YEARS for years in (_stated_years(image), _counted_years(image))
    )


def _stated_years(image: Dataset) -> float | None:
    found = re.fullmatch(r"(\d{1,3})([DWMY])", text(image, "PatientAge").upper())
    return int(found[1]) / _PER_YEAR[found[2]] if found else None


def _counted_years(image: Dataset) -> float | None:
    born = _date(text(image, "PatientBirthDate"))
    studied = next(filter(None, (_date(text(image, keyword)) for keyword in _DATES)), None)
    return None if born is None or studied is None else (studied - born).days / _PER_YEAR["D"]


def _date(value: str) -> datetime.date | None:
    digits = value.replace(".", "")  # as ACR-NEMA had it
    try:
        return datetime.datetime.strptime(digits, "%Y%m%d").date() if len(digits) == 8 else None
    except ValueError:
        return None
