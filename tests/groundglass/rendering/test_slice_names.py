"""Slices are called as the viewer calls them, or counted from the head where they have no numbers."""

import dataclasses

import numpy as np
import pytest

from groundglass.rendering.slice_names import SliceNames, pneumonia_of, regions_on
from tests.groundglass.dicomio.outputs_fixture import make_case


@pytest.mark.parametrize(
    ("orientation", "first"), [("head first supine", "Slice 8"), ("slices from head to feet", "Slice 1")]
)
def test_slices_without_numbers_count_from_the_head_and_say_so(orientation: str, first: str) -> None:
    names = SliceNames.counted(make_case(orientation).volume)
    assert names.name(0) == names.place(0) == first
    assert names.note == "Slices are counted from the head."


def test_slices_that_stand_upright_are_not_counted_from_the_head() -> None:
    volume = dataclasses.replace(make_case().volume, directions=np.array([(0, 1, 0), (0, 0, -1), (1, 0, 0)], float))
    names = SliceNames.counted(volume)
    assert names.name(0) == "Slice 1"
    assert "head" not in names.note


def test_the_slices_of_a_region_are_told_from_the_smaller_number_to_the_larger() -> None:
    (region, _) = make_case().findings.regions
    region = dataclasses.replace(region, slices=(0, 1, 2))
    assert SliceNames("Image", ["12", "11", "10"], [""] * 3).span(region) == "10-12"
    assert SliceNames("Image", ["9", "10", "11"], [""] * 3).span(region) == "9-11"
    assert SliceNames("Image", ["9"] * 3, [""] * 3).span(region) == "9"


def test_captions_name_regions_and_the_probability_of_pneumonia_and_no_class() -> None:
    findings = make_case().findings
    assert regions_on(findings, 2) == "Region 1"
    assert regions_on(findings, 3) == ""
    both = dataclasses.replace(findings.boxes[1], slice_index=2)
    unlisted = dataclasses.replace(both, region=0)
    assert regions_on(dataclasses.replace(findings, boxes=(findings.boxes[0], both, unlisted)), 2) == "Regions 1, 2"
    assert regions_on(dataclasses.replace(findings, boxes=(unlisted,)), 2) == "Region not listed"
    assert pneumonia_of(findings, 2) == "P(pneumonia) 0.93"
    assert "not classified" in pneumonia_of(findings, 0)
