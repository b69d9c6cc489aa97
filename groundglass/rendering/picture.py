"""Pictures a person understands at a glance: single slices with the findings drawn in, and a preview of a whole study.

Pictures follow the radiological convention, the patient's right on the viewer's left, and carry text about the
algorithm only, never about the patient.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from groundglass.domain.class_names import CLASS_NAMES, CLASSES
from groundglass.domain.findings import Box, Findings
from groundglass.domain.software import RESEARCH_USE
from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG, CTVolume

WINDOW_CENTER_HU, WINDOW_WIDTH_HU = -600.0, 1500.0
KEY_IMAGE_WIDTH = 768

Color = tuple[int, int, int]
BACKGROUND: Color = (13, 16, 22)
CARD: Color = (23, 28, 37)
TRACK: Color = (45, 53, 67)
TEXT: Color = (236, 240, 246)
MUTED: Color = (150, 161, 178)
RIGHT_COLOR: Color = (86, 180, 233)
LEFT_COLOR: Color = (52, 199, 140)
BOX_COLOR: Color = (255, 214, 64)
WARNING: Color = (240, 120, 72)
CLASS_COLORS: dict[str, Color] = {"np": (106, 190, 140), "cap": (240, 176, 72), "covid19": (238, 106, 96)}
_HEAT = np.array([(150, 20, 60), (226, 60, 40), (252, 142, 30), (255, 226, 110)], np.float32)
_HEAT_ALPHA = 0.6


def draw_slice(
    hu_slice: np.ndarray,
    lungs_slice: np.ndarray,
    saliency_slice: np.ndarray | None,
    boxes: Sequence[Box],
    title: str,
    width: int = KEY_IMAGE_WIDTH,
    aspect: float = 1.0,
    sides: str = "RL",
) -> np.ndarray:
    """One slice in the lung window with lung outlines, saliency and boxes, as uint8 RGB `(row, col, 3)`.

    Args:
        hu_slice: Hounsfield units `(row, col)`, oriented for display.
        lungs_slice: lung labels on the same grid.
        saliency_slice: 0 to 1 on the same grid, or None; shown inside the lungs only.
        boxes: in the pixel coordinates of `hu_slice`.
        title: a short line about the algorithm's result, written below the slice; no room is kept for an empty one.
        width: of the picture in pixels.
        aspect: height of a pixel over its width.
        sides: letters of the patient's sides at the left and at the right edge.
    """
    size = (width, max(1, round(width * aspect * hu_slice.shape[0] / hu_slice.shape[1])))
    gray = np.clip((hu_slice - (WINDOW_CENTER_HU - WINDOW_WIDTH_HU / 2)) / WINDOW_WIDTH_HU, 0.0, 1.0)
    picture = np.repeat(_resized(gray * 255.0, size)[..., None], 3, axis=2)

    if saliency_slice is not None:
        inside = np.where(lungs_slice > 0, np.clip(saliency_slice, 0.0, 1.0), 0.0)
        _blend_heat(picture, _resized(inside, size) * (_resized(lungs_slice > 0, size) >= 0.5))
    for lung, color in ((RIGHT_LUNG, RIGHT_COLOR), (LEFT_LUNG, LEFT_COLOR)):
        _blend(picture, _outline(_resized(lungs_slice == lung, size)), color)

    image = Image.fromarray(picture.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    scale_x, scale_y = size[0] / hu_slice.shape[1], size[1] / hu_slice.shape[0]
    for box in boxes:
        edges = (box.column_min * scale_x, box.row_min * scale_y)
        far_edges = ((box.column_max + 1) * scale_x - 1, (box.row_max + 1) * scale_y - 1)
        far_edges = (
            max(edges[0], far_edges[0]),
            max(edges[1], far_edges[1]),
        )
        draw.rectangle((*edges, *far_edges), outline=BOX_COLOR, width=max(1, width // 380))
    text_size = max(14, width // 40)
    _text(draw, (text_size * 0.6, size[1] / 2), sides[0], text_size, TEXT, anchor="lm", stroke=2)
    _text(draw, (size[0] - text_size * 0.6, size[1] / 2), sides[1], text_size, TEXT, anchor="rm", stroke=2)
    return np.asarray(_captioned(image, title, text_size) if title else image)


def draw_finding(volume: CTVolume, findings: Findings, index: int, width: int = KEY_IMAGE_WIDTH) -> np.ndarray:
    """The source slice `index` with everything found on it, oriented for display; uint8 RGB `(row, col, 3)`."""
    shown = _oriented(volume, findings, index)
    title = f"{_slice_title(findings, index)}   |   Research use only"
    sides = patient_sides(volume)
    return draw_slice(shown.hu, shown.lungs, shown.saliency, shown.boxes, title, width, shown.aspect, sides)


def patient_orientation(volume: CTVolume) -> tuple[str, str]:
    """Where rows and columns of a drawn slice lead in the patient: Patient Orientation (PS3.3 C.7.6.1.1.1).

    L and P for an axial source. An oblique one has further letters, those of the directions that lead there as well.
    """
    row_axis, column_axis = _shown_axes(volume)
    along_rows, along_columns = volume.canonical_directions[[column_axis, row_axis]]
    return _letters(along_rows), _letters(along_columns)


def patient_sides(volume: CTVolume) -> str:
    """The sides at the left and the right edge of a drawn slice: RL, or AP for a sagittal source."""
    right = patient_orientation(volume)[0][0]
    return {"L": "R", "R": "L", "P": "A", "A": "P", "F": "H", "H": "F"}[right] + right


_AXIS_LETTERS = (("R", "L"), ("A", "P"), ("F", "H"))
"""Toward falling and toward growing patient coordinates x, y and z."""
_SLANT = 0.02
"""Direction cosine from which a further letter is worth it: about a degree."""


def _letters(direction: np.ndarray) -> str:
    axes = [axis for axis in np.argsort(-np.abs(direction), kind="stable") if abs(direction[axis]) > _SLANT]
    return "".join(_AXIS_LETTERS[axis][int(direction[axis] > 0)] for axis in axes)


def _shown_axes(volume: CTVolume) -> tuple[int, ...]:
    """The two axes of the canonical view that a source slice spans: first that of its rows as drawn, top to bottom."""
    thickness_axis = volume.to_canonical(volume.hu[:1]).shape.index(1)
    return tuple(axis for axis in range(3) if axis != thickness_axis)


def telling_slices(findings: Findings, count: int) -> list[int]:
    """The `count` slices most worth showing, in slice order; fewer where the volume has fewer.

    First come the explained slices with the largest salient areas, then those with the most lung. Neighbours are taken
    only when nothing else is left, so that the pictures cover the whole of what was found.
    """
    lung_area = np.count_nonzero(findings.lungs, axis=(1, 2))
    salient_area = np.zeros_like(lung_area)
    if findings.salient is not None:
        explained = sorted(findings.saliency)
        salient_area[explained] = [np.count_nonzero(findings.salient[index]) for index in explained]

    chosen: list[int] = []
    for area in (salient_area, lung_area, np.ones_like(lung_area)):
        candidates = [int(index) for index in np.argsort(-area, kind="stable") if area[index] > 0]
        if not candidates:
            continue
        gap = max(1, (max(candidates) - min(candidates) + 1) // (count + 1))
        while len(chosen) < count and gap >= 1:
            for index in candidates:
                if len(chosen) < count and all(abs(index - other) >= gap for other in chosen):
                    chosen.append(index)
            gap //= 2
    return sorted(chosen)


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


@dataclass(frozen=True)
class _Shown:
    """One slice oriented for display, `(row, col)`."""

    hu: np.ndarray
    lungs: np.ndarray
    saliency: np.ndarray | None
    boxes: list[Box]
    aspect: float

    def cropped(self, rows: slice, columns: slice) -> "_Shown":
        boxes = [
            replace(
                box,
                row_min=box.row_min - rows.start,
                row_max=box.row_max - rows.start,
                column_min=box.column_min - columns.start,
                column_max=box.column_max - columns.start,
            )
            for box in self.boxes
        ]
        saliency = None if self.saliency is None else self.saliency[rows, columns]
        return _Shown(self.hu[rows, columns], self.lungs[rows, columns], saliency, boxes, self.aspect)


def _oriented(volume: CTVolume, findings: Findings, index: int) -> _Shown:
    saliency = findings.saliency.get(index)
    boxes = [box for box in findings.boxes if box.slice_index == index]
    row_mm, column_mm = (volume.canonical_spacing_mm[axis] for axis in _shown_axes(volume))
    return _Shown(
        _orient(volume, volume.hu[index]),
        _orient(volume, findings.lungs[index]),
        None if saliency is None else _orient(volume, saliency),
        [_oriented_box(volume, box, volume.hu.shape[1:]) for box in boxes],
        row_mm / column_mm,
    )


def _orient(volume: CTVolume, array: np.ndarray) -> np.ndarray:
    slab = volume.to_canonical(array[None])
    return slab.squeeze(slab.shape.index(1))


def _oriented_box(volume: CTVolume, box: Box, shape: tuple[int, ...]) -> Box:
    covered = np.zeros(shape, bool)
    covered[box.row_min : box.row_max + 1, box.column_min : box.column_max + 1] = True
    shown = _orient(volume, covered)
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    return replace(
        box, row_min=int(rows[0]), row_max=int(rows[-1]), column_min=int(columns[0]), column_max=int(columns[-1])
    )


def _slice_title(findings: Findings, index: int) -> str:
    title = f"Slice {index + 1} of {len(findings.lungs)}"
    for finding in findings.slices:
        if finding.index == index:
            best = int(np.argmax(finding.probabilities))
            title += f"   |   {CLASS_NAMES[CLASSES[best]]} {finding.probabilities[best]:.2f}"
    return title


def _head_first(volume: CTVolume, indices: Sequence[int]) -> list[int]:
    return sorted(indices, key=lambda index: -(volume.affine @ (index, 0, 0, 1))[2])


def _tile(volume: CTVolume, findings: Findings, index: int, width: int) -> np.ndarray:
    """A slice cropped to the surroundings of the lungs, which are the same in all tiles of a study."""
    extent = _orient(volume, findings.lungs.max(axis=0))
    rows, columns = _surroundings(extent.max(axis=1)), _surroundings(extent.max(axis=0))
    shown = _oriented(volume, findings, index).cropped(rows, columns)
    title, sides = _slice_title(findings, index), patient_sides(volume)
    return draw_slice(shown.hu, shown.lungs, shown.saliency, shown.boxes, title, width, shown.aspect, sides)


def _surroundings(occupied: np.ndarray, margin_fraction: float = 0.07) -> slice:
    where = np.flatnonzero(occupied)
    if where.size == 0:
        return slice(0, occupied.size)
    margin = round(margin_fraction * occupied.size)
    return slice(max(0, int(where[0]) - margin), min(occupied.size, int(where[-1]) + 1 + margin))


def _resized(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    image = Image.fromarray(np.ascontiguousarray(array, np.float32))
    return np.array(image.resize(size, Image.Resampling.BILINEAR))


def _outline(mask: np.ndarray) -> np.ndarray:
    """Opacity 0 to 1 of a smooth line, about 1.5 pixels wide, where a resized mask crosses one half."""
    smooth = ndimage.gaussian_filter(mask, 1.0)
    slope = np.hypot(*np.gradient(smooth))
    distance = np.abs(smooth - 0.5) / np.maximum(slope, 1e-3)
    return np.where(slope > 0.02, np.clip(1.3 - distance, 0.0, 1.0), 0.0)


def _blend(picture: np.ndarray, opacity: np.ndarray, color: Color) -> None:
    picture += opacity[..., None] * (np.asarray(color, np.float32) - picture)


def _blend_heat(picture: np.ndarray, heat: np.ndarray) -> None:
    position = heat * (len(_HEAT) - 1)
    color = np.stack([np.interp(position, np.arange(len(_HEAT)), _HEAT[:, channel]) for channel in range(3)], axis=-1)
    picture += (_HEAT_ALPHA * np.sqrt(heat))[..., None] * (color - picture)


def _text(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    size: float,
    color: Color,
    anchor: str = "ls",
    stroke: int = 0,
) -> None:
    font = ImageFont.load_default(size=size)
    draw.text(at, text, color, font, anchor=anchor, stroke_width=stroke, stroke_fill=BACKGROUND)


def _captioned(image: Image.Image, title: str, text_size: int) -> Image.Image:
    band = 2 * text_size
    page = Image.new("RGB", (image.width, image.height + band), CARD)
    page.paste(image)
    _text(ImageDraw.Draw(page), (text_size * 0.8, image.height + band / 2), title, text_size, TEXT, anchor="lm")
    return page


def _badge(draw: ImageDraw.ImageDraw, center: tuple[float, float], text: str) -> None:
    x, y = center
    draw.ellipse((x - 12, y - 12, x + 12, y + 12), fill=TEXT)
    _text(draw, (x, y), text, 15, BACKGROUND, anchor="mm")


def _rounded(tile: np.ndarray) -> Image.Image:
    image = Image.fromarray(tile)
    mask = Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, image.width - 1, image.height - 1), 10, fill=255)
    return Image.composite(image, Image.new("RGB", image.size, BACKGROUND), mask)


def _draw_header(draw: ImageDraw.ImageDraw, findings: Findings, frame: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = frame
    draw.rounded_rectangle(frame, 12, fill=CARD)
    draw.rounded_rectangle((left + 16, top + 34, left + 21, bottom - 16), 2, fill=CLASS_COLORS[findings.label])
    _text(draw, (left + 36, top + 48), "STUDY CLASSIFICATION", 15, MUTED)
    _text(draw, (left + 34, top + 108), CLASS_NAMES[findings.label], 50, TEXT)
    probability = findings.probabilities[CLASSES.index(findings.label)]
    _text(draw, (left + 36, top + 144), f"probability {probability:.2f}", 20, MUTED)
    draw.rounded_rectangle((left + 36, bottom - 44, left + 222, bottom - 16), 14, outline=WARNING, width=2)
    _text(draw, (left + 129, bottom - 30), "RESEARCH USE ONLY", 15, WARNING, anchor="mm")

    x, bar_left, bar_right = left + 420, left + 560, left + 850
    _text(draw, (x, top + 48), "PROBABILITIES", 15, MUTED)
    for row, (label, value) in enumerate(zip(CLASSES, findings.probabilities, strict=True)):
        y = top + 84 + row * 42
        _text(draw, (x, y), CLASS_NAMES[label], 18, TEXT if label == findings.label else MUTED, anchor="lm")
        draw.rounded_rectangle((bar_left, y - 8, bar_right, y + 8), 8, fill=TRACK)
        end = bar_left + max(16, round(value * (bar_right - bar_left)))
        draw.rounded_rectangle((bar_left, y - 8, end, y + 8), 8, fill=CLASS_COLORS[label])
        _text(draw, (bar_right + 18, y), f"{value:.2f}", 18, TEXT, anchor="lm")

    fraction = findings.salient_fraction
    slices = len({box.slice_index for box in findings.boxes})
    figures = [
        ("Lung volume", f"{findings.volume_ml:,.0f} ml{', cut' if findings.reach_border else ''}", TEXT),
        ("Right lung", f"{findings.right_ml:,.0f} ml", RIGHT_COLOR),
        ("Left lung", f"{findings.left_ml:,.0f} ml", LEFT_COLOR),
        ("Salient fraction", "not estimated" if fraction is None else f"{100 * fraction:.1f} %", TEXT),
        ("Salient lesions", f"{len(findings.lesions)} on {slices} slices" if findings.boxes else "none", TEXT),
    ]
    x = left + 980
    _text(draw, (x, top + 48), "MEASUREMENTS", 15, MUTED)
    for row, (name, value_text, color) in enumerate(figures):
        y = top + 76 + row * 27
        _text(draw, (x, y), name, 18, MUTED, anchor="lm")
        _text(draw, (right - 36, y), value_text, 18, color, anchor="rm")


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
    _text(draw, (left + 20, top + 34), "CORONAL OVERVIEW", 15, MUTED)
    _text(draw, (right - 20, top + 34), "EACH SLICE", 15, MUTED, anchor="rs")
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
        _text(draw, (name_x + 22, bottom - 27), CLASS_NAMES[label], 16, MUTED, anchor="lm")
        name_x += 22 + round(draw.textlength(CLASS_NAMES[label], ImageFont.load_default(size=16))) + 26


def _coronal_view(volume: CTVolume, findings: Findings, across: slice, width: int) -> np.ndarray:
    lungs = volume.to_canonical(findings.lungs)
    depth = int(np.count_nonzero(lungs, axis=(0, 2)).argmax())
    hu = volume.to_canonical(volume.hu)[:, max(0, depth - 2) : depth + 3, across].mean(axis=1)
    silhouette = lungs[:, depth, across]
    slice_mm, _, column_mm = volume.canonical_spacing_mm
    heat = None
    if findings.salient is not None and findings.salient.any():
        projected = volume.to_canonical(findings.salient)[:, :, across].mean(axis=1)
        # Few slices are explained: the blur shows them as areas and not as hairlines.
        heat = ndimage.gaussian_filter(projected, (5.0 / slice_mm, 3.0 / column_mm))
        heat = np.sqrt(heat / heat.max())
    return draw_slice(hu, silhouette, heat, [], "", width, slice_mm / column_mm)


def _draw_legend(draw: ImageDraw.ImageDraw, at: tuple[int, int]) -> None:
    x, y = at[0], at[1] + 14
    names = {"Right lung": RIGHT_COLOR, "Left lung": LEFT_COLOR, "Box around a salient region": BOX_COLOR}
    for name, color in names.items():
        draw.rounded_rectangle((x, y - 8, x + 22, y + 8), 3, outline=color, width=3)
        _text(draw, (x + 32, y), name, 17, MUTED, anchor="lm")
        x += 32 + int(draw.textlength(name, ImageFont.load_default(size=17))) + 36
    for step in range(90):
        red, green, blue = (int(np.interp(step / 30, range(4), _HEAT[:, channel])) for channel in range(3))
        draw.line((x + step, y - 8, x + step, y + 8), fill=(red, green, blue))
    _text(draw, (x + 102, y), "Saliency, low to high: what led the classifier to its result", 17, MUTED, anchor="lm")
    note = "Saliency is no lesion segmentation. Patient's right on the viewer's left."
    _text(draw, (at[0], y + 32), f"{note} {RESEARCH_USE}.", 15, MUTED, anchor="lm")
