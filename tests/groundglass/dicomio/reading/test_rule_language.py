"""A site's rules mean what the SDK's documentation says they mean."""

import json
from typing import Any

import pytest
from pydicom.dataset import Dataset

from groundglass.dicomio.reading.rule_language import parse_rules, unmet_conditions
from tests.groundglass.dicomio.ct_samples import make_series

IMAGE = make_series()[0]
IMAGE.SeriesDescription, IMAGE.StudyDescription, IMAGE.SliceThickness = "Thorax LUNG 1.0", "Chest^Routine", 2.5
IMAGE.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"]
IMAGE.SeriesNumber = 4

SDK_EXAMPLE = """{"selections": [
    {"name": "CT Series 1", "conditions": {"StudyDescription": "(?i)^Spleen", "Modality": "(?i)CT",
        "SeriesDescription": "(?i)^No series description|(.*?)"}},
    {"name": "CT Series 2", "conditions": {"Modality": "CT", "BodyPartExamined": "Abdomen",
        "SeriesDescription" : "Not to be matched. For illustration only."}},
    {"name": "CT Series 3", "conditions": {"StudyDescription": "(.*?)", "Modality": "(?i)CT",
        "ImageType": ["PRIMARY", "ORIGINAL", "AXIAL"], "SliceThickness": [3, 5]}},
    {"name": "CT Series 4", "conditions": {"StudyDescription": "(.*?)", "Modality": "(?i)CT",
        "ImageOrientationPatient": "Axial", "SliceThickness": [2, ">"]}},
    {"name": "CT Series 5", "conditions": {"StudyDescription": "(.*?)", "Modality": "(?i)CT",
        "ImageType": ["PRIMARY", "!SECONDARY"]}}]}"""


def is_met(keyword: str, wanted: Any, image: Dataset = IMAGE) -> bool:
    (selection,) = parse_rules({"selections": [{"name": "x", "conditions": {keyword: wanted, "PatientSex": None}}]})
    return unmet_conditions(selection, image) == []


def test_the_example_of_the_sdks_documentation_is_read() -> None:
    selections = parse_rules(json.loads(SDK_EXAMPLE))
    assert [unmet_conditions(selection, IMAGE) for selection in selections] == [
        ["StudyDescription"],
        ["BodyPartExamined", "SeriesDescription"],
        ["SliceThickness"],
        [],
        [],
    ]


@pytest.mark.parametrize(
    ("keyword", "wanted", "expected"),
    [
        ("Modality", "ct", True),
        ("Modality", "MR", False),
        ("SeriesDescription", "lung", True),
        ("SeriesDescription", "^lung", False),
        ("SeriesDescription", "(?i)abdomen|thorax", True),
        ("AccessionNumber", ".*", False),  # absent
        ("SliceThickness", 2.5, True),
        ("SliceThickness", 2, False),
        ("SliceThickness", [1, 2.5], True),
        ("SliceThickness", [1, 2], False),
        ("SliceThickness", [2.5, ">"], False),
        ("SliceThickness", [2.5, ">="], True),
        ("SliceThickness", [2.5, "!="], False),
        ("SliceThickness", [3, "<"], True),
        ("SliceThickness", "2\\..*", True),
        ("SeriesNumber", [1, 4], True),
        ("ImageType", ["axial", "PRIMARY"], True),
        ("ImageType", ["AXIAL", "!SECONDARY"], True),
        ("ImageType", ["AXIAL", "!ORIGINAL"], False),
        ("ImageType", ["AXI"], False),  # a part of a value is not the value
        ("ImageType", "AXIAL", True),
        ("ImageType", "!MIP", True),
        ("ImageType", "!AXIAL", False),
        ("ImageOrientationPatient", "axial", True),
        ("ImageOrientationPatient", "Coronal", False),
    ],
)
def test_every_form_of_condition(keyword: str, wanted: Any, expected: bool) -> None:
    assert is_met(keyword, wanted) is expected


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ([], "one list 'selections'"),
        ({"selections": {}}, "one list 'selections'"),
        ({"selections": [{"conditions": {"Modality": "CT"}}]}, "needs a name"),
        ({"selections": [{"name": "x"}]}, "needs conditions"),
        ({"selections": [{"name": "x", "conditions": {"Modality": "CT"}, "more": 1}]}, "nothing else"),
        ({"selections": [{"name": "x", "conditions": {"Modalität": "CT"}}]}, "no DICOM keyword"),
        ({"selections": [{"name": "x", "conditions": {"Modality": "("}}]}, "regular expression"),
        ({"selections": [{"name": "x", "conditions": {"SliceThickness": [1, "=<"]}}]}, "one of >"),
        ({"selections": [{"name": "x", "conditions": {"SliceThickness": [1, 2, 3]}}]}, "two numbers"),
        ({"selections": [{"name": "x", "conditions": {"SliceThickness": {}}}]}, "a text, a number or a list"),
        ({"selections": [{"name": "x", "conditions": {"ImageOrientationPatient": "oblique"}}]}, "Axial, Coronal"),
    ],
)
def test_rules_that_mean_nothing_are_refused_in_words(rules: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_rules(rules)
