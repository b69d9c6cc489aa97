"""The summary page is drawn of every study, and tells the state in the largest type."""

import dataclasses

import numpy as np
import pytest
from PIL import ImageDraw

from groundglass.domain.findings import STATES, UNLISTED_REGION, Box, Findings, Prediction, SliceFinding, State
from groundglass.domain.statement import NO_ADULT, statement
from groundglass.rendering.drawing import PAPER, REGION_COLOR, RIGHT_COLOR, Color
from groundglass.rendering.overview import project_regions, spread
from groundglass.rendering.preview import HEIGHT, WIDTH, make_preview, percent
from groundglass.rendering.slice_names import SliceNames
from tests.groundglass.dicomio.outputs_fixture import ORIENTATIONS, make_case


def is_color(image: np.ndarray, color: Color, tolerance: int = 60) -> np.ndarray:
    return np.abs(image.astype(int) - np.array(color)).sum(axis=-1) < tolerance


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """What is written on a page, each with its size."""
    texts: list[tuple[str, float]] = []
    draw = ImageDraw.ImageDraw.text

    def note(self: ImageDraw.ImageDraw, at: object, text: str, color: object, font: object, **how: object) -> None:
        texts.append((text, font.size))  # type: ignore[attr-defined]
        draw(self, at, text, color, font, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", note)
    return texts


def of_state(findings: Findings, state: State) -> Findings:
    return dataclasses.replace(findings, prediction=Prediction((0.5, 0.3, 0.2), state, "undetermined"))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("positive", [True, False])
def test_preview_is_drawn_for_every_orientation(orientation: str, positive: bool) -> None:
    case = make_case(orientation, positive)
    preview = make_preview(case.volume, case.findings)
    assert preview.size == (WIDTH, HEIGHT)
    colored = np.asarray(preview)
    assert is_color(colored, RIGHT_COLOR).sum() > 500
    assert is_color(colored, REGION_COLOR).any() == positive


@pytest.mark.parametrize(
    "directions", [[(0, 1, 0), (0, 0, -1), (1, 0, 0)], [(-1, 0, 0), (0, 0, -1), (0, 1, 0)]], ids=["coronal", "sagittal"]
)
def test_preview_is_drawn_of_slices_that_stand_upright(directions: list[tuple[float, ...]]) -> None:
    case = make_case()
    volume = dataclasses.replace(case.volume, directions=np.array(directions, float))
    assert is_color(np.asarray(make_preview(volume, case.findings)), REGION_COLOR).any()


@pytest.mark.parametrize("state", STATES)
def test_the_state_is_in_the_largest_type_and_the_whole_statement_is_there(
    state: State, written: list[tuple[str, float]]
) -> None:
    case = make_case()
    findings = of_state(case.findings, state)
    make_preview(case.volume, findings)
    largest = max(written, key=lambda item: item[1])
    assert largest[0] == f"Pneumonia {state}"
    words = " ".join(text for text, _ in written)
    assert "probability 0.50" in words
    for sentence in statement(findings.prediction)[1:]:
        assert sentence in words
    assert ("the images decide" in words) == (state == "indeterminate")
    assert min(size for text, size in written if "It knows" in text) >= 25  # 12 points on paper


def test_each_region_is_told_by_number_place_images_volume_and_share(written: list[tuple[str, float]]) -> None:
    case = make_case()
    names = SliceNames("Image", [str(100 + index) for index in range(8)], [f"z -{index}.0 mm" for index in range(8)])
    findings = dataclasses.replace(case.findings, unlisted_regions=3)
    make_preview(case.volume, findings, names, [2, 5])
    texts = [text for text, _ in written]
    row = texts.index("right lung, upper third")
    assert texts[row - 1 : row + 4] == ["1", "right lung, upper third", "102", "0.2 ml", "30 %"]
    assert "Image 102 · z -2.0 mm" in texts
    assert "Region 1 · P(pneumonia) 0.93" in texts
    assert any(text.startswith("3 more") for text in texts)
    rest = 1 - sum(region.contribution for region in findings.regions)
    assert f"The other {100 * rest:.0f} % of the saliency lies outside these regions." in texts
    assert not any("from the head" in text for text in texts)


def test_the_saliency_beside_a_sole_region_is_told(written: list[tuple[str, float]]) -> None:
    case = make_case()
    sole = dataclasses.replace(case.findings.regions[0], contribution=0.45)
    make_preview(case.volume, dataclasses.replace(case.findings, regions=(sole,)))
    assert "The other 55 % of the saliency lies outside this region." in [text for text, _ in written]


@pytest.mark.parametrize("left_out", [False, True])
def test_parts_of_the_lungs_are_told_as_estimated_where_slices_were_left_out(
    left_out: bool, written: list[tuple[str, float]]
) -> None:
    case = make_case()
    slices = tuple(
        dataclasses.replace(finding, explained=False, why_not_explained="budget")
        if left_out and finding == case.findings.slices[-1]
        else finding
        for finding in case.findings.slices
    )
    make_preview(case.volume, dataclasses.replace(case.findings, slices=slices))
    texts = [text for text, _ in written]
    assert ("Salient part, estimated" in texts) == left_out
    assert ("Salient part of the lungs" in texts) != left_out


@pytest.mark.parametrize("positive", [True, False])
def test_warnings_stand_in_the_header_which_holds_them(monkeypatch: pytest.MonkeyPatch, positive: bool) -> None:
    lines: dict[str, float] = {}

    def note(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, *_: object, **__: object) -> None:
        lines.setdefault(text, at[1])

    monkeypatch.setattr("groundglass.rendering.preview.draw_text", note)
    case = make_case(positive=positive)
    warnings = (
        "Another series of the study is preferred by its headers, but its images cut the lungs.",
        NO_ADULT,
        "Saliency was computed on 150 of 220 slices that suggest pneumonia: regions were sought on no others, so their "
        "volumes may be too small.",
    )
    make_preview(case.volume, case.findings, warnings=warnings)
    heights = [lines[text] for text in warnings] + [y for text, y in lines.items() if text.endswith("decisions.")]
    assert len(heights) == 4
    assert heights == sorted(heights)
    assert heights[-1] <= 286  # the card ends at 290


def test_a_study_without_regions_says_why_and_no_class_is_a_caption(written: list[tuple[str, float]]) -> None:
    case = make_case(positive=False)
    make_preview(case.volume, dataclasses.replace(case.findings, zones=(), reach_border=True))
    texts = [text for text, _ in written]
    assert any(text.startswith("None: regions are sought only where") for text in texts)
    assert any(text.startswith("The images cut the lungs") for text in texts)
    assert not any("No pneumonia" in text for text in texts)
    assert any("Slices are counted from the head." in text for text in texts)


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
    assert is_color(np.asarray(make_preview(volume, findings, palette=PAPER)), PAPER.muted).sum() > 5000


def test_preview_needs_no_lungs_and_no_estimate() -> None:
    case = make_case(positive=False)
    findings = dataclasses.replace(
        case.findings, lungs=np.zeros_like(case.findings.lungs), salient_fraction=None, slices=()
    )
    assert make_preview(case.volume, findings).width == WIDTH


@pytest.mark.parametrize(("region", "leaps"), [(1, True), (0, False)], ids=["one region", "two that are not listed"])
def test_a_region_spans_the_slices_that_it_leaps_and_two_without_a_number_do_not(region: int, leaps: bool) -> None:
    case = make_case()
    boxes = [Box(index, "cap", 4, 4, 7, 7, 16.0, 0.9, 0.5, region) for index in (1, 4)]
    salient = np.zeros_like(case.findings.salient)
    salient[[1, 4], 4:8, 4:8] = region or UNLISTED_REGION
    findings = dataclasses.replace(case.findings, boxes=tuple(boxes), salient=salient)
    (seen,) = project_regions(case.volume, findings).values()
    rows = np.flatnonzero(seen.any(axis=1))
    assert len(rows) == (4 if leaps else 2)
    assert np.ptp(rows) == 3


def test_markers_stay_apart_in_their_order_about_their_levels_and_within_the_view() -> None:
    assert spread([10, 200], 25, 0, 300) == [10, 200]
    assert spread([100, 102, 104, 250], 25, 0, 300) == [77, 102, 127, 250]
    assert spread([10, 12, 14], 25, 5, 300) == [5, 30, 55]
    assert spread([280, 290, 299], 25, 0, 300) == [250, 275, 300]
    assert spread([], 25, 0, 300) == []


def test_a_small_share_is_not_told_as_none() -> None:
    assert [percent(part) for part in (0.0, 0.001, 0.01, 0.456)] == ["0 %", "<1 %", "1 %", "46 %"]
