"""The whole header of a DICOM file as pydicom reads it, and whether its pixel data are all there.

So is read what the scan's own walk doesn't know, and what is asked for later. Whatever a file holds, reading it raises
no error but the system's.
"""

import math
import zlib
from typing import Any

from pydicom import DataElement, dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from groundglass.dicomio.reading.attributes import number, text

PIXEL_DATA = 0x7FE00010
_TRANSFER_SYNTAX = 0x00020010

_PIXEL_TAGS = (PIXEL_DATA, 0x7FE00008, 0x7FE00009)
"""Pixel Data, and those of Parametric Maps in floating point numbers."""

_UNCOMPRESSED = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)

_DEFERRED = "2 KB"
"""Longer values stay in the file until they are asked for: pixel data and the large private elements."""

BLOCK = 1 << 14
"""Bytes read at a time: the whole header of most CT images."""

_LARGEST_INFLATED = 1 << 26
"""64 MiB: what a deflated file may inflate to. A CT image takes 0.5 to 8 MiB, and a few bytes can claim gigabytes."""

UNDEFINED = 0xFFFFFFFF


def read_whole(path: str) -> FileDataset | None:
    """The file as pydicom reads it, pixel data deferred; None where it can't."""
    with open(path, "rb") as file:
        has_preamble = file.read(132)[128:] == b"DICM"
    header = _parse(path, has_preamble, stop_before_pixels=False)
    if header is None or not any(tag in header for tag in _PIXEL_TAGS):
        # pydicom drops the whole header when compressed pixel data have no end: without them it can be read.
        header = _parse(path, has_preamble, stop_before_pixels=True) or header
    if header is not None and not text(header.file_meta, "TransferSyntaxUID"):
        # In place of whatever the file has there: an element of another value representation takes no UID.
        header.file_meta[_TRANSFER_SYNTAX] = DataElement(_TRANSFER_SYNTAX, "UI", _implied_syntax(header))
    return header


def _parse(path: str, has_preamble: bool, stop_before_pixels: bool) -> FileDataset | None:
    """The file read by pydicom; None where it raises an error."""
    options: dict[str, Any] = {"force": not has_preamble, "stop_before_pixels": stop_before_pixels}
    try:
        if _inflates_too_far(path, has_preamble):
            return None
        header = dcmread(path, defer_size=_DEFERRED, **options)
        if text(header.file_meta, "TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            # A deferred value is looked up at its place in the file, which the inflated data set does not have.
            header = dcmread(path, **options)
        return header
    except Exception:  # Garbage makes parsers fail in any way; the caller names the file and the reason.
        return None


def _inflates_too_far(path: str, has_preamble: bool) -> bool:
    """Whether a deflated file holds more than may be inflated; nothing is kept of what is inflated to find out."""
    with open(path, "rb") as file:
        read_preamble(file, force=not has_preamble)
        meta = _read_file_meta_info(file)
        if text(meta, "TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
            return False
        inflater, total, rest = zlib.decompressobj(-zlib.MAX_WBITS), 0, b""
        while total <= _LARGEST_INFLATED:
            rest = rest or file.read(BLOCK)
            inflated = len(inflater.decompress(rest, 1 << 20))
            rest, total = inflater.unconsumed_tail, total + inflated
            if inflater.eof or (not rest and not inflated and not (rest := file.read(BLOCK))):
                return False
        return True


def _implied_syntax(header: Dataset) -> UID:
    is_implicit, is_little_endian = header.original_encoding[:2]
    if is_implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if is_little_endian else ExplicitVRBigEndian


def is_cut(header: FileDataset, size: int) -> bool:
    """Whether pixel data that the header promises are missing or end too early in a file of `size` bytes."""
    if PIXEL_DATA not in header:
        has_other_pixels = any(tag in header for tag in _PIXEL_TAGS)
        return (text(header, "Modality") == "CT" or "Rows" in header) and _is_image(header) and not has_other_pixels
    element: Any = header.get_item(PIXEL_DATA, keep_deferred=True)
    if element.value is not None:
        present = len(element.value)
    elif element.length == UNDEFINED:
        return False  # pydicom has walked the fragments to the sequence delimiter to get here
    else:
        present = element.length
        if size - element.value_tell < present:
            return True
    return is_too_short(header, text(header.file_meta, "TransferSyntaxUID"), present)


def is_too_short(header: Dataset, syntax: str, length: int) -> bool:
    """Whether `length` bytes of pixel data are fewer than the header promises."""
    return length == 0 if syntax not in _UNCOMPRESSED else length < _expected_bytes(header)


def _is_image(header: Dataset) -> bool:
    sop_class = text(header, "SOPClassUID")
    return not sop_class or "Image" in UID(sop_class).name


def _expected_bytes(header: Dataset) -> int:
    """Length of uncompressed pixel data (PS3.3 C.7.6.3); 0 where the header does not say."""
    sizes = [number(header, name) or 0 for name in ("Rows", "Columns", "BitsAllocated")]
    counts = [number(header, name) or 1 for name in ("SamplesPerPixel", "NumberOfFrames")]
    bits = math.prod(int(item) for item in (*sizes, *counts))  # whole numbers have no largest one
    return -(-bits // 8)
