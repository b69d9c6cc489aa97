"""One slice as a person sees it: windowed, the patient's right on the viewer's left, with what was found drawn in.

Pictures carry text about the algorithm only, never about the patient.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from groundglass.domain.arrays import AnyArray, Coordinates, FloatMap, HounsfieldUnits, LabelMap, Picture, Scalar
from groundglass.domain.class_names import CLASS_NAMES, CLASSES
from groundglass.domain.findings import Box, Findings
from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG, CTVolume

WINDOW_CENTER_HU, WINDOW_WIDTH_HU = -600.0, 1500.0
KEY_IMAGE_WIDTH = 768
Color = tuple[int, int, int]
BACKGROUND: Color = (13, 16, 22)
CARD: Color = (23, 28, 37)
TEXT: Color = (236, 240, 246)
RIGHT_COLOR: Color = (86, 180, 233)
LEFT_COLOR: Color = (52, 199, 140)
BOX_COLOR: Color = (255, 214, 64)
HEAT = np.array([(150, 20, 60), (226, 60, 40), (252, 142, 30), (255, 226, 110)], np.float32)
_HEAT_ALPHA = 0.6


def draw_slice(
    hu_slice: HounsfieldUnits,
    lungs_slice: LabelMap,
    saliency_slice: FloatMap | None,
    boxes: Sequence[Box],
    title: str,
    width: int = KEY_IMAGE_WIDTH,
    aspect: float = 1.0,
    sides: str = "RL",
) -> Picture:
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
    draw_text(draw, (text_size * 0.6, size[1] / 2), sides[0], text_size, TEXT, anchor="lm", stroke=2)
    draw_text(draw, (size[0] - text_size * 0.6, size[1] / 2), sides[1], text_size, TEXT, anchor="rm", stroke=2)
    return np.asarray(_captioned(image, title, text_size) if title else image)


def draw_finding(volume: CTVolume, findings: Findings, index: int, width: int = KEY_IMAGE_WIDTH) -> Picture:
    """The source slice `index` with everything found on it, oriented for display; uint8 RGB `(row, col, 3)`."""
    shown = oriented(volume, findings, index)
    title = f"{slice_title(findings, index)}   |   Research use only"
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


def _letters(direction: Coordinates) -> str:
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


@dataclass(frozen=True)
class _Shown:
    """One slice oriented for display, `(row, col)`."""

    hu: HounsfieldUnits
    lungs: LabelMap
    saliency: FloatMap | None
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


def oriented(volume: CTVolume, findings: Findings, index: int) -> _Shown:
    """A slice and what was found on it, as a viewer shows it."""
    saliency = findings.saliency.get(index)
    boxes = [box for box in findings.boxes if box.slice_index == index]
    row_mm, column_mm = (volume.canonical_spacing_mm[axis] for axis in _shown_axes(volume))
    return _Shown(
        orient(volume, volume.hu[index]),
        orient(volume, findings.lungs[index]),
        None if saliency is None else orient(volume, saliency),
        [_oriented_box(volume, box, volume.hu.shape[1:]) for box in boxes],
        row_mm / column_mm,
    )


def orient(volume: CTVolume, array: NDArray[Scalar]) -> NDArray[Scalar]:
    """One slice `(row, col)` with the patient's right on the left, where the plane has a right."""
    slab = volume.to_canonical(array[None])
    return slab.squeeze(slab.shape.index(1))


def _oriented_box(volume: CTVolume, box: Box, shape: tuple[int, ...]) -> Box:
    covered = np.zeros(shape, bool)
    covered[box.row_min : box.row_max + 1, box.column_min : box.column_max + 1] = True
    shown = orient(volume, covered)
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    return replace(
        box, row_min=int(rows[0]), row_max=int(rows[-1]), column_min=int(columns[0]), column_max=int(columns[-1])
    )


def slice_title(findings: Findings, index: int) -> str:
    """Which slice it is, and what the classifier says of it."""
    title = f"Slice {index + 1} of {len(findings.lungs)}"
    for finding in findings.slices:
        if finding.index == index:
            best = int(np.argmax(finding.probabilities))
            title += f"   |   {CLASS_NAMES[CLASSES[best]]} {finding.probabilities[best]:.2f}"
    return title


def _resized(array: AnyArray, size: tuple[int, int]) -> FloatMap:
    image = Image.fromarray(np.ascontiguousarray(array, np.float32))
    return np.array(image.resize(size, Image.Resampling.BILINEAR))


def _outline(mask: FloatMap) -> FloatMap:
    """Opacity 0 to 1 of a smooth line, about 1.5 pixels wide, where a resized mask crosses one half."""
    smooth = ndimage.gaussian_filter(mask, 1.0)
    slope = np.hypot(*np.gradient(smooth))
    distance = np.abs(smooth - 0.5) / np.maximum(slope, 1e-3)
    return np.where(slope > 0.02, np.clip(1.3 - distance, 0.0, 1.0), 0.0)


def _blend(picture: FloatMap, opacity: FloatMap, color: Color) -> None:
    picture += opacity[..., None] * (np.asarray(color, np.float32) - picture)


def _blend_heat(picture: FloatMap, heat: FloatMap) -> None:
    position = heat * (len(HEAT) - 1)
    color = np.stack([np.interp(position, np.arange(len(HEAT)), HEAT[:, channel]) for channel in range(3)], axis=-1)
    picture += (_HEAT_ALPHA * np.sqrt(heat))[..., None] * (color - picture)


def draw_text(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    size: float,
    color: Color,
    anchor: str = "ls",
    stroke: int = 0,
) -> None:
    """Text in the font that comes with Pillow, so that a picture is the same on every machine."""
    font = ImageFont.load_default(size=size)
    draw.text(at, text, color, font, anchor=anchor, stroke_width=stroke, stroke_fill=BACKGROUND)


def _captioned(image: Image.Image, title: str, text_size: int) -> Image.Image:
    band = 2 * text_size
    page = Image.new("RGB", (image.width, image.height + band), CARD)
    page.paste(image)
    draw_text(ImageDraw.Draw(page), (text_size * 0.8, image.height + band / 2), title, text_size, TEXT, anchor="lm")
    return page
