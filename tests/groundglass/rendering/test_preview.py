"""The preview is drawn of every study."""

import dataclasses

import numpy as np
import pytest

from groundglass.domain.findings import SliceFinding
from groundglass.rendering.preview import CLASS_COLORS, make_preview
from groundglass.rendering.slice_picture import RIGHT_COLOR, Color
from tests.groundglass.dicomio.outputs_fixture import ORIENTATIONS, make_case


def is_color(image: np.ndarray, color: Color, tolerance: int = 60) -> np.ndarray:
    return np.abs(image.astype(int) - np.array(color)).sum(axis=-1) < tolerance


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("positive", [True, False])
def test_preview_is_drawn_for_every_orientation(orientation: str, positive: bool) -> None:
    case = make_case(orientation, positive)
    preview = make_preview(case.volume, case.findings)
    assert preview.width == 1500
    colored = np.asarray(preview)
    assert is_color(colored, CLASS_COLORS[case.findings.label]).any()
    assert is_color(colored, RIGHT_COLOR).sum() > 500


def test_preview_is_drawn_of_more_slices_than_it_has_rows() -> None:
    case = make_case()
    times = 1200 // len(case.volume.hu)
    thin_mm = (case.volume.spacing_mm[0] / times, *case.volume.spacing_mm[1:])
    volume = dataclasses.replace(case.volume, hu=np.repeat(case.volume.hu, times, axis=0), spacing_mm=thin_mm)
    findings = dataclasses.replace(
        case.findings,
        lungs=np.repeat(case.findings.lungs, times, axis=0),
        salient=np.repeat(case.findings.salient, times, axis=0),
        slices=tuple(SliceFinding(index, 2e4, (0.2, 0.3, 0.5)) for index in range(len(volume.hu))),
    )
    assert is_color(np.asarray(make_preview(volume, findings)), CLASS_COLORS["covid19"]).sum() > 5000


def test_preview_needs_no_lungs_and_no_estimate() -> None:
    case = make_case(positive=False)
    findings = dataclasses.replace(
        case.findings, lungs=np.zeros_like(case.findings.lungs), salient_fraction=None, slices=()
    )
    assert make_preview(case.volume, findings).width == 1500
