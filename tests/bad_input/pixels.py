"""Bad pixels: every form that CT comes in, units that are none, headers that claim the impossible."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    JPEG2000Lossless,
    RLELossless,
)

from groundglass.domain.volume import CTVolume
from tests.bad_input.case import BadInput, Make, every, on, reads, refused, rejected, series, with_files
from tests.bad_input.series import CHEST, Chest, Edit, set_raw, set_stored

ALL, ONE = range(24), {12}
RIGHT = CHEST.truth


def stored(make_stored: object, indices: range | set[int] = ALL) -> Edit:
    """Other stored values: a number, or a function of the image's own `(row, col)` Hounsfield units."""

    def edit(image: Dataset, index: int) -> None:
        if index in indices:
            hu = CHEST.hu[index].astype(int)
            set_stored(image, make_stored(hu) if callable(make_stored) else np.full(hu.shape, make_stored))

    return edit


def rescaled_by_slice(image: Dataset, index: int) -> None:
    """A slope and an intercept of its own for each slice, as PET and some CT scanners write."""
    slope, intercept = 1 + index % 2, -1024 - 2 * index
    image.RescaleSlope, image.RescaleIntercept = slope, intercept
    set_stored(image, ((CHEST.hu[index] - intercept) // slope).astype(int))


def padded(value: int, limit: int | None = None, is_signed: bool = False) -> tuple[Make, CTVolume]:
    """The corners outside the reconstructed circle hold no measurement."""
    chest = replace(CHEST, is_signed=is_signed, intercept=0.0 if is_signed else -1024.0)

    def edit(image: Dataset, index: int) -> None:
        pixels = (CHEST.hu[index] - chest.intercept).astype(int)
        pixels[:2], pixels[-1] = value, value if limit is None else limit
        set_stored(image, pixels)
        image.add_new(0x00280120, "SS" if is_signed else "US", value)
        if limit is not None:
            image.add_new(0x00280121, "SS" if is_signed else "US", limit)

    hu = CHEST.hu.copy()
    hu[:, :2] = hu[:, -1] = -1024
    return series(edit, chest=chest), replace(RIGHT, hu=hu)


def allocated(bits: int, dtype: str) -> Make:
    """Pixels in another number of bits."""

    def edit(image: Dataset, index: int) -> None:
        image.BitsAllocated = image.BitsStored = bits
        image.HighBit = bits - 1
        values = CHEST.hu[index].astype(int) + 1024
        image.PixelData = (np.clip(values // 8, 0, 255) if bits == 8 else values).astype(dtype).tobytes()

    return series(edit)


def dirty_high_bits(image: Dataset, index: int) -> None:
    """Twelve bits are stored; the four above them hold an overlay (PS3.5 8.1.1)."""
    pixels = np.frombuffer(image.PixelData, "<u2") | 0x5000
    image.PixelData = pixels.tobytes()


def shifted(image: Dataset, index: int) -> None:
    """Twelve bits stored in the highest of sixteen, as old images have them."""
    every(BitsStored=12, HighBit=15)(image, index)
    image.PixelData = (np.frombuffer(image.PixelData, "<u2") << 4).tobytes()


def shifted_by_one(image: Dataset, index: int) -> None:
    """Twelve bits stored above one that isn't used, so that most values are as small as twelve bits allow."""
    every(BitsStored=12, HighBit=12)(image, index)
    image.PixelData = (np.frombuffer(image.PixelData, "<u2") << 1).tobytes()


def on_top(image: Dataset, index: int) -> None:
    """Thirteen bits stored, and a HighBit of fewer."""
    every(HighBit=10)(image, index)
    image.PixelData = (np.frombuffer(image.PixelData, "<u2") | (index == 12) << 12).tobytes()


def altered(syntax: UID, keyword: str, value: int) -> Make:
    """An attribute changed in compressed files, whose pixels stay what they are."""

    def spoil(files: list[Path]) -> None:
        for path in files:
            image = dcmread(path)
            set_raw(image, keyword, value)
            image.save_as(path, enforce_file_format=True)

    return with_files(spoil, syntax=syntax)


def frames(count: object, copies: int = 1) -> Make:
    """A number of frames in images that are single-frame by their SOP class."""

    def edit(image: Dataset, index: int) -> None:
        every(NumberOfFrames=count)(image, index)
        image.PixelData = image.PixelData * copies

    return series(edit)


def longer(count: int) -> Edit:
    """Bytes behind the pixels, in the same element."""

    def edit(image: Dataset, index: int) -> None:
        image.PixelData = image.PixelData + b"\7" * count

    return edit


def coloured(image: Dataset, index: int) -> None:
    """Three bytes a pixel."""
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", 0
    image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
    image.PixelData = bytes(3 * image.Rows * image.Columns)


def floating(image: Dataset, index: int) -> None:
    """Floating point pixels, as in parametric maps."""
    del image.PixelData
    image.FloatPixelData = CHEST.hu[index].astype("<f4").tobytes()


def enormous(rows: int, columns: int) -> Edit:
    """A header that claims a matrix of any size over the same few pixels."""
    return every(Rows=rows, Columns=columns)


def claiming(rows: int, columns: int) -> Make:
    """A header that claims a matrix of any size over the same compressed stream."""

    def spoil(files: list[Path]) -> None:
        for path in files:
            image = dcmread(path)
            image.Rows, image.Columns = rows, columns
            image.PixelSpacing = [300 / rows, 300 / columns]
            image.save_as(path, enforce_file_format=True)

    return with_files(spoil, syntax=RLELossless)


def bits_by_slice(image: Dataset, index: int) -> None:
    """As many bits as the largest value of each image needs, as one anonymiser writes."""
    bits = max(12, int(np.frombuffer(image.PixelData, "<u2").max()).bit_length()) + index % 5
    image.BitsStored, image.HighBit = bits, bits - 1


def airless(image: Dataset, index: int) -> None:
    """The last image shows the belly alone and a piece of metal, which takes a bit more."""
    bits = 12
    if index == 23:
        set_stored(image, AIRLESS.hu[index].astype(int) + 1024)
        bits = 13
    image.BitsStored, image.HighBit = bits, bits - 1


def without_air() -> CTVolume:
    """What `airless` shows."""
    hu = CHEST.hu.copy()
    hu[23] = np.where(hu[23] < -300, -80, hu[23])
    hu[23, 10:12, 15:17] = 3200
    return replace(RIGHT, hu=hu)


AIRLESS = without_air()
BLANK = replace(RIGHT, hu=np.where(np.arange(24)[:, None, None] == 12, -1024, RIGHT.hu).astype(np.int16))
BONE = np.random.default_rng(0).integers(300, 1500, CHEST.shape[1:])
_PADDED, _RANGE, _SIGNED = padded(0), padded(4000, 4010), padded(-2000, is_signed=True)

# fmt: off
CASES = tuple(
    BadInput("pixels", name, make, expected)
    for name, make, expected in (
        ("twelve bits in sixteen", series(chest=Chest(bits_stored=12)), reads()),
        ("an overlay in the bits above the stored ones", series(dirty_high_bits, chest=Chest(bits_stored=12)), reads()),
        ("signed", series(chest=Chest(is_signed=True, intercept=0.0)), reads()),
        ("signed, twelve bits in sixteen", series(chest=Chest(is_signed=True, intercept=0.0, bits_stored=12)), reads()),
        ("a slope of two", series(chest=Chest(slope=2.0)), reads()),
        ("a slope of a half", series(chest=Chest(slope=0.5)), reads()),
        ("a slope and an intercept of its own for each slice", series(rescaled_by_slice), reads()),
        ("no rescale", series(every(RescaleSlope=None, RescaleIntercept=None)), refused("NO_RESCALE")),
        ("no intercept in one image", series(on(ONE, RescaleIntercept=None)), refused("NO_RESCALE")),
        ("a slope in words", series(every(RescaleSlope="one")), refused("NO_RESCALE")),
        ("a slope that is not a number", series(every(RescaleSlope="NaN")), refused("NO_RESCALE")),
        ("a rescale type in small letters", series(every(RescaleType="hu")), reads()),
        ("a rescale type of modified Hounsfield units", series(every(RescaleType="HU_MOD")),
         refused("NO_RESCALE", "HU_MOD")),
        ("a rescale type of a unit of its own", series(every(RescaleType="planted")),
         refused("NO_RESCALE", "no term of the standard")),
        ("a rescale type that says nothing", series(every(RescaleType="UNSPECIFIED")), reads()),
        ("a slope of zero", series(every(RescaleSlope=0)), refused("NO_RESCALE")),
        ("a negative slope", series(every(RescaleSlope=-1)), refused("NOT_HU")),
        ("a slope of a million", series(every(RescaleSlope=1e6)), refused("NOT_HU")),
        ("a slope that overflows", series(every(RescaleSlope="1e999")), refused("NO_RESCALE")),
        ("an intercept of zero in one image", series(on(ONE, RescaleIntercept=0)), refused("NOT_HU", "in 1 images")),
        ("another slope in three images", series(on({3, 4, 5}, RescaleSlope=3)), refused("NOT_HU", "in 3 images")),
        ("another slope in most images, stored with the right one", series(on(range(4, 20), RescaleSlope=0.4)),
         refused("NOT_HU", "in 16 images")),
        ("bytes of padding behind the pixels", series(longer(60)), reads()),
        ("a row more than the header says", series(longer(64)), refused("PIXELS", "the size that the headers say")),
        ("an intercept with its digits in groups", series(every(RescaleIntercept="-1_024")), refused("NO_RESCALE")),
        ("an intercept left out of the values, none stored", series(every(RescaleIntercept=0)), refused("NOT_HU")),
        ("grey values from 0 to 255", series(stored(lambda hu: np.clip((hu + 1000) // 5, 0, 255))), refused("NOT_HU")),
        ("all zeros", series(stored(0)), refused("NOT_HU")),
        ("all air", series(stored(24)), refused("NOT_HU")),
        ("all the largest value", series(stored(65535)), refused("NOT_HU")),
        ("bone alone", series(stored(lambda hu: BONE + 1024)), refused("NOT_HU")),
        ("a metal implant beyond the range", series(stored(
            lambda hu: np.where(np.arange(32) == 16, 65535, hu + 1024))),
         reads(replace(RIGHT, hu=np.where(np.arange(32) == 16, 32767, CHEST.hu).astype(np.int16)))),
        ("padding", _PADDED[0], reads(_PADDED[1])),
        ("a range of padding", _RANGE[0], reads(_RANGE[1])),
        ("signed padding", _SIGNED[0], reads(_SIGNED[1])),
        ("MONOCHROME1", series(every(PhotometricInterpretation="MONOCHROME1")), reads()),
        ("colour", series(coloured), refused("PHOTOMETRIC")),
        ("a palette", series(every(PhotometricInterpretation="PALETTE COLOR")), refused("PHOTOMETRIC")),
        ("no photometric interpretation", series(every(PhotometricInterpretation=None)), refused("PHOTOMETRIC")),
        ("three samples a pixel in grey", series(every(SamplesPerPixel=3)), rejected("complete")),
        ("eight bits", allocated(8, "<u1"), refused("NOT_HU")),
        ("thirty-two bits", allocated(32, "<u4"), refused("PIXELS")),
        ("one bit allocated", series(every(BitsAllocated=1, BitsStored=1, HighBit=0)), refused("PIXELS")),
        ("eight bits stored in one image", series(on(ONE, BitsStored=8, HighBit=7)), refused("NOT_HU", "other bits")),
        ("another number of stored bits in each image", series(bits_by_slice), reads()),
        ("another number of stored bits in one image without air", series(airless), reads(AIRLESS)),
        ("an image that shows nothing", series(stored(0, ONE)), reads(BLANK, said="show nothing")),
        ("no bits stored", series(every(BitsStored=0)), refused("PIXELS")),
        ("more bits stored than allocated", series(every(BitsStored=20, HighBit=19)), refused("PIXELS")),
        ("a HighBit of sixteen bits, and values of twelve", series(every(BitsStored=12, HighBit=15)),
         reads(said="HighBit")),
        ("a HighBit of twelve bits, and sixteen stored", series(every(BitsStored=16, HighBit=11)),
         reads(said="HighBit")),
        ("a HighBit of twelve bits where the values have thirteen", series(on_top, chest=Chest(bits_stored=13)),
         refused("PIXELS", "HighBit is 10")),
        ("the stored bits are the highest", series(shifted), refused("PIXELS", "HighBit is 15")),
        ("the stored bits are the highest, one of two bits is used", series(shifted_by_one),
         refused("PIXELS", "HighBit is 12")),
        ("a HighBit below zero, signed", series(every(HighBit=65535), chest=Chest(is_signed=True, intercept=0.0)),
         reads(said="HighBit")),
        *((f"{keyword} {value} over JPEG 2000", altered(JPEG2000Lossless, keyword, value), refused("PIXELS", keyword))
          for keyword, value in (("BitsAllocated", 8224), ("BitsAllocated", 12), ("BitsAllocated", 0),
                                 ("BitsStored", 8224), ("SamplesPerPixel", 8224), ("SamplesPerPixel", 0),
                                 ("PixelRepresentation", 8224), ("NumberOfFrames", 8224))),
        ("no columns, over JPEG 2000", altered(JPEG2000Lossless, "Columns", 0), refused("TOO_LARGE")),
        ("8224 columns, over JPEG 2000", altered(JPEG2000Lossless, "Columns", 8224), refused("TOO_LARGE")),
        ("no bits allocated said", series(every(BitsAllocated=None)), refused("PIXELS")),
        ("no pixel representation", series(every(PixelRepresentation=None)), refused("PIXELS")),
        ("a pixel representation of seven", series(every(PixelRepresentation=7)), refused("PIXELS")),
        ("no pixels in one image", series(on(ONE, PixelData=None)), refused("DAMAGED_FILES")),
        ("empty pixels in one image", series(on(ONE, PixelData=b"")), refused("DAMAGED_FILES")),
        ("no pixels at all", series(every(PixelData=None)), rejected("complete")),
        ("floating point pixels", series(floating), refused("PIXELS")),
        ("two frames in each image", frames(2, copies=2), refused("PIXELS")),
        ("two frames promised, one there", frames(2), rejected("complete")),
        ("one frame, and it is said", frames(1), reads()),
        ("a negative number of frames", frames(-1), refused("PIXELS")),
        ("more frames promised than any number counts", frames("1e308"), rejected("complete")),
        ("two thousand million frames promised", frames(2_000_000_000), rejected("complete")),
        ("a matrix of four thousand million pixels promised", series(enormous(65535, 65535)), rejected("complete")),
        ("the same, compressed", claiming(65535, 65535), refused("TOO_LARGE")),
        ("a larger matrix promised than an RLE stream has", claiming(4000, 4000), refused("PIXELS")),
    )
)
# fmt: on


__all__ = ["CASES"]
