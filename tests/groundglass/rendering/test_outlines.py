"""Outlines run around the pixels of a region, as far as they reach, and say which region it is."""

import dataclasses

import numpy as np
import pytest
from skimage.draw import polygon2mask

from groundglass.domain.findings import UNLISTED_REGION, Box
from groundglass.rendering.outlines import region_outlines, trace_outlines
from tests.groundglass.dicomio.outputs_fixture import make_case


def test_an_outline_is_closed_and_reaches_the_outer_edges_of_the_pixels() -> None:
    mask = np.zeros((9, 12), bool)
    mask[2:5, 3:10] = True
    (points,) = trace_outlines(mask)
    assert points[0].tolist() == points[-1].tolist()
    assert points.min(axis=0).tolist() == [3, 2]
    assert points.max(axis=0).tolist() == [10, 5]
    assert len(points) == 9  # two for each side, and the first again


@pytest.mark.parametrize("seed", range(3))
def test_the_centres_of_exactly_the_regions_pixels_lie_within(seed: int) -> None:
    rows, columns = np.indices((40, 50))
    wave = 6 * np.sin(np.arctan2(rows - 20, columns - 25) * (3 + seed))
    mask = np.hypot(rows - 20, columns - 25) < 11 + wave
    (points,) = trace_outlines(mask)
    np.testing.assert_array_equal(polygon2mask(mask.shape, points[:, ::-1] - 0.5), mask)


def test_a_hole_and_a_region_at_the_edge_of_the_image_have_closed_outlines() -> None:
    mask = np.ones((6, 6), bool)
    mask[2:4, 2:4] = False
    outer, hole = sorted(trace_outlines(mask), key=lambda points: points.min())
    assert (outer.min(), outer.max()) == (0, 6)
    assert (hole.min(), hole.max()) == (2, 4)


def test_each_outline_bears_the_number_of_its_region_and_an_unlisted_one_none() -> None:
    case = make_case()
    salient = case.findings.salient.copy()
    salient[2, 20:24, 30:35] = UNLISTED_REGION
    box = Box(2, "covid19", 30, 20, 34, 23, 9.0, 0.8)
    findings = dataclasses.replace(case.findings, salient=salient, boxes=(*case.findings.boxes, box))
    listed, other = region_outlines(findings, 2)
    assert (listed.region, other.region) == (1, 0)
    assert listed.points.min(axis=0).tolist() == [5, 6]
    assert other.points.max(axis=0).tolist() == [35, 24]
    assert list(region_outlines(findings, 3)) == []
