"""The summary: a whole study on one page, which is read at arm's length on paper and at a glance on a screen."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from groundglass.domain.class_names import CLASSES, LONG_CLASS_NAMES
from groundglass.domain.findings import THIRDS, Findings, Region, Side, State
from groundglass.domain.statement import LIMITS, kind_sentence, state_meaning, state_words
from groundglass.domain.volume import CTVolume
from groundglass.rendering.drawing import (
    HALO,
    LEFT_COLOR,
    REGION_COLOR,
    RIGHT_COLOR,
    SCREEN,
    Color,
    Palette,
    draw_text,
    text_width,
    wrap,
)
from groundglass.rendering.overview import Frame, draw_overview
from groundglass.rendering.slice_names import SliceNames, pneumonia_of, regions_on
from groundglass.rendering.slice_picture import SlicePictures, key_slices

PIXELS_PER_INCH = 150
WIDTH, HEIGHT = 1754, 1240
"""A4 across, at 150 pixels an inch: text of 25 pixels is one of 12 points."""
SHOWN_SLICES = 6
_MARGIN, _GAP, _INSET = 36, 14, 20
_HEADER = Frame(_MARGIN, _MARGIN, WIDTH - _MARGIN, 290)
_OVERVIEW = Frame(_MARGIN, _HEADER.bottom + _GAP, 1046, 774)
_TABLE = Frame(_MARGIN, _OVERVIEW.bottom + _GAP, _OVERVIEW.right, 1176)
_TILES = Frame(_OVERVIEW.right + _GAP, _OVERVIEW.top, _HEADER.right, _TABLE.bottom)
_HEADING, _FIGURES, _SMALL = 21, 25, 20
_ZONE_HEIGHT = 48
_TYPE_SIZES = ((33, 26, 36), (26, 20, 24), (22, 17, 19))
"""Of the conclusion's sentence, of those below it, and these lines' distance: the largest at which warnings fit."""


def make_preview(
    volume: CTVolume,
    findings: Findings,
    names: SliceNames | None = None,
    indices: Sequence[int] | None = None,
    palette: Palette = SCREEN,
    warnings: Sequence[str] = (),
) -> Image.Image:
    """The summary page.

    Args:
        volume: the CT.
        findings: what was found in it.
        names: what its slices are called; None counts them.
        indices: of the slices to show, of which the first SHOWN_SLICES are; None for the most telling.
        palette: SCREEN or PAPER.
        warnings: sentences that a reader must know.
    """
    names = names or SliceNames.counted(volume)
    shown = list(key_slices(findings, SHOWN_SLICES) if indices is None else indices)[:SHOWN_SLICES]
    page = Image.new("RGB", (WIDTH, HEIGHT), palette.background)
    draw = ImageDraw.Draw(page)
    for frame in (_HEADER, _OVERVIEW, _TABLE):
        draw.rounded_rectangle(frame, 10, fill=palette.card)
    _draw_conclusion(draw, findings, palette, warnings)
    left, top, right, bottom = _OVERVIEW
    view = Frame(left + _INSET, top + 8, left + 670, bottom - 8)
    draw_overview(page, volume, findings, names, shown, view, palette)
    _draw_lungs(draw, findings, Frame(left + 702, top, right - _INSET, bottom), palette)
    _draw_regions(draw, findings, names, palette)
    _draw_tiles(page, SlicePictures(volume, findings, names), shown, palette)
    _draw_foot(draw, findings, names, palette)
    return page


def _draw_conclusion(draw: ImageDraw.ImageDraw, findings: Findings, palette: Palette, warnings: Sequence[str]) -> None:
    """The lines that every output begins with, the state in the largest type."""
    prediction = findings.prediction
    left, top, right, bottom = _HEADER
    _draw_symbol(draw, prediction.state, (left + 72, top + 66), palette.states[prediction.state])
    x, y = left + 136, top + 92
    title = state_words(prediction)
    draw_text(draw, (x, y), title, 76, palette.text, bold=1)
    after = x + text_width(title, 76) + 34
    draw_text(draw, (after, y), f"probability {prediction.pneumonia_probability:.2f}", 46, palette.text)
    y += 54
    meaning = [state_meaning(prediction), "" if prediction.state == "absent" else kind_sentence(prediction)]
    for sizes in _TYPE_SIZES:
        size, small, step = sizes
        first = y + (step + 8 if any(meaning) else 0)
        lines = [line for sentence in (*warnings, LIMITS) for line in wrap(sentence, small, right - x - _INSET)]
        if first + (len(lines) - 1) * step <= bottom - 4:
            break
    draw_text(draw, (x, y), " ".join(filter(None, meaning)), size, palette.text)
    for number, line in enumerate(lines):
        draw_text(draw, (x, first + number * step), line, small, palette.text)


def _draw_symbol(draw: ImageDraw.ImageDraw, state: State, middle: tuple[int, int], color: Color) -> None:
    """Plus, minus or a question mark in a ring: the colour only repeats what symbol and word tell."""
    x, y = middle
    draw.ellipse((x - 40, y - 40, x + 40, y + 40), outline=color, width=7)
    if state == "indeterminate":
        draw_text(draw, middle, "?", 54, color, anchor="mm", bold=2)
        return
    draw.line((x - 20, y, x + 20, y), fill=color, width=9)
    if state == "present":
        draw.line((x, y - 20, x, y + 20), fill=color, width=9)


def _draw_lungs(draw: ImageDraw.ImageDraw, findings: Findings, frame: Frame, palette: Palette) -> None:
    """The volumes, below the salient part of each third of each lung, which stand where they lie in the body."""
    y = frame.top + 36
    figures = [
        ("Right lung", f"{findings.right_ml:,.0f} ml"),
        ("Left lung", f"{findings.left_ml:,.0f} ml"),
        ("Both lungs", f"{findings.volume_ml:,.0f} ml"),
    ]
    if findings.zones:
        is_estimated = any(finding.why_not_explained == "budget" for finding in findings.slices)
        heading = "Salient part, estimated" if is_estimated else "Salient part of the lungs"
        draw_text(draw, (frame.left, y), heading, _HEADING, palette.muted)
        _draw_zones(draw, findings, (frame.left + frame.right) // 2, y + 54, palette)
        y += 54 + len(THIRDS) * _ZONE_HEIGHT
        if findings.salient_fraction is not None:
            figures.insert(0, ("Of both lungs", f"{100 * findings.salient_fraction:.1f} %"))
    else:
        draw_text(draw, (frame.left, y), "Lung volumes", _HEADING, palette.muted)
    y += 38
    for name, value in figures:
        draw_text(draw, (frame.left, y), name, 23, palette.muted)
        draw_text(draw, (frame.right, y), value, _FIGURES, palette.text, anchor="rs")
        y += 34
    if findings.reach_border:
        for line in wrap("The images cut the lungs: all figures are of what they show.", 20, frame.right - frame.left):
            draw_text(draw, (frame.left, y), line, 20, palette.text)
            y += 24


def _draw_zones(draw: ImageDraw.ImageDraw, findings: Findings, middle: int, top: int, palette: Palette) -> None:
    fractions = {(zone.side, zone.third): zone.salient_fraction for zone in findings.zones}
    sides: tuple[tuple[Side, int, Color], ...] = (("right", -1, RIGHT_COLOR), ("left", 1, LEFT_COLOR))
    for side, towards, color in sides:
        inner = middle + towards * 8
        draw_text(draw, (inner + towards * 50, top - 10), side, _SMALL, palette.muted, anchor="ms")
        for row, third in enumerate(THIRDS):
            upper, lower = top + row * _ZONE_HEIGHT, top + (row + 1) * _ZONE_HEIGHT
            outer = [inner + towards * (75 + 20 * end) for end in (row, row + 1)]  # lungs are wider below
            corners = [(inner, upper), (inner, lower), (outer[1], lower), (outer[0], upper)]
            draw.polygon(corners, fill=palette.background, outline=color, width=2)
            fraction = fractions.get((side, third))
            text = "-" if fraction is None else percent(fraction)
            draw_text(draw, (inner + towards * 46, (upper + lower) / 2), text, _FIGURES, palette.text, anchor="mm")


def _draw_regions(draw: ImageDraw.ImageDraw, findings: Findings, names: SliceNames, palette: Palette) -> None:
    left, top, right, bottom = _TABLE
    left, right = left + _INSET, right - _INSET
    draw_text(draw, (left, top + 36), "Regions: what led the classifier to its result", _HEADING, palette.muted)
    columns = ((left, "ls"), (left + 66, "ls"), (left + 420, "ls"), (right - 190, "rs"), (right, "rs"))
    if findings.regions:
        heads = ("No.", "Where", f"{names.word}s", "Volume", "Share of saliency")
        for (x, anchor), text in zip(columns, heads, strict=True):
            draw_text(draw, (x, top + 76), text, _SMALL, palette.muted, anchor=anchor)
        draw.line((left, top + 88, right, top + 88), fill=palette.line, width=2)
    rows, most = findings.regions, (bottom - top - 150) // 42
    y = top + (124 if rows else 84)
    for region in rows[:most]:
        where = "both lungs" if region.side == "both" else f"{region.side} lung"
        cells = (
            str(region.number),
            f"{where}, {region.third} third",
            names.span(region),
            f"{region.volume_ml:.1f} ml",
            percent(region.contribution),
        )
        for (x, anchor), text in zip(columns, cells, strict=True):
            draw_text(draw, (x, y), text, 28, palette.text, anchor=anchor, bold=int(x == left))
        y += 42
    for text in _remarks(findings, rows[:most]):
        for line in wrap(text, 23, right - left):
            draw_text(draw, (left, y), line, 23, palette.muted)
            y += 30


def _remarks(findings: Findings, shown: Sequence[Region]) -> list[str]:
    """What is said beside the regions shown, or why there are none."""
    if shown:
        more = findings.unlisted_regions + len(findings.regions) - len(shown)
        verbs = ("contributes", "is") if more == 1 else ("contribute", "are")
        remarks = ["{} more, which {} less, {} not listed here.".format(more, *verbs)] if more else []
        rest = 1 - sum(region.contribution for region in shown)
        if rest >= 0.005:
            these = "this region" if len(shown) == 1 else "these regions"
            remarks.append(f"The other {percent(rest)} of the saliency lies outside {these}.")
        return remarks
    if any(finding.explained for finding in findings.slices):
        return ["None: nothing salient is large enough, in volume and along the body, to be a region."]
    if findings.prediction.state == "absent":
        return ["None: regions are sought only where pneumonia may be present."]
    return ["None: no slice is probable enough to be explained."]


def percent(part: float) -> str:
    """A part of one in whole percent; nothing that is there is told as none."""
    return "<1 %" if 0 < part < 0.005 else f"{100 * part:.0f} %"


def _draw_tiles(page: Image.Image, pictures: SlicePictures, indices: Sequence[int], palette: Palette) -> None:
    """The key images, two in a row."""
    draw = ImageDraw.Draw(page)
    width, height = (_TILES.right - _TILES.left - _GAP) // 2, (_TILES.bottom - _TILES.top - 2 * _GAP) // 3
    room = height - 62
    picture_width = min(width, int(room / pictures.aspect))
    for number, index in enumerate(indices):
        left = _TILES.left + (number % 2) * (width + _GAP)
        top = _TILES.top + (number // 2) * (height + _GAP)
        draw.rectangle((left, top, left + width - 1, top + room - 1), fill=HALO)
        draw.rectangle((left, top + room, left + width - 1, top + height - 1), fill=palette.card)
        picture = pictures.draw(index, picture_width)
        page.paste(picture, (left + (width - picture.width) // 2, top + (room - picture.height) // 2))
        draw_text(draw, (left + 12, top + room + 25), pictures.names.place(index), 22, palette.text)
        facts = filter(None, (regions_on(pictures.findings, index), pneumonia_of(pictures.findings, index)))
        text = " · ".join(facts)
        size = min(1.0, (width - 24) / text_width(text, _SMALL)) * _SMALL
        draw_text(draw, (left + 12, top + room + 51), text, size, palette.muted)


def _draw_foot(draw: ImageDraw.ImageDraw, findings: Findings, names: SliceNames, palette: Palette) -> None:
    x, y = _MARGIN, _TABLE.bottom + 28
    if findings.boxes:
        draw.line((x, y - 7, x + 34, y - 7), fill=HALO, width=7)
        draw.line((x, y - 7, x + 34, y - 7), fill=REGION_COLOR, width=3)
        pale = " (pale: not listed)" if any(box.region == 0 for box in findings.boxes) else ""
        text = f"outline of a region{pale}, which is no lesion segmentation."
        draw_text(draw, (x + 44, y), text, _SMALL, palette.muted)
        x += 44 + round(text_width(text, _SMALL)) + 30
    draw_text(draw, (x, y), f"Patient's right on the viewer's left. {names.note}", _SMALL, palette.muted)
    values = zip(CLASSES, findings.prediction.probabilities, strict=True)
    classes = ", ".join(f"{LONG_CLASS_NAMES[name]} {value:.2f}" for name, value in values)
    text = f"Probabilities of the three classes: {classes}."
    draw_text(draw, (_MARGIN, y + 26), text, _SMALL, palette.muted)
