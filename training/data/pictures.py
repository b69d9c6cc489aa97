"""8-bit pictures of CT slices (PNG or JPEG, any size) as the classifier's input.

They carry neither HU nor pixel size: each archive exports with its own window, crops and borders as it likes. So
nothing here depends on a source. Uniform borders are trimmed, the shipped lung network finds the lungs on the single
axial slice, and the grey range is stretched so that aerated lung and soft tissue come out as they do in slices in HU.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from scipy import ndimage

from groundglass.method.classifier_network import INPUT_SIZE
from groundglass.method.lung_network import LungUNet
from groundglass.method.lung_regions import SMALL_PIECE
from groundglass.method.lung_segmentation import predict_planes
from groundglass.method.slice_input import LungSquare
from groundglass.presets import SHIPPED
from training.data.lung_images import PLANE_SIZE
from training.data.slices import SliceSet

AERATED_QUANTILE, AERATED_GREY = 0.2, 0.10
"""Where aerated lung lies: the darker fifth of the lung stays aerated even in severe disease. In 270 normalised slices
in HU of the six COVID-CT-MD patients, lung_slices, LUNA16 and Lung-PET-CT-Dx this quantile is .08 to .11, by source."""
SOFT_GREY = 0.74
"""Where soft tissue lies: the median of what is bright outside the lungs, .68 to .77 in the same slices."""
LEAST_LUNG = 0.02
"""Part of the picture below which a find is not taken for lungs."""
LEAST_CONTRAST = 8.0
"""Grey values between lung and soft tissue at the least, so that a blank picture stays blank."""


class PictureRefused(ValueError):
    """A picture can't be read, or is not an 8-bit one."""


@dataclass(frozen=True)
class Picture:
    """One picture as the classifier's input.

    Attributes:
        grey: int16 `(224, 224)`, the picture's own values.
        lung: bool, same shape; the whole picture where no lungs were found.
        window: values that become 0 and 1.
        found: whether lungs were found.
    """

    grey: np.ndarray
    lung: np.ndarray
    window: tuple[float, float]
    found: bool


def has_8_bits(image: Image.Image) -> bool:
    """Whether a picture, opened but not read yet, has no more than 8 bits a channel.

    Pillow reads 16 bits of colour, or of grey with transparency, as their upper 8 without a word.
    """
    tiles = getattr(image, "tile", ())  # of an image that comes from a file
    return not image.mode.startswith(("I", "F")) and not any(";16" in str(tile[3]) for tile in tiles)


def read_picture(path: Path) -> np.ndarray:
    """Grey values of a PNG or JPEG, uint8 `(row, col)`; transparent parts are black.

    Raises:
        PictureRefused: it can't be read, or has more than 8 bits a channel.
    """
    try:
        with Image.open(path) as image:
            if not has_8_bits(image):
                raise PictureRefused(f"The picture {path.name} has more than 8 bits a pixel: export it with 8 bits.")
            if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
                shown = image.convert("RGBA")
                black = Image.new("RGBA", shown.size, (0, 0, 0, 255))
                return np.asarray(Image.alpha_composite(black, shown).convert("L"))
            return np.asarray(image.convert("L"))
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        if isinstance(error, PictureRefused):
            raise
        raise PictureRefused(f"The picture {path.name} can't be read: it is damaged, or no PNG or JPEG.") from error


def trim_borders(grey: np.ndarray, tolerance: int = 8) -> np.ndarray:
    """`grey` without the uniform rows and columns at its edges; a picture that is uniform stays whole."""
    rows, columns = (np.nonzero(np.ptp(grey, axis=axis) > tolerance)[0] for axis in (1, 0))
    if not len(rows) or not len(columns):
        return grey
    return grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _surround(grey: np.ndarray) -> float:
    """What lies beyond the picture: the body where it fills the frame to its corners, else air.

    The lung network needs a chest wall around lungs. But a bright frame around a whole body would enclose its air.
    """
    rows, columns = (max(length // 12, 1) for length in grey.shape)
    corners = (grey[:rows, :columns], grey[:rows, -columns:], grey[-rows:, :columns], grey[-rows:, -columns:])
    bright = float(np.percentile(grey, 99))
    return bright if min(corner.mean() for corner in corners) > (float(grey.min()) + bright) / 2 else 0.0


def find_lungs(network: LungUNet, grey: np.ndarray) -> np.ndarray:
    """Lungs on one slice, bool `(row, col)`, the shape of `grey`; the axial view alone, no volume is needed."""
    surround = _surround(grey)
    margin = 0.05 if surround else 0.0
    frame = round(max(grey.shape) * (1 + margin))
    square = LungSquare((grey.shape[0] - frame) // 2, (grey.shape[1] - frame) // 2, frame, frame)
    cut = torch.from_numpy(square.cut(grey.astype(np.float32), surround))[None, None]
    mode = "area" if frame > PLANE_SIZE else "bilinear"
    plane = torch.nn.functional.interpolate(cut, (PLANE_SIZE, PLANE_SIZE), mode=mode)[0].numpy()
    probability = predict_planes(network, plane, SHIPPED.lungs.windows.for_range_of(plane))[0]
    lungs = square.paste(probability, (grey.shape[0], grey.shape[1]), smooth=True) > 0.5
    regions, count = ndimage.label(lungs)
    sizes = np.bincount(regions.ravel(), minlength=count + 1)
    # What reaches a corner is the air around the body.
    sizes[[0, regions[0, 0], regions[0, -1], regions[-1, 0], regions[-1, -1]]] = 0
    large = np.asarray(sizes >= max(SMALL_PIECE * sizes.max(), 1))
    return large[regions]  # small separate regions are bowel gas or noise


def place_window(grey: np.ndarray, lung: np.ndarray) -> tuple[float, float]:
    """The grey values that become 0 and 1, so that aerated lung and soft tissue lie where they lie in slices in HU.

    Args:
        grey: `(row, col)`.
        lung: bool, same shape, not empty.
    """
    aerated = float(np.quantile(grey[lung], AERATED_QUANTILE))
    bright = float(np.percentile(grey, 99))
    tissue = grey[~lung & (grey > (aerated + bright) / 2)]
    # Where the lungs have been cut out, their vessels are the only soft tissue left.
    soft = float(np.median(tissue)) if len(tissue) > 0.01 * grey.size else float(np.percentile(grey[lung], 99))
    width = max(soft - aerated, LEAST_CONTRAST) / (SOFT_GREY - AERATED_GREY)
    low = aerated - AERATED_GREY * width
    return low, low + width


def prepare_views(network: LungUNet, grey: np.ndarray) -> dict[str, Picture]:
    """One slice as the classifier's input, in two views.

    Args:
        network: finds the lungs.
        grey: uint8 `(row, col)`, any size.

    Returns:
        `lungs`, the square around the lungs, and `whole`, the whole picture stretched to a square. Where less than
        LEAST_LUNG of the picture is lung, `found` is false and `lungs` is a square around the whole picture.
    """
    grey = trim_borders(grey)
    lung = find_lungs(network, grey)
    found = bool(lung.mean() >= LEAST_LUNG)
    if found:
        window = place_window(grey, lung)
    else:
        lung = np.ones_like(lung)
        window = place_window(grey, grey <= (float(grey.min()) + float(np.percentile(grey, 99))) / 2)
    squares = {
        "lungs": LungSquare.around(lung, (1.0, 1.0), margin=0.04 if found else 0.0),
        "whole": LungSquare(0, 0, *grey.shape),
    }
    return {
        view: Picture(
            np.rint(square.resize(grey.astype(np.float32), _surround(grey))).astype(np.int16),
            square.resize(lung.astype(np.float32), 0.0) > 0.5,
            window,
            found,
        )
        for view, square in squares.items()
    }


def prepare_picture(network: LungUNet, grey: np.ndarray) -> Picture:
    """The square around the lungs of one slice; see `prepare_views`."""
    return prepare_views(network, grey)["lungs"]


def gather_pictures(pictures: Iterable[Picture]) -> tuple[SliceSet, np.ndarray]:
    """Pictures as a SliceSet, and whether lungs were found on each, bool `(slice,)`.

    The set's `hu` holds grey values and its `window` is in grey values; the pixel size is unknown (NaN).
    """
    items = list(pictures)
    blank = np.zeros((0, INPUT_SIZE, INPUT_SIZE))
    slices = SliceSet(
        np.stack([item.grey for item in items]) if items else blank.astype(np.int16),
        np.stack([item.lung for item in items]) if items else blank.astype(bool),
        np.array([item.window for item in items]).reshape(-1, 2),
        np.full(len(items), np.nan),
        np.arange(len(items)),
        np.full(len(items), np.nan),
    )
    return slices, np.array([item.found for item in items], dtype=bool)
