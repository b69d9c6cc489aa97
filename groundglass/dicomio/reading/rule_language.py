"""Rules that say which series a site wants analysed, in the language of the SDK's series selector.

A list of named selections, each with conditions by DICOM keyword; a series fits a selection that all its conditions
hold for. The first selection with an eligible series decides. The forms of a condition:

    "CHEST"                     text: equal, upper and lower case alike, or found by it as a regular expression
    "(?i)lung|chest"
    ["ORIGINAL", "!MIP"]        values of a multi-valued attribute: all of these, none of those with "!"
    1.5                         a number: equal
    [0.5, 3.0]                  between, both included
    [3, "<"]                    also ">", ">=", "<=", "!="
    "Axial"                     of ImageOrientationPatient; also Coronal, Sagittal

Unlike in the SDK's, a value of a multi-valued attribute fits as a whole, not a part of the list's text; the first
series in the order of the folder has no advantage; and PatientPosition isn't needed for an orientation.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from groundglass.dicomio.reading.attributes import numbers, text, value

_PLANES = ("sagittal", "coronal", "axial")
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "!=": operator.ne,
}  # fmt: skip
_ORIENTATION = "ImageOrientationPatient"


@dataclass(frozen=True)
class NamedSelection:
    """One selection: what a series must have, by DICOM keyword."""

    name: str
    conditions: tuple[tuple[str, Any], ...]


def parse_rules(rules: Any) -> tuple[NamedSelection, ...]:
    """The selections of a JSON object `{"selections": [{"name": ..., "conditions": {...}}, ...]}`.

    Conditions that are null are left out, as the SDK does.

    Raises:
        ValueError: with a sentence on what is not allowed.
    """
    if not isinstance(rules, Mapping) or set(rules) != {"selections"} or not isinstance(rules["selections"], list):
        raise ValueError("rules must be an object with one list 'selections'")
    return tuple(_parse_selection(number, entry) for number, entry in enumerate(rules["selections"], start=1))


def _parse_selection(number: int, entry: Any) -> NamedSelection:
    if not isinstance(entry, Mapping) or not set(entry) <= {"name", "conditions"}:
        raise ValueError(f"selection {number} must have a 'name' and 'conditions', and nothing else")
    name, conditions = entry.get("name"), entry.get("conditions")
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"selection {number} needs a name")
    if not isinstance(conditions, Mapping) or not conditions:
        raise ValueError(f"selection '{name}' needs conditions")
    for keyword, wanted in conditions.items():
        _check_condition(name, keyword, wanted)
    return NamedSelection(name.strip(), tuple((key, want) for key, want in conditions.items() if want is not None))


def _check_condition(name: str, keyword: Any, wanted: Any) -> None:
    where = f"selection '{name}', condition {keyword!r}"
    if not isinstance(keyword, str) or tag_for_keyword(keyword) is None:
        raise ValueError(f"{where}: this is no DICOM keyword")
    if keyword == _ORIENTATION:
        if not isinstance(wanted, str) or wanted.strip().lower() not in _PLANES:
            raise ValueError(f"{where}: must be Axial, Coronal or Sagittal")
    elif isinstance(wanted, str):
        try:
            re.compile(wanted)
        except re.error as error:
            raise ValueError(f"{where}: not a regular expression ({error})") from None
    elif isinstance(wanted, list):
        is_range = len(wanted) == 2 and all(_is_number(item) for item in wanted)
        is_comparison = len(wanted) == 2 and _is_number(wanted[0]) and wanted[1] in _COMPARISONS
        if not (is_range or is_comparison or (wanted and all(isinstance(item, str) for item in wanted))):
            raise ValueError(f"{where}: must be texts, two numbers, or a number and one of {', '.join(_COMPARISONS)}")
    elif wanted is not None and not _is_number(wanted):
        raise ValueError(f"{where}: must be a text, a number or a list")


def _is_number(item: Any) -> bool:
    return isinstance(item, (int, float)) and not isinstance(item, bool) and math.isfinite(item)


def unmet_conditions(selection: NamedSelection, image: Dataset) -> list[str]:
    """The keywords of the conditions that an image of a series doesn't meet, in their order."""
    return [keyword for keyword, wanted in selection.conditions if not _is_met(keyword, wanted, image)]


def _is_met(keyword: str, wanted: Any, image: Dataset) -> bool:
    if keyword == _ORIENTATION:
        return bool(_plane(image) == wanted.strip().lower())
    found = text(image, keyword)
    if not found:
        return False
    values = [item.casefold() for item in found.split("\\")]
    is_numeric = isinstance(value(image, keyword), (int, float))
    if isinstance(wanted, str):
        if is_numeric:
            return re.fullmatch(wanted, found) is not None
        if wanted.startswith("!") and len(values) > 1:
            return wanted[1:].casefold() not in values
        return wanted.casefold() in (found.casefold(), *values) or re.search(wanted, found, re.IGNORECASE) is not None
    if isinstance(wanted, list) and isinstance(wanted[0], str):
        return all(
            (item[1:].casefold() not in values) if item.startswith("!") else (item.casefold() in values)
            for item in wanted
        )
    measured = numbers(image, keyword, 1)
    if measured is None:
        return False
    if not isinstance(wanted, list):
        return bool(measured[0] == wanted)
    if isinstance(wanted[1], str):
        return _COMPARISONS[wanted[1]](measured[0], wanted[0])
    return bool(wanted[0] <= measured[0] <= wanted[1])


def _plane(image: Dataset) -> str | None:
    """The anatomical plane nearest to that of an image."""
    cosines = numbers(image, _ORIENTATION, 6)
    if cosines is None:
        return None
    normal = np.abs(np.cross(cosines[:3], cosines[3:]))
    return _PLANES[int(normal.argmax())] if normal.any() else None
