"""What is wrong with the headers of a source, told without their values, and what of them an output may repeat.

An output never repeats a value that its value representation doesn't allow, and never shortens one: a shortened
identifier could be another patient's. It is left out, or left empty where the standard asks for the attribute.
"""

import datetime
import re
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydicom import DataElement, Dataset, config
from pydicom.charset import python_encoding
from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import MAX_VALUE_LEN, STR_VR_REGEXES, PersonName

from groundglass.dicomio.reading.attributes import quiet_pydicom, text

REQUIRED = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
"""Type 2 of patient and study: present in every image and every output, if only empty (PS3.3 C.7.1.1, C.7.2.1)."""

_RULES = {
    "AS": "an age like 045Y",
    "CS": "capital letters, digits, spaces and underscores",
    "DA": "a date YYYYMMDD",
    "DS": "a decimal number",
    "DT": "a date and time YYYYMMDDHHMMSS",
    "IS": "a whole number",
    "TM": "a time HHMMSS",
    "UI": "numbers with dots between them",
}
_ENUMERATED = {"PatientSex": ("M", "F", "O")}
_MOST_WEST, _MOST_EAST = datetime.timedelta(hours=-12), datetime.timedelta(hours=14)
"""Time zones there are, as Timezone Offset From UTC has them (PS3.3 C.12.1.1.8)."""
_LINES, _PARAGRAPHS = ("LO", "PN", "SH", "UC"), ("LT", "ST", "UT")
_STRINGS = (*_RULES, *_LINES, *_PARAGRAPHS)
_NAME_LENGTH, _NAME_GROUPS, _NAME_PARTS = 64, 3, 5
"""Characters of each component group of a person name, groups, and components of a group (PS3.5 6.2.1)."""


@dataclass(frozen=True)
class Defect:
    """One thing that is wrong, by the keyword of the attribute, after those of the sequences that hold it."""

    attribute: str
    problem: str


@quiet_pydicom()
def find_defects(sources: Sequence[Dataset]) -> tuple[Defect, ...]:
    """Everything in the headers of a series that the standard doesn't allow and an output therefore doesn't repeat.

    Private attributes, pixels and other binary or very long values are not looked at: outputs never repeat them.
    """
    counts: Counter[Defect] = Counter()
    known: dict[Hashable, tuple[Defect, ...]] = {}
    for source in sources:
        charset = text(source, "SpecificCharacterSet")
        for tag, raw in _repeatable(source):
            # Most values are those of the image before, and one not yet converted costs nothing to compare.
            key = (tag, raw.VR, raw.value, charset) if isinstance(raw, RawDataElement) else None
            defects = known.get(key) if key else None
            if defects is None:
                defects, _ = _check(source, tag, charset)
            if key:
                known[key] = defects
            counts.update(defects)
        counts.update(Defect(keyword, "is missing") for keyword in REQUIRED if keyword not in source)
        if not text(source, "FrameOfReferenceUID"):
            counts[Defect("FrameOfReferenceUID", "is missing")] += 1
    total = len(sources)
    return tuple(
        defect if count == total else Defect(defect.attribute, f"{defect.problem} (in {count} of {total} images)")
        for defect, count in counts.items()
    )


@quiet_pydicom()
def sound_copy(source: Dataset) -> Dataset:
    """The valid attributes of `source`, in the value representation of the standard; the others are left out."""
    charset = text(source, "SpecificCharacterSet")
    copy = Dataset()
    for tag, _ in _repeatable(source):
        _, element = _check(source, tag, charset)
        if element is not None:
            copy.add(element)
    return copy


def sound_element(source: Dataset, keyword: str) -> DataElement | None:
    """One attribute as `sound_copy` has it; None where it is absent or not valid. The caller keeps pydicom quiet."""
    if keyword not in source:
        return None
    return _check(source, Tag(keyword), text(source, "SpecificCharacterSet"))[1]


def _repeatable(source: Dataset) -> Iterator[tuple[BaseTag, Any]]:
    """Attributes of the standard that are not binary, as they are: reading those might read the pixels."""
    for tag, raw in source.items():  # a data set's iterator would convert every value
        is_deferred = isinstance(raw, RawDataElement) and raw.value is None and raw.length
        if not is_deferred and _is_legible(tag):
            yield tag, raw


@lru_cache(maxsize=2000)
def _is_legible(tag: BaseTag) -> bool:
    """Whether the standard has the attribute, and not in bytes."""
    return bool(keyword_for_tag(tag)) and dictionary_VR(tag)[0] != "O"


def _check(source: Dataset, tag: BaseTag, charset: str) -> tuple[tuple[Defect, ...], DataElement | None]:
    """What is wrong with one attribute, and the attribute as an output may have it; None where that is impossible."""
    keyword, representations = keyword_for_tag(tag), dictionary_VR(tag)
    try:
        element = source[tag]
    except Exception:  # pydicom converts on access and raises whatever the garbage in the value provokes.
        return (Defect(keyword, f"is not {_RULES.get(representations, f'a value of {representations}')}"),), None
    wrong: tuple[Defect, ...] = ()
    if element.VR not in representations.split(" or "):
        wrong = (Defect(keyword, f"has the value representation {element.VR}, not {representations}"),)
        if representations not in _STRINGS or element.VR not in _STRINGS:
            return wrong, None
        value = str(element.value) if isinstance(element.value, PersonName) else element.value
        try:
            element = DataElement(tag, representations, value, validation_mode=config.IGNORE)
        except (AttributeError, OverflowError, TypeError, ValueError):  # a text that is no number, for instance
            return wrong, None
    problems = tuple(_problems(element, keyword, charset))
    return wrong + problems, None if problems else element


def _problems(element: DataElement, keyword: str, charset: str) -> Iterator[Defect]:
    if element.VR == "SQ":
        yield from _problems_of_items(element.value, keyword, charset)
        return
    values = element.value if isinstance(element.value, MultiValue) else [element.value]
    values = [value for value in values if value is not None and value != ""]
    lowest, _, highest = dictionary_VM(element.tag).partition("-")
    most = int(highest or lowest) if (highest or lowest).isdigit() else len(values)
    if values and not int(lowest) <= len(values) <= most:
        yield Defect(keyword, f"has {len(values)} values, not {dictionary_VM(element.tag)}")
    if element.VR in _STRINGS:
        found = {problem for value in values for problem in _problems_of_text(str(value), element.VR, charset)}
        yield from (Defect(keyword, problem) for problem in sorted(found))
    if any(value not in _ENUMERATED.get(keyword, (value,)) for value in values):
        yield Defect(keyword, f"is none of {', '.join(_ENUMERATED[keyword])}")
    if keyword == "TimezoneOffsetFromUTC" and any(time_zone(str(value)) is None for value in values):
        yield Defect(keyword, "is no time zone like +0100")
    if keyword == "SpecificCharacterSet" and not _is_known(charset):
        yield Defect(keyword, "is no character set of the standard")


def _problems_of_items(items: Sequence[Dataset], keyword: str, charset: str) -> Iterator[Defect]:
    for item in items:
        inner_charset = text(item, "SpecificCharacterSet") or charset
        for tag, _ in _repeatable(item):
            for defect in _check(item, tag, inner_charset)[0]:
                yield Defect(f"{keyword}.{defect.attribute}", defect.problem)
        has_value = any(text(item, name) for name in ("CodeValue", "LongCodeValue", "URNCodeValue"))
        if keyword.endswith("CodeSequence") and not (has_value and text(item, "CodeMeaning")):
            yield Defect(keyword, "has an item without code value or meaning")


def _problems_of_text(value: str, representation: str, charset: str) -> Iterator[str]:
    is_default = charset in ("", "ISO_IR 6", "ISO 2022 IR 6")
    if "\ufffd" in value or (not value.isascii() and (is_default or not _is_known(charset))):
        yield "holds characters that its character set doesn't have"
    if representation in _RULES:
        if not _follows_rule(value, representation):
            yield f"is not {_RULES[representation]}"
    elif re.search(r"[\x00-\x1f]" if representation in _LINES else r"[\x00-\x08\x0b\x0e-\x1f]", value):
        yield "holds control characters"
    if representation == "PN":
        groups = value.split("=")
        if len(groups) > _NAME_GROUPS or any(group.count("^") >= _NAME_PARTS for group in groups):
            yield "has more parts than a person name"
        if any(len(group) > _NAME_LENGTH for group in groups):
            yield f"is longer than PN allows ({_NAME_LENGTH} characters)"
    elif len(value) > MAX_VALUE_LEN.get(representation, len(value)):
        yield f"is longer than {representation} allows ({MAX_VALUE_LEN[representation]} characters)"


def _follows_rule(value: str, representation: str) -> bool:
    if representation == "DA":
        try:
            return bool(re.fullmatch(r"\d{8}", value)) and datetime.datetime.strptime(value, "%Y%m%d").year > 0
        except ValueError:
            return False
    is_range = representation in ("DT", "TM") and re.search(r"-(?!\d{4}$)", value)  # as in queries only
    return bool(STR_VR_REGEXES[representation].match(value)) and "\n" not in value and not is_range


def _is_known(charset: str) -> bool:
    return all(name.strip() in python_encoding for name in charset.split("\\"))


def time_zone(offset: str) -> datetime.timezone | None:
    """The zone of an offset from -1200 to +1400; None where there is none, or none that the standard allows."""
    found = re.fullmatch(r"([+-])(\d\d)([0-5]\d)", offset)
    if not found or offset == "-0000":
        return None
    sign, hours, minutes = found.groups()
    east = datetime.timedelta(hours=int(hours), minutes=int(minutes)) * (1 if sign == "+" else -1)
    return datetime.timezone(east) if _MOST_WEST <= east <= _MOST_EAST else None
