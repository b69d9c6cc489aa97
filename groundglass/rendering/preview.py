"""The preview: a whole study on one page, for a person who looks at it for a few seconds."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from groundglass.domain.arrays import Mask, Picture
from groundglass.domain.class_names import CLASS_NAMES, CLASSES
from groundglass.domain.findings import Findings
from groundglass.domain.software import RESEARCH_USE
from groundglass.domain.statement import state_words
from groundglass.domain.volume import CTVolume
from groundglass.rendering.slice_picture import (
    BACKGROUND,
    BOX_COLOR,
    CARD,
    HEAT,
    LEFT_COLOR,
    RIGHT_COLOR,
    TEXT,
    Color,
    draw_slice,
    draw_text,
    orient,
    oriented,
    patient_sides,
    slice_title,
    telling_slices,
)

TRACK: Color = (45, 53, 67)
MUTED: Color = (150, 161, 178)
WARNING: Color = (240, 120, 72)
CLASS_COLORS: dict[str, Color] = {"np": (106, 190, 140), "cap": (240, 176, 72), "covid19": (238, 106, 96)}
STATE_COLORS: dict[str, Color] = {"absent": (106, 190, 140), "indeterminate": (240, 176, 72), "present": (238, 106, 96)}


def make_preview(volume: CTVolume, findings: Findings) -> Image.Image:
    """The whole result on one page: class, probabilities, volumes, where the lungs were looked at, and six slices."""
    indices = _head_first(volume, telling_slices(findings, 6))
    margin, gap, width = 36, 16, 1500
    overview_width = 520
    tile_width = (width - 2 * margin - overview_width - 3 * gap) // 3
    tiles = [_tile(volume, findings, index, tile_width) for index in indices]
    tile_height = max(tile.shape[0] for tile in tiles)
    header_height, legend_height = 210, 84
    body_height = 2 * tile_height + gap
    page = Image.new("RGB", (width, margin + header_height + gap + body_height + legend_height), BACKGROUND)
    draw = ImageDraw.Draw(page)

    _draw_header(draw, findings, (margin, margin, width - margin, margin + header_height))
    top = margin + header_height + gap
    frame = (margin, top, margin + overview_width, top + body_height)
    draw.rounded_rectangle(frame, 12, fill=CARD)
    _draw_overview(page, volume, findings, indices, frame)
    for number, tile in enumerate(tiles):
        left = margin + overview_width + gap + (number % 3) * (tile_width + gap)
        upper = top + (number // 3) * (tile_height + gap)
        page.paste(_rounded(tile), (left, upper))
        _badge(draw, (left + 22, upper + 22), str(number + 1))
    _draw_legend(draw, (margin, top + body_height + 14))
    return page


def _head_first(volume: CTVolume, indices: Sequence[int]) -> list[int]:
    return sorted(indices, key=lambda index: -(volume.affine @ (index, 0, 0, 1))[2])


def _tile(volume: CTVolume, findings: Findings, index: int, width: int) -> Picture:
    """A slice cropped to the surroundings of the lungs, which are the same in all tiles of a study."""
    extent = orient(volume, findings.lungs.max(axis=0))
    rows, columns = _surroundings(extent.max(axis=1)), _surroundings(extent.max(axis=0))
    shown = oriented(volume, findings, index).cropped(rows, columns)
    title, sides = slice_title(findings, index), patient_sides(volume)
    return draw_slice(shown.hu, shown.lungs, shown.saliency, shown.boxes, title, width, shown.aspect, sides)


def _surroundings(occupied: Mask, margin_fraction: float = 0.07) -> slice:
    where = np.flatnonzero(occupied)
    if where.size == 0:
        return slice(0, occupied.size)
    margin = round(margin_fraction * occupied.size)
    return slice(max(0, int(where[0]) - margin), min(occupied.size, int(where[-1]) + 1 + margin))


def _badge(draw: ImageDraw.ImageDraw, center: tuple[float, float], text: str) -> None:
    x, y = center
    draw.ellipse((x - 12, y - 12, x + 12, y + 12), fill=TEXT)
    draw_text(draw, (x, y), text, 15, BACKGROUND, anchor="mm")


def _rounded(tile: Picture) -> Image.Image:
    image = Image.fromarray(tile)
    mask = Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, image.width - 1, image.height - 1), 10, fill=255)
    return Image.composite(image, Image.new("RGB", image.size, BACKGROUND), mask)


def _draw_header(draw: ImageDraw.ImageDraw, findings: Findings, frame: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = frame
    draw.rounded_rectangle(frame, 12, fill=CARD)
    draw.rounded_rectangle(
        (left + 16, top + 34, left + 21, bottom - 16), 2, fill=STATE_COLORS[findings.prediction.state]
    )
    draw_text(draw, (left + 36, top + 48), "RESULT", 15, MUTED)
    draw_text(draw, (left + 34, top + 108), state_words(findings.prediction), 40, TEXT)
    probability = findings.prediction.pneumonia_probability
    draw_text(draw, (left + 36, top + 144), f"probability {probability:.2f}", 20, MUTED)
    draw.rounded_rectangle((left + 36, bottom - 44, left + 222, bottom - 16), 14, outline=WARNING, width=2)
    draw_text(draw, (left + 129, bottom - 30), "RESEARCH USE ONLY", 15, WARNING, anchor="mm")

    x, bar_left, bar_right = left + 420, left + 560, left + 850
    draw_text(draw, (x, top + 48), "PROBABILITIES", 15, MUTED)
    for row, (label, value) in enumerate(zip(CLASSES, findings.prediction.probabilities, strict=True)):
        y = top + 84 + row * 42
        draw_text(draw, (x, y), CLASS_NAMES[label], 18, TEXT, anchor="lm")
        draw.rounded_rectangle((bar_left, y - 8, bar_right, y + 8), 8, fill=TRACK)
        end = bar_left + max(16, round(value * (bar_right - bar_left)))
        draw.rounded_rectangle((bar_left, y - 8, end, y + 8), 8, fill=CLASS_COLORS[label])
        draw_text(draw, (bar_right + 18, y), f"{value:.2f}", 18, TEXT, anchor="lm")

    fraction = findings.salient_fraction
    regions = len(findings.regions) + findings.unlisted_regions
    slices = len({box.slice_index for box in findings.boxes})
    figures = [
        ("Lung volume", f"{findings.volume_ml:,.0f} ml{', cut' if findings.reach_border else ''}", TEXT),
        ("Right lung", f"{findings.right_ml:,.0f} ml", RIGHT_COLOR),
        ("Left lung", f"{findings.left_ml:,.0f} ml", LEFT_COLOR),
        ("Salient fraction", "not estimated" if fraction is None else f"{100 * fraction:.1f} %", TEXT),
        ("Regions", f"{regions} on {slices} slices" if regions else "none", TEXT),
    ]
    x = left + 980
    draw_text(draw, (x, top + 48), "MEASUREMENTS", 15, MUTED)
    for row, (name, value_text, color) in enumerate(figures):
        y = top + 76 + row * 27
        draw_text(draw, (x, y), name, 18, MUTED, anchor="lm")
        draw_text(draw, (right - 36, y), value_text, 18, color, anchor="rm")


def _draw_overview(
    page: Image.Image, volume: CTVolume, findings: Findings, indices: Sequence[int], frame: tuple[int, int, int, int]
) -> None:
    """A coronal view through the middle of the lungs, with the salient regions of all depths, where the shown slices
    lie, and beside it what the classifier says of each slice."""
    left, top, right, bottom = frame
    lungs = volume.to_canonical(findings.lungs)
    across = _surroundings(lungs.max(axis=(0, 1)))
    slice_mm, _, column_mm = volume.canonical_spacing_mm
    room_width, room_height = right - left - 138, bottom - top - 110
    height_mm, width_mm = lungs.shape[0] * slice_mm, (across.stop - across.start) * column_mm
    width = round(min(room_width, room_height * width_mm / height_mm))
    view = _coronal_view(volume, findings, across, width)
    height = view.shape[0]
    x = left + 20 + (room_width - width) // 2
    y = top + 50 + (room_height - height) // 2

    draw = ImageDraw.Draw(page)
    draw_text(draw, (left + 20, top + 34), "CORONAL OVERVIEW", 15, MUTED)
    draw_text(draw, (right - 20, top + 34), "EACH SLICE", 15, MUTED, anchor="rs")
    page.paste(_rounded(view), (x, y))
    numbers = np.broadcast_to(np.arange(len(findings.lungs))[:, None, None], findings.lungs.shape)
    levels = {int(index): row for row, index in enumerate(volume.to_canonical(numbers)[:, 0, 0])}
    row_height = height / len(levels)

    strip_left, strip_right = right - 66, right - 20
    draw.rectangle((strip_left, y, strip_right, y + height - 1), fill=TRACK)
    for finding in findings.slices:
        edge, level = float(strip_left), y + levels.get(finding.index, 0) * row_height
        first, last = round(level), round(level + row_height) - 1
        for label, probability in zip(CLASSES, finding.probabilities, strict=True):
            end = edge + probability * (strip_right - strip_left)
            draw.rectangle((round(edge), first, round(end), max(first, last)), CLASS_COLORS[label])  # a row at least
            edge = end

    badge_y = -np.inf
    for number, index in enumerate(indices, start=1):
        level = y + (levels.get(index, 0) + 0.5) * row_height
        badge_y = max(level, badge_y + 26)  # the numbers of close slices stay apart
        draw.line((x, level, x + width + 8, level), fill=MUTED, width=1)
        _badge(draw, (x + width + 20, badge_y), str(number))

    name_x = left + 20
    for label in CLASSES:
        draw.rounded_rectangle((name_x, bottom - 34, name_x + 14, bottom - 20), 3, fill=CLASS_COLORS[label])
        draw_text(draw, (name_x + 22, bottom - 27), CLASS_NAMES[label], 16, MUTED, anchor="lm")
        name_x += 22 + round(draw.textlength(CLASS_NAMES[label], ImageFont.load_default(size=16))) + 26


def _coronal_view(volume: CTVolume, findings: Findings, across: slice, width: int) -> Picture:
    lungs = volume.to_canonical(findings.lungs)
    depth = int(np.count_nonzero(lungs, axis=(0, 2)).argmax())
    hu = volume.to_canonical(volume.hu)[:, max(0, depth - 2) : depth + 3, across].mean(axis=1)
    silhouette = lungs[:, depth, across]
    slice_mm, _, column_mm = volume.canonical_spacing_mm
    heat = None
    if findings.salient is not None and findings.salient.any():
        projected = volume.to_canonical(findings.salient > 0)[:, :, across].mean(axis=1)
        # Few slices are explained: the blur shows them as areas and not as hairlines.
        heat = ndimage.gaussian_filter(projected, (5.0 / slice_mm, 3.0 / column_mm))
        heat = np.sqrt(heat / heat.max())
    return draw_slice(hu, silhouette, heat, [], "", width, slice_mm / column_mm)


def _draw_legend(draw: ImageDraw.ImageDraw, at: tuple[int, int]) -> None:
    x, y = at[0], at[1] + 14
    names = {"Right lung": RIGHT_COLOR, "Left lung": LEFT_COLOR, "Box around a salient region": BOX_COLOR}
    for name, color in names.items():
        draw.rounded_rectangle((x, y - 8, x + 22, y + 8), 3, outline=color, width=3)
        draw_text(draw, (x + 32, y), name, 17, MUTED, anchor="lm")
        x += 32 + int(draw.textlength(name, ImageFont.load_default(size=17))) + 36
    for step in range(90):
        red, green, blue = (int(np.interp(step / 30, range(4), HEAT[:, channel])) for channel in range(3))
        draw.line((x + step, y - 8, x + step, y + 8), fill=(red, green, blue))
    draw_text(
        draw, (x + 102, y), "Saliency, low to high: what led the classifier to its result", 17, MUTED, anchor="lm"
    )
    note = "Saliency is no lesion segmentation. Patient's right on the viewer's left."
    draw_text(draw, (at[0], y + 32), f"{note} {RESEARCH_USE}.", 15, MUTED, anchor="lm")
