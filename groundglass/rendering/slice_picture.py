"""One slice as a person sees it: windowed, the patient's right on the viewer's left, with what was found drawn in.

Pictures carry text about the algorithm only, never about the patient.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from groundglass.domain.arrays import Coordinates, LabelMap, Picture, Scalar
from groundglass.domain.findings import Findings
from groundglass.domain.statement import LIMITS, kind_sentence, state_sentence
from groundglass.domain.volume import CTVolume
from groundglass.rendering.drawing import (
    ON_CT,
    REGION_COLOR,
    SCREEN,
    UNLISTED_COLOR,
    draw_lines,
    draw_text,
    text_width,
    wrap,
)
from groundglass.rendering.outlines import Outline, region_outlines
from groundglass.rendering.slice_names import SliceNames, pneumonia_of, regions_on

WINDOW_CENTER_HU, WINDOW_WIDTH_HU = -600.0, 1500.0
_HALF_WIDTH, _GAP = 640, 12
KEY_IMAGE_WIDTH = 2 * _HALF_WIDTH + _GAP
_LINE_HEIGHT = 1.45
"""Of text, in its size."""


@dataclass(frozen=True)
class SlicePictures:
    """Slices of one study, all cut to the surroundings of its lungs.

    Attributes:
        volume: the CT.
        findings: what is drawn in.
        names: what its slices are called.
    """

    volume: CTVolume
    findings: Findings
    names: SliceNames
    _last: dict[tuple[int, tuple[int, int]], Image.Image] = field(default_factory=dict, repr=False, compare=False)
    """The slice without marks that was drawn last: a key image shows it with and without them."""

    @cached_property
    def _shown(self) -> tuple[slice, slice]:
        """Rows and columns of an oriented slice."""
        extent = orient(self.volume, self.findings.lungs.max(axis=0))
        return surroundings(extent.max(axis=1)), surroundings(extent.max(axis=0))

    @property
    def aspect(self) -> float:
        """Height of a picture over its width."""
        rows, columns = self._shown
        row_mm, column_mm = (self.volume.canonical_spacing_mm[axis] for axis in shown_axes(self.volume))
        height_mm, width_mm = (rows.stop - rows.start) * row_mm, (columns.stop - columns.start) * column_mm
        return float(height_mm / width_mm)

    def draw(self, index: int, width: int, marked: bool = True) -> Image.Image:
        """A slice in the lung window, RGB, with the patient's sides, and the outlines and numbers of its regions.

        Args:
            index: of the slice.
            width: of the picture in pixels.
            marked: whether regions are drawn.
        """
        rows, columns = self._shown
        hu = orient(self.volume, self.volume.hu[index])[rows, columns]
        size = (width, max(1, round(width * self.aspect)))
        if (index, size) not in self._last:
            self._last.clear()
            self._last[index, size] = windowed(hu, size)
        image = self._last[index, size].copy()
        if marked:
            self._mark(image, index, (size[0] / hu.shape[1], size[1] / hu.shape[0]))
        draw, text_size = ImageDraw.Draw(image), max(16, width // 26)
        sides = patient_sides(self.volume)
        top = text_size * 0.9  # in the corners, where the lungs aren't
        draw_text(draw, (text_size * 0.5, top), sides[0], text_size, ON_CT, anchor="lm", halo=2)
        draw_text(draw, (size[0] - text_size * 0.5, top), sides[1], text_size, ON_CT, anchor="rm", halo=2)
        return image

    def _mark(self, image: Image.Image, index: int, scale: tuple[float, float]) -> None:
        rows, columns = self._shown
        listed: dict[int, list[Coordinates]] = {}
        for outline in region_outlines(self.findings, index):
            points = (oriented_points(self.volume, outline) - (columns.start, rows.start)) * scale
            listed.setdefault(outline.region, []).append(points)
        line = max(1.5, image.width / 420)
        draw_lines(image, listed.pop(0, []), UNLISTED_COLOR, line * 0.6, halo=0.6)
        for lines in listed.values():
            draw_lines(image, lines, REGION_COLOR, line, halo=0.8)
        for number, lines in listed.items():
            number_region(image, str(number), max(lines, key=lambda points: np.ptp(points, axis=0).prod()))


def draw_key_image(pictures: SlicePictures, index: int) -> Picture:
    """The plain slice beside the marked one, with the study's conclusion above and the slice's data below.

    Returns:
        uint8 RGB `(row, col, 3)`, KEY_IMAGE_WIDTH wide. A slice without a region is shown once, and as plain.
    """
    findings, names = pictures.findings, pictures.names
    left = pictures.draw(index, _HALF_WIDTH, marked=False)
    where = regions_on(findings, index)
    right = pictures.draw(index, _HALF_WIDTH) if where else None
    prediction = findings.prediction
    kind = "" if prediction.state == "absent" else kind_sentence(prediction)
    width = KEY_IMAGE_WIDTH if right else _HALF_WIDTH
    room = width - 32
    above = [(line, 26) for line in wrap(f"{state_sentence(prediction)} {kind}", 26, room)]
    facts = filter(None, (names.place(index), where, pneumonia_of(findings, index)))
    below = [(line, 26) for line in wrap(" · ".join(facts), 26, room)]
    below += [(line, 18) for text in (names.note, LIMITS) for line in wrap(text, 18, room)]
    top = _text_height(above)
    page = Image.new("RGB", (width, top + left.height + _text_height(below)), SCREEN.background)
    page.paste(left, (0, top))
    if right:
        page.paste(right, (_HALF_WIDTH + _GAP, top))
    draw = ImageDraw.Draw(page)
    _write_lines(draw, above, 0)
    _write_lines(draw, below, top + left.height)
    return np.asarray(page)


def _text_height(lines: Sequence[tuple[str, int]]) -> int:
    return round(sum(_LINE_HEIGHT * size for _, size in lines)) + 12


def _write_lines(draw: ImageDraw.ImageDraw, lines: Sequence[tuple[str, int]], top: float) -> None:
    y = top + 6
    for text, size in lines:
        y += _LINE_HEIGHT * size
        draw_text(draw, (16, y - 0.4 * size), text, size, SCREEN.text if size > 20 else SCREEN.muted)


def windowed(hu: NDArray[np.generic], size: tuple[int, int]) -> Image.Image:
    """Hounsfield units `(row, col)` in the lung window, as an RGB picture of `(width, height)` pixels."""
    gray = (np.asarray(hu, np.float32) - (WINDOW_CENTER_HU - WINDOW_WIDTH_HU / 2)) * (255.0 / WINDOW_WIDTH_HU)
    image = Image.fromarray(np.clip(gray, 0.0, 255.0).astype(np.uint8))
    return image.resize(size, Image.Resampling.BICUBIC).convert("RGB")


def number_region(image: Image.Image, number: str, outline: Coordinates) -> None:
    """A region's number at the upper right of its outline `(point, 2)`, or where the picture has room for it."""
    size = max(18, image.width // 22)
    x, y = outline[np.argmax(outline[:, 0] - outline[:, 1])] + (0.2 * size, -0.1 * size)
    x = min(max(x, 2), image.width - text_width(number, size) - 4)
    draw_text(ImageDraw.Draw(image), (x, max(y, 0.9 * size)), number, size, REGION_COLOR, halo=2)


def surroundings(occupied: LabelMap, margin_fraction: float = 0.06) -> slice:
    """The part of an axis that is occupied, with a margin; all of it where nothing is."""
    where = np.flatnonzero(occupied)
    if where.size == 0:
        return slice(0, occupied.size)
    margin = round(margin_fraction * occupied.size)
    return slice(max(0, int(where[0]) - margin), min(occupied.size, int(where[-1]) + 1 + margin))


def patient_orientation(volume: CTVolume) -> tuple[str, str]:
    """Where rows and columns of a drawn slice lead in the patient: Patient Orientation (PS3.3 C.7.6.1.1.1).

    L and P for an axial source. An oblique one has further letters, those of the directions that lead there as well.
    """
    row_axis, column_axis = shown_axes(volume)
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


def shown_axes(volume: CTVolume) -> tuple[int, ...]:
    """The two axes of the canonical view that a source slice spans: first that of its rows as drawn, top to bottom."""
    thickness_axis = volume.to_canonical(volume.hu[:1]).shape.index(1)
    return tuple(axis for axis in range(3) if axis != thickness_axis)


def orient(volume: CTVolume, array: NDArray[Scalar]) -> NDArray[Scalar]:
    """One slice `(row, col)` with the patient's right on the left, where the plane has a right."""
    slab = volume.to_canonical(array[None])
    return slab.squeeze(slab.shape.index(1))


def oriented_points(volume: CTVolume, outline: Outline) -> Coordinates:
    """Points `(point, 2)` of a source slice, column and row, as column and row of the slice that `orient` gives."""
    rows, columns = volume.hu.shape[1:]
    moved = orient(volume, np.arange(4).reshape(2, 2))
    start = np.argwhere(moved == 0)[0]
    is_turned = moved[start[0], 1 - start[1]] == 2  # the source's rows run across the picture
    points = outline.points[:, ::-1].copy() if is_turned else outline.points.copy()
    far_edge = (rows, columns) if is_turned else (columns, rows)
    for axis in (0, 1):
        if start[1 - axis]:
            points[:, axis] = far_edge[axis] - points[:, axis]
    return points


def key_slices(findings: Findings, count: int) -> list[int]:
    """The `count` slices most worth showing: the best of each listed region, in their order, then the most telling.

    Of the others, explained slices with the largest salient areas come first, then those with the most lung. Neighbours
    are taken only when nothing else is left, so that the pictures cover the whole of what was found. Fewer are given
    where the volume has fewer.
    """
    chosen = list(dict.fromkeys(region.best_slice for region in findings.regions))[:count]
    lung_area = np.array([np.count_nonzero(plane) for plane in findings.lungs])
    salient_area = np.zeros_like(lung_area)
    if findings.salient is not None:
        explained = sorted(findings.saliency)
        salient_area[explained] = [np.count_nonzero(findings.salient[index]) for index in explained]
    others: list[int] = []
    for area in (salient_area, lung_area, np.ones_like(lung_area)):
        candidates = [int(index) for index in np.argsort(-area, kind="stable") if area[index] > 0]
        if not candidates:
            continue
        gap = max(1, (max(candidates) - min(candidates) + 1) // (count + 1))
        while len(chosen) + len(others) < count and gap >= 1:
            for index in candidates:
                taken = [*chosen, *others]
                if len(taken) < count and all(abs(index - other) >= gap for other in taken):
                    others.append(index)
            gap //= 2
    return [*chosen, *sorted(others)]
