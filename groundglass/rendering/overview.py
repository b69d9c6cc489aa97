"""The lungs from the front, with regions of all depths, where the shown slices lie, and how diseased each slice is."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from groundglass.domain.arrays import Coordinates, LabelMap, Mask
from groundglass.domain.findings import UNLISTED_REGION, Findings
from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG, CTVolume
from groundglass.rendering.drawing import (
    LEFT_COLOR,
    ON_CT,
    REGION_COLOR,
    RIGHT_COLOR,
    UNLISTED_COLOR,
    Palette,
    draw_lines,
    draw_text,
    text_width,
)
from groundglass.rendering.outlines import trace_outlines
from groundglass.rendering.slice_names import SliceNames
from groundglass.rendering.slice_picture import number_region, surroundings, windowed

_MARKER_SIZE = 22
_HEADING_SIZE = 21
_PROFILE_WIDTH = 118


class Frame(NamedTuple):
    """A rectangle of a page, in pixels."""

    left: int
    top: int
    right: int
    bottom: int


def draw_overview(
    page: Image.Image,
    volume: CTVolume,
    findings: Findings,
    names: SliceNames,
    indices: Sequence[int],
    frame: Frame,
    palette: Palette,
) -> None:
    """Draws into a frame of the page: the coronal view, a marker for each slice of `indices`, and the profile."""
    lungs = volume.to_canonical(findings.lungs)
    across = surroundings(lungs.max(axis=(0, 1)))
    slice_mm, _, column_mm = volume.canonical_spacing_mm
    numbers = [text_width(names.numbers[index], _MARKER_SIZE) for index in indices]
    markers_width = 56 + max(text_width(names.word, _HEADING_SIZE), *numbers)
    room = frame.right - frame.left - markers_width - _PROFILE_WIDTH
    top = frame.top + 46
    tall = lungs.shape[0] * slice_mm / ((across.stop - across.start) * column_mm)
    height = round(min(frame.bottom - 26 - top, room * tall))
    width = max(1, round(height / tall))
    draw = ImageDraw.Draw(page)
    draw_text(draw, (frame.left, frame.top + 28), "Seen from the front", _HEADING_SIZE, palette.muted)
    page.paste(_coronal_view(volume, findings, lungs, across, (width, height)), (frame.left, top))

    right = frame.left + width
    levels = {index: top + height * level for index, level in _levels(volume, len(findings.lungs)).items()}
    if not levels:
        return
    draw_text(draw, (right + 36, frame.top + 28), names.word, _HEADING_SIZE, palette.muted)
    _mark_slices(page, names, indices, levels, (frame.left, right), palette)
    left = round(right + markers_width)
    draw_text(draw, (left, frame.top + 28), "P(pneumonia)", _HEADING_SIZE, palette.muted)
    _draw_profile(page, findings, levels, Frame(left, top, left + _PROFILE_WIDTH, top + height), palette)


def _levels(volume: CTVolume, count: int) -> dict[int, float]:
    """Height of each slice in the coronal view, 0 at its top and 1 at its bottom; none where slices stand upright."""
    directions = volume.canonical_directions
    along = int(np.abs(directions @ volume.directions[0]).argmax())
    if along != 0:
        return {}
    downwards = float(directions[0] @ volume.directions[0]) > 0
    return {index: ((index if downwards else count - 1 - index) + 0.5) / count for index in range(count)}


def _coronal_view(
    volume: CTVolume, findings: Findings, lungs: LabelMap, across: slice, size: tuple[int, int]
) -> Image.Image:
    depth = int(np.count_nonzero(lungs[::2, :, ::4], axis=(0, 2)).argmax())
    hu = volume.to_canonical(volume.hu)[:, max(0, depth - 2) : depth + 3, across].mean(axis=1)
    image = windowed(hu, size)
    scale = np.array([size[0] / hu.shape[1], size[1] / hu.shape[0]])
    silhouette = lungs[:, depth, across]
    for lung, color in ((RIGHT_LUNG, RIGHT_COLOR), (LEFT_LUNG, LEFT_COLOR)):
        draw_lines(image, [line * scale for line in trace_outlines(silhouette == lung)], color, 1.3)
    if findings.salient is not None:
        _mark_regions(image, volume, findings, across, scale)
    draw, y = ImageDraw.Draw(image), size[1] / 2
    draw_text(draw, (8, y), "R", 22, ON_CT, anchor="lm", halo=2)
    draw_text(draw, (size[0] - 8, y), "L", 22, ON_CT, anchor="rm", halo=2)
    return image


def _mark_regions(image: Image.Image, volume: CTVolume, findings: Findings, across: slice, scale: Coordinates) -> None:
    shown = project_regions(volume, findings)
    largest: list[tuple[int, Coordinates]] = []
    for number in sorted(shown, reverse=True):  # the first regions last, on top
        lines = [line * scale for line in trace_outlines(shown[number][:, across])]
        is_listed = number != UNLISTED_REGION
        draw_lines(image, lines, REGION_COLOR if is_listed else UNLISTED_COLOR, 2.0 if is_listed else 1.0, halo=0.8)
        if is_listed and lines:
            largest.append((number, max(lines, key=lambda line: np.ptp(line, axis=0).prod())))
    for number, line in largest:
        size = np.ptp(line, axis=0)
        if size.min() < 2 * _MARKER_SIZE:
            number_region(image, str(number), line)
            continue
        x, y = line.min(axis=0) + size / 2
        draw_text(ImageDraw.Draw(image), (x, y), str(number), 26, REGION_COLOR, anchor="mm", halo=2)


def project_regions(volume: CTVolume, findings: Findings) -> dict[int, Mask]:
    """Each region seen from the front, `(slice, col)` of the canonical view; it spans the slices it leaps.

    Those that are not listed share a number: between two of them lies nothing.
    """
    slices: dict[int, set[int]] = {}
    for box in findings.boxes:
        slices.setdefault(box.region or UNLISTED_REGION, set()).add(box.slice_index)
    height, _, width = volume.to_canonical(findings.lungs).shape
    found = {number: np.zeros((height, width), bool) for number in slices}
    if findings.salient is None:
        return {}
    for number, indices in slices.items():
        spanned = indices if number == UNLISTED_REGION else range(min(indices), max(indices) + 1)
        for index in spanned:
            own = max(other for other in indices if other <= index)
            slab = volume.to_canonical((findings.salient[own] == number)[None]).any(axis=1)
            along = _canonical_place(volume, index)
            found[number][along] |= slab.reshape(found[number][along].shape)
    return found


def _canonical_place(volume: CTVolume, index: int) -> tuple[slice | int, slice | int]:
    """Where a slice lies in the view from the front: a row, a column, or all of it."""
    axis = int(np.abs(volume.canonical_directions @ volume.directions[0]).argmax())
    grows = float(volume.canonical_directions[axis] @ volume.directions[0]) > 0
    place = index if grows else len(volume.hu) - 1 - index
    return (place if axis == 0 else slice(None), place if axis == 2 else slice(None))


def _mark_slices(
    page: Image.Image,
    names: SliceNames,
    indices: Sequence[int],
    levels: dict[int, float],
    edges: tuple[int, int],
    palette: Palette,
) -> None:
    """A line at the true level of each slice, and a leader from its end to the slice's number beside the view."""
    draw = ImageDraw.Draw(page)
    left, right = edges
    indices = sorted(indices, key=lambda index: levels[index])
    ends = min(levels.values()), max(levels.values())
    places = spread([levels[index] for index in indices], _MARKER_SIZE * 1.25, *ends)
    for index, place in zip(indices, places, strict=True):
        level = levels[index]
        for start in range(left, right, 12):  # dashes, through which the lungs are seen
            draw.line((start, level, min(start + 4, right), level), fill=ON_CT, width=1)
        draw.line((right, level, right + 8, level, right + 26, place, right + 32, place), fill=palette.muted, width=2)
        draw_text(draw, (right + 36, place), names.numbers[index], _MARKER_SIZE, palette.text, anchor="lm")


def spread(levels: Sequence[float], distance: float, top: float, bottom: float) -> list[float]:
    """Places for labels of levels that grow: `distance` apart, from `top` to `bottom`, else as near as can be."""
    # Without the distances the places must only not fall: those that would are replaced by their mean.
    runs: list[tuple[float, int]] = []
    for number, level in enumerate(levels):
        runs.append((level - number * distance, 1))
        while len(runs) > 1 and runs[-2][0] > runs[-1][0]:
            (first, size), (second, other) = runs[-2:]
            runs[-2:] = [((first * size + second * other) / (size + other), size + other)]
    even = [place for place, size in runs for _ in range(size)]
    lowest = bottom - (len(even) - 1) * distance
    return [max(top, min(place, lowest)) + number * distance for number, place in enumerate(even)]


def _draw_profile(
    page: Image.Image, findings: Findings, levels: dict[int, float], frame: Frame, palette: Palette
) -> None:
    """The probability of pneumonia of each classified slice, from 0 to 1 to the right."""
    draw = ImageDraw.Draw(page)
    half = abs(frame.bottom - frame.top) / len(levels) / 2
    for finding in findings.slices:
        level = levels[finding.index]
        first = math.floor(level - half + 1e-6)
        last = max(first, math.floor(level + half + 1e-6) - 1)  # a row of pixels at least
        end = frame.left + round(finding.pneumonia_probability * (frame.right - frame.left))
        draw.rectangle((frame.left, first, end, last), fill=palette.muted)
    draw.line((frame.left, frame.top, frame.left, frame.bottom), fill=palette.text, width=1)
    draw.line((frame.right, frame.top, frame.right, frame.bottom), fill=palette.line, width=1)
    for x, text in ((frame.left, "0"), (frame.right, "1")):
        draw_text(draw, (x, frame.bottom + 22), text, 19, palette.muted, anchor="ms")
