"""Colours, text and lines of all pictures."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from groundglass.domain.arrays import Coordinates
from groundglass.domain.findings import State

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Palette:
    """The colours of a page; those of lines on CT are the same on every page."""

    background: Color
    card: Color
    line: Color
    text: Color
    muted: Color
    states: dict[State, Color]


SCREEN = Palette(
    background=(13, 16, 22),
    card=(23, 28, 37),
    line=(62, 71, 87),
    text=(240, 243, 248),
    muted=(170, 179, 194),
    states={"absent": (106, 190, 140), "indeterminate": (240, 176, 72), "present": (238, 106, 96)},
)
"""For a dark reading room."""
PAPER = Palette(
    background=(255, 255, 255),
    card=(244, 246, 248),
    line=(190, 197, 206),
    text=(16, 20, 26),
    muted=(78, 86, 98),
    states={"absent": (22, 120, 66), "indeterminate": (170, 104, 0), "present": (186, 36, 30)},
)
"""For a printer."""

REGION_COLOR: Color = (255, 214, 64)
UNLISTED_COLOR: Color = (206, 186, 128)
RIGHT_COLOR: Color = (86, 180, 233)
LEFT_COLOR: Color = (52, 199, 140)
ON_CT: Color = (236, 240, 246)
HALO: Color = (8, 10, 14)


@functools.cache
def font(size: float) -> ImageFont.FreeTypeFont:
    """The font that comes with Pillow, so that a picture is the same on every machine."""
    loaded = ImageFont.load_default(size=size)
    assert isinstance(loaded, ImageFont.FreeTypeFont)  # Pillow's wheels have FreeType  # noqa: S101
    return loaded


def draw_text(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    size: float,
    color: Color,
    anchor: str = "ls",
    halo: int = 0,
    bold: int = 0,
) -> None:
    """One line of text, with a dark rim of `halo` pixels where it stands on an image, or its strokes `bold` wider."""
    rim = HALO if halo else color
    draw.text(at, text, color, font(size), anchor=anchor, stroke_width=halo or bold, stroke_fill=rim)


def text_width(text: str, size: float) -> float:
    """In pixels."""
    return font(size).getlength(text)


def wrap(text: str, size: float, width: float) -> list[str]:
    """A text in lines, none wider than `width` unless a single word is."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def draw_lines(image: Image.Image, lines: Sequence[Coordinates], color: Color, width: float, halo: float = 0.0) -> None:
    """Smooth lines through points `(point, 2)` x and y, counted from the picture's top left corner.

    Args:
        image: drawn on.
        lines: open or closed.
        color: of the lines.
        width: in pixels.
        halo: width of a dark rim on either side, so that the lines stand out from what is bright as well.
    """
    if not lines:
        return
    points = np.concatenate(lines)
    margin = width + halo + 2
    left, top = (max(0, math.floor(least - margin)) for least in points.min(axis=0))
    right, bottom = (math.ceil(most + margin) for most in points.max(axis=0))
    size = min(right, image.width) - left, min(bottom, image.height) - top
    if min(size) < 1:
        return
    for drawn, across in ((HALO, width + 2 * halo), (color, width)) if halo else ((color, width),):
        mask = Image.new("L", (2 * size[0], 2 * size[1]))
        draw = ImageDraw.Draw(mask)
        for line in lines:
            places = 2 * (line - (left, top))
            draw.line(places.ravel().tolist(), fill=255, width=max(1, round(2 * across)), joint="curve")
        image.paste(drawn, (left, top), mask.reduce(2))
