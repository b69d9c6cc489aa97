"""The pixels of one CT image in Hounsfield units (PS3.3 C.7.6.3 and C.11.1).

Plain pixels are read from the file straight into the volume, compressed ones decoded into it; what neither way knows
pydicom decodes. All of them give the stored bits, which one rescale turns into Hounsfield units.
"""

import hashlib
import os
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    UID,
    AllTransferSyntaxes,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from groundglass.dicomio.reading.attributes import number, text
from groundglass.dicomio.reading.codestream import whole_codestream, without_filling
from groundglass.dicomio.reading.codestream_decoding import (
    DECODERS,
    HUFFMAN,
    JPEG_2000,
    decode_whole,
    decoder_of,
    is_whole,
    needs_all,
)
from groundglass.dicomio.reading.frames import Frame
from groundglass.dicomio.reading.header import Header
from groundglass.domain.arrays import HounsfieldUnits

PADDING_HU = -1024
"""What pixels outside the reconstructed field become."""

StoredPixels = NDArray[np.uint16]
"""As they are in the file, whatever their sign; `(row, col)`."""

_ALLOCATED = (8, 16, 32)
"""Bits that images have for each pixel (PS3.5 8.1.1); others decoders refuse, or take for one of these."""

_PIXEL_TAGS = [
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData",
]  # fmt: skip


class UnreadablePixels(ValueError):
    """Why the pixels of an image can't be read.

    Attributes:
        problem: the end of a sentence about several such images, with a colon before it.
        remedy: a sentence that says what to do.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy


SEND_AGAIN = "Send the series again, uncompressed if the error stays."
_CORRECT = "Correct the headers at their source: to send the images uncompressed, or once more, doesn't help."


def read_slice_hu(header: Dataset, slice_hu: HounsfieldUnits) -> None:
    """Decode one image into `slice_hu`, int16 `(row, col)`; any error of a decoder comes through.

    Raises:
        UnreadablePixels: the header describes no pixels that can be read, or the codestream is not whole.
    """
    bits, is_signed = _stored_bits(header)
    slope, intercept = number(header, "RescaleSlope"), number(header, "RescaleIntercept")
    if slope is None or intercept is None:
        raise ValueError("There is no rescale.")
    stored = _stored(header, slice_hu, bits, is_signed)
    _check_high_bit(header, stored, bits, is_signed)
    _rescale(stored, slice_hu, bits, is_signed, slope, intercept, _padding(header, is_signed))


def _stored_bits(header: Dataset) -> tuple[int, bool]:
    """How many bits are stored, and whether they are signed (PS3.3 C.7.6.3.1)."""
    allocated, stored, samples = (number(header, name) for name in ("BitsAllocated", "BitsStored", "SamplesPerPixel"))
    representation = number(header, "PixelRepresentation")
    if representation not in (0, 1):
        raise UnreadablePixels("PixelRepresentation doesn't say whether the values are signed", _CORRECT)
    if stored is None or allocated is None:
        raise UnreadablePixels("BitsAllocated or BitsStored is missing or no number", _CORRECT)
    if allocated not in _ALLOCATED:
        raise UnreadablePixels(f"BitsAllocated is {allocated:g}, and 8, 16 or 32 bits are read", _CORRECT)
    if stored > 16 or not stored.is_integer():
        raise UnreadablePixels(f"BitsStored is {stored:g}, and whole numbers up to 16 are read", _CORRECT)
    if not 1 <= stored <= allocated:
        raise UnreadablePixels(f"BitsStored is {stored:g} where BitsAllocated is {allocated:g}", _CORRECT)
    if samples not in (None, 1):
        raise UnreadablePixels(f"SamplesPerPixel is {samples:g} where a CT image has one", _CORRECT)
    return int(stored), representation == 1


def high_bit_contradicts(header: Dataset) -> bool:
    """Whether HighBit isn't that of bits stored from the lowest one, as it has to be (PS3.3 C.7.6.3.1.2)."""
    high, stored = number(header, "HighBit"), number(header, "BitsStored")
    return high is not None and stored is not None and high != stored - 1


def _check_high_bit(header: Dataset, pixels: StoredPixels, bits: int, is_signed: bool) -> None:
    """Refuse pixels whose HighBit and BitsStored lead to different values.

    Writers that change one of the two forget the other. Where all values have no more bits than either number allows,
    and some use the lowest of them, the bits are the lowest ones and the values the same whichever number is right.
    """
    if not high_bit_contradicts(header):
        return
    high = number(header, "HighBit") or 0.0
    fewest, unused = int(max(0.0, min(bits, high + 1))), 2 ** int(max(0.0, min(high + 1, 16.0) - bits)) - 1
    has_low_bits = not unused or not pixels.any() or bool((pixels & unused).any())
    # Of signed values the bits above those stored may be the sign, or nothing.
    fit = fewest > 0 and (_fits(pixels, fewest, is_signed) or (fewest == bits and _fits(pixels, bits, False)))
    if not (fit and has_low_bits):
        problem = f"HighBit is {high:g} where BitsStored is {bits}, and the values don't tell which bits hold them"
        raise UnreadablePixels(problem, _CORRECT)


def has_values_within(header: Dataset, other_bits: float | None) -> bool:
    """Whether the values of an image are the same with another number of stored bits, because both hold them all."""
    room = np.empty((int(number(header, "Rows") or 0), int(number(header, "Columns") or 0)), np.int16)
    bits, is_signed = _stored_bits(header)
    return _fits(_stored(header, room, bits, is_signed), min(bits, int(other_bits or 0)), is_signed)


def readable_syntaxes() -> tuple[UID, ...]:
    """The transfer syntaxes whose pixels one way or the other decodes, in the order of PS3.5."""
    return tuple(syntax for syntax in AllTransferSyntaxes if syntax in DECODERS or _is_decoded_by_pydicom(syntax))


def _is_decoded_by_pydicom(syntax: UID) -> bool:
    try:
        return get_decoder(syntax).is_available
    except NotImplementedError:  # a video, for one
        return False


def transfer_syntax(header: Dataset) -> str:
    """The Transfer Syntax UID of an image; empty where it isn't known."""
    if isinstance(header, Frame):
        header = header.whole
    if isinstance(header, Header):
        syntax: str = header.syntax
        return syntax
    meta = getattr(header, "file_meta", None)
    return "" if meta is None else text(meta, "TransferSyntaxUID")


def pixel_digest(header: Dataset) -> bytes | None:
    """The SHA-256 of the pixel data as they are stored, of a frame as decoded; None where they can't be read."""
    image = header
    try:
        if isinstance(header, Frame):
            room = np.empty((int(number(header, "Rows") or 0), int(number(header, "Columns") or 0)), np.int16)
            return hashlib.sha256(_stored(header, room, 16, is_signed=False).tobytes()).digest()
        if getattr(header, "filename", None):
            image = dcmread(str(header.filename), force=True, specific_tags=["PixelData"])
        return hashlib.sha256(image.PixelData if "PixelData" in image else b"").digest()
    except Exception:  # Unreadable pixels are nobody's copy; decoding them will say what is wrong.
        return None


def _stored(header: Dataset, slice_hu: HounsfieldUnits, bits: int, is_signed: bool) -> StoredPixels:
    """The stored pixels, uint16 `(row, col)`, perhaps in the memory of `slice_hu`; bits above the stored ones count
    for nothing.
    """
    image, index = (header.whole, header.number - 1) if isinstance(header, Frame) else (header, 0)
    frames = int(number(image, "NumberOfFrames") or 1)
    if frames != 1 and image is header:
        raise UnreadablePixels(f"NumberOfFrames is {frames} where a CT image has one frame", _CORRECT)
    syntax = transfer_syntax(image)
    if isinstance(image, Header) and image.pixels and _is_plain(image) and syntax in _WALKED:
        place, length = image.pixels
        # Some writers pad to a block of the disk. A row or more may be another matrix than the header says.
        if not 0 <= length - frames * slice_hu.nbytes < max(2, slice_hu[0].nbytes):
            raise UnreadablePixels("the pixel data do not have the size that the headers say", _CORRECT)
        _read_into(image.filename, place + index * slice_hu.nbytes, slice_hu)
        return slice_hu.view(np.uint16)
    if syntax in _CODESTREAMS:
        frame = _frame_bytes(image, index, frames)
        try:
            codestream = whole_codestream(frame, (slice_hu.shape[0], slice_hu.shape[1]))
        except ValueError as error:
            raise UnreadablePixels(str(error), SEND_AGAIN) from error
        if syntax in HUFFMAN and not frame.startswith(codestream) and not needs_all(codestream, syntax):
            raise UnreadablePixels("their codestreams have no end, but data that are not of the image", SEND_AGAIN)
        if _is_plain(image) and syntax in DECODERS and _decode_into(codestream, syntax, slice_hu, bits, is_signed):
            return slice_hu.view(np.uint16)
        if syntax in HUFFMAN and not is_whole(codestream, syntax, (slice_hu.shape[0], slice_hu.shape[1])):
            raise UnreadablePixels("their codestreams end before the image does", SEND_AGAIN)
    if syntax in JPEG_2000:
        # Not pydicom's turn: GDCM ends the process over a codestream that is broken.
        stored = decoder_of(syntax)(codestream)
    elif syntax == RLELossless:
        stored = pixel_array(_of_one_frame(image, without_filling(_frame_bytes(image, index, frames))), raw=True)
    elif frames > 1:
        stored = pixel_array(getattr(image, "filename", None) or image, raw=True, index=index)
    else:
        if getattr(image, "filename", None):
            # A fresh, small data set, so that the caller's headers do not take up the pixels.
            meta = image.file_meta
            image = dcmread(str(image.filename), force=True, specific_tags=_PIXEL_TAGS)
            image.file_meta = meta
        stored = pixel_array(image, raw=True)
    if stored.shape != slice_hu.shape:
        raise ValueError("The pixel data are not one frame of the size in the header.")
    return stored.astype(np.int64).astype(np.uint16)


def _of_one_frame(image: Dataset, frame: bytes) -> Dataset:
    """A data set with a compressed frame as its only one, and what a decoder has to know of it."""
    one = Dataset()
    one.file_meta = image.file_meta
    for keyword in _PIXEL_TAGS[:-1]:
        if keyword in image and keyword != "NumberOfFrames":
            one[keyword] = image[keyword]
    one.PixelData = encapsulate([frame])
    return one


def _is_plain(header: Dataset) -> bool:
    return (number(header, "SamplesPerPixel") or 1) == 1 and number(header, "BitsAllocated") == 16


def _read_into(path: str, place: int, slice_hu: HounsfieldUnits) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        if os.preadv(file, [slice_hu.data.cast("B")], place) != slice_hu.nbytes:
            raise ValueError("The file is shorter than it was.")
    finally:
        os.close(file)


def _frame_bytes(image: Dataset, index: int, frames: int) -> bytes:
    """One compressed frame."""
    if isinstance(image, Header) and image.pixels:
        with open(image.filename, "rb") as file:
            file.seek(image.pixels[0])
            return get_frame(file, index, number_of_frames=frames)
    path = getattr(image, "filename", None)
    whole = dcmread(str(path), force=True, specific_tags=["PixelData"]) if path else image
    return get_frame(whole.PixelData, index, number_of_frames=frames)


def _decode_into(codestream: bytes, syntax: str, slice_hu: HounsfieldUnits, bits: int, is_signed: bool) -> bool:
    """Whether a compressed frame was decoded into `slice_hu`, whole, as bits that could be stored ones."""
    signed = is_signed and syntax in JPEG_2000
    target: NDArray[np.int16 | np.uint16] = slice_hu if signed else slice_hu.view(np.uint16)
    try:
        if syntax in HUFFMAN:
            if not decode_whole(codestream, syntax, slice_hu.view(np.uint16)):
                return False
        else:
            decoder_of(syntax)(codestream, out=target)
    except Exception:  # Decoders raise whatever they like; another's turn.
        return False
    return _fits(slice_hu, bits, False) or _fits(slice_hu, bits, is_signed)


_WALKED = frozenset({str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian)})
_CODESTREAMS = frozenset(map(str, DECODERS))


def _fits(stored: NDArray[np.integer], bits: int, is_signed: bool) -> bool:
    """Whether no value has more than the stored bits."""
    if is_signed:
        values = stored.view(np.int16)
        return bool(values.min() >= -(2 ** (bits - 1)) and values.max() < 2 ** (bits - 1))
    return bool(stored.view(np.uint16).max() < 2**bits)


def _rescale(
    stored: StoredPixels,
    slice_hu: HounsfieldUnits,
    bits: int,
    is_signed: bool,
    slope: float,
    intercept: float,
    padding: tuple[int, int] | None,
) -> None:
    """Stored pixels, uint16, to Hounsfield units; whole numbers within int16, the nearest ones.

    Nothing is thinner than air: what lies below `PADDING_HU` is padding that the header doesn't declare, as outside
    the circle of the reconstruction, or noise. There are enough such pixels to move the sliding window (II-B).

    The usual rescale only shifts, and an addition does it. Every other is looked up in a table of all 65,536 values.
    """
    if slope == 1 and intercept.is_integer() and padding is None and _fits(stored, bits, is_signed):
        values = stored.view(np.int16 if is_signed else np.uint16)
        if int(values.min()) + intercept >= -(2**15) and int(values.max()) + intercept < 2**15:
            # Modulo 65,536 on both sides, and the result is known to fit.
            np.add(stored.view(np.int16), np.int64(intercept).astype(np.int16), out=slice_hu)
            np.maximum(slice_hu, PADDING_HU, out=slice_hu)
            return
    slice_hu[...] = np.take(_table(bits, is_signed, slope, intercept, padding), stored, mode="clip")


@lru_cache(maxsize=32)
def _table(
    bits: int, is_signed: bool, slope: float, intercept: float, padding: tuple[int, int] | None
) -> HounsfieldUnits:
    """Hounsfield units, int16, of every pattern of 16 bits of which the lowest are stored ones."""
    values = np.arange(2**16) & (2**bits - 1)
    if is_signed:
        values = np.where(values >= 2 ** (bits - 1), values - 2**bits, values)
    limits = np.iinfo(np.int16)
    table: HounsfieldUnits = np.clip(np.rint(values * slope + intercept), PADDING_HU, limits.max).astype(np.int16)
    if padding is not None:
        table[(values >= padding[0]) & (values <= padding[1])] = PADDING_HU
    return table


def _padding(header: Dataset, is_signed: bool) -> tuple[int, int] | None:
    """First and last stored value that mean no measurement (PS3.3 C.7.5.1.1.2)."""
    first = number(header, "PixelPaddingValue")
    if first is None:
        return None
    last = number(header, "PixelPaddingRangeLimit")
    values = [int(first), int(first if last is None else last)]
    if is_signed:  # some writers give a signed value as an unsigned one
        values = [value - 2**16 if value >= 2**15 else value for value in values]
    else:
        values = [value + 2**16 if value < 0 else value for value in values]
    return min(values), max(values)
