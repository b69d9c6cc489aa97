"""One compressed frame, before a decoder gets it: is it whole, of the right size, and where does it end?

Decoders take memory for whatever size a codestream claims, end the process where there isn't any, and make up the rest
of an image that is cut. What lies behind the end of a codestream says nothing of it: archives and compressors pad, with
zeros or whatever was in memory.
"""

import re
import struct
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

_JPEG, _JPEG_2000 = b"\xff\xd8", b"\xff\x4f\xff\x51"
_BOXES = b"\0\0\0\x0cjP  \r\n\x87\n"
"""The beginning of a JP2 file, which holds a codestream in a box (ISO/IEC 15444-1 I.5.1); not allowed, but met."""
_END = b"\xff\xd9"
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers that are alone: TEM, RST0 to RST7, SOI."""
_RESTART, _MARKER = re.compile(rb"\xff[\xd0-\xd7]"), re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""Of a restart, and any other, in the data of a scan."""
_NO_DATA = re.compile(rb"\xff[\x90-\xff]")
"""What the data of a JPEG 2000 tile-part never hold."""
_RESTART_INTERVAL, _LOSSLESS_FRAME = 0xDD, 0xC3
_LAST_ALIKE = 4
"""Bytes alike that may be the last ones of data."""
_LAST_DATA = 8
"""Bytes; more than is left of a last byte, or padded."""
_SCAN, _JPEG_LS_FRAME, _TILE_PART, _DATA = 0xDA, 0xF7, 0x90, 0x93


def whole_codestream(frame: bytes, size: tuple[int, int]) -> bytes:
    """The JPEG, JPEG-LS or JPEG 2000 codestream of a frame, from its first marker to its last.

    Args:
        frame: as the file has it.
        size: `(row, col)` by the header.

    Raises:
        ValueError: the codestream must not be decoded: its header is missing, or it has another size or no end. Its
            text says so of several.
    """
    if frame.startswith(_BOXES):
        frame = frame[max(frame.find(_JPEG_2000), 0) :]
    is_jpeg_2000 = frame.startswith(_JPEG_2000)
    own_size = (_jpeg_2000_size if is_jpeg_2000 else _jpeg_size)(frame)
    if own_size is None:
        raise ValueError("their data don't begin with the header of a JPEG, JPEG-LS or JPEG 2000 codestream")
    if own_size != size:
        raise ValueError("their codestreams have another size than the headers say")
    unpadded = frame.rstrip(b"\0")
    if unpadded.endswith(_END):
        return unpadded  # nearly all do, and a walk through all its data takes a tenth of the time that decoding does
    end = (_jpeg_2000_end if is_jpeg_2000 else _jpeg_end)(frame)
    if end is None:
        raise ValueError("their codestreams have no end")
    if end < 0:
        # The first zero may be of the data; more than those that it needs a decoder of JPEG-LS refuses.
        end = len(unpadded) + (not _is_jpeg_ls(frame))
    return frame[:end].removesuffix(_END) + _END  # which some writers leave out


def without_filling(rle: bytes) -> bytes:
    """An RLE frame without what fills it up, zeros or FF: a decoder would take those for pixels that were cut.

    Hardly an encoder writes so many alike, since RLE has runs for them (PS3.5 G.3.1).
    """
    for filling in (b"\0", b"\xff"):
        data = rle.rstrip(filling)
        if len(rle) - len(data) > 2 * _LAST_ALIKE:
            return data + filling * (_LAST_ALIKE + len(data) % 2)
    return rle


def lengthened(codestream: bytes, size: tuple[int, int]) -> bytes:
    """A JPEG codestream with more entropy-coded data before its end, which no decoder needs unless data are missing.

    They make noise of an image: a byte for each pixel, since a decoder walks over what it doesn't need too.
    """
    found = _MARKER.search(codestream, _scan_of(codestream))
    end = found.start() if found else len(codestream)
    # FF may stand before a marker any number of times: not part of the data.
    return codestream[:end].rstrip(b"\xff") + _noise(size[0] * size[1]) + _END


def shortened(codestream: bytes) -> bytes:
    """A codestream without its last entropy-coded data, which a whole one needs."""
    return codestream[: -len(_END) - _LAST_DATA] + _END


def _is_jpeg_ls(codestream: bytes) -> bool:
    return any(marker == _JPEG_LS_FRAME for marker, _ in _segments(codestream))


@lru_cache(maxsize=2)
def _noise(length: int) -> bytes:
    return bytes(np.random.default_rng(0).integers(0, 255, length, np.uint8))  # not FF, which begins a marker


def has_all_restarts(codestream: bytes, size: tuple[int, int]) -> bool:
    """Whether a JPEG codestream of one component has as many restart intervals as its size needs (B.2.4.4).

    Where none are announced, nothing is missing.
    """
    interval, side = 0, 8
    for marker, at in _segments(codestream):
        if marker == _RESTART_INTERVAL:
            interval = int.from_bytes(codestream[at + 4 : at + 6], "big")
        elif marker == _LOSSLESS_FRAME:
            side = 1  # of a data unit: a lossless one is a pixel
    if not interval:
        return True
    units = -(-size[0] // side) * -(-size[1] // side)
    return len(_RESTART.findall(codestream, _scan_of(codestream))) >= -(-units // interval) - 1


def _segments(codestream: bytes) -> Iterator[tuple[int, int]]:
    """The markers before the data of a JPEG codestream, that of its scan included, and where they are."""
    at, marker = 2, 0
    while marker != _SCAN and at + 4 <= len(codestream) and codestream[at] == 0xFF:
        marker = codestream[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        yield marker, at
        at += 2 + int.from_bytes(codestream[at + 2 : at + 4], "big")


def _scan_of(codestream: bytes) -> int:
    """Where the data of the scan begin; the end of a codestream without any."""
    for marker, at in _segments(codestream):
        if marker == _SCAN:
            return at + 2 + int.from_bytes(codestream[at + 2 : at + 4], "big")
    return len(codestream)


def _jpeg_2000_size(codestream: bytes) -> tuple[int, int] | None:
    """Rows and columns by SOC and SIZ (ISO/IEC 15444-1 A.5.1)."""
    if len(codestream) < 24:
        return None
    right, bottom, left, top = struct.unpack(">4L", codestream[8:24])
    return bottom - top, right - left


def _jpeg_2000_end(codestream: bytes) -> int | None:
    """Behind EOC, or where it should be, from one tile-part to the next by their lengths (ISO/IEC 15444-1 A.4.2).

    None where there is none, and data may be missing.
    """
    at, is_last = 2, False
    while codestream[at : at + 1] == b"\xff":
        if codestream[at : at + 2] == _END:
            return at + 2
        if at + 12 > len(codestream):  # cut within the header, or whatever lies behind the data
            break
        if codestream[at + 1] != _TILE_PART:
            at += 2 + int.from_bytes(codestream[at + 2 : at + 4], "big")
            continue
        length = int.from_bytes(codestream[at + 6 : at + 10], "big")
        if length == 0:  # the last tile-part, up to EOC, which its data can't hold
            at = codestream.find(_END, codestream.find(bytes((0xFF, _DATA)), at))
            return at + 2 if at >= 0 else None
        tile_part, tile_parts = codestream[at + 10 : at + 12]
        is_last = tile_part + 1 == tile_parts
        at += max(length, 12)
    is_one_tile = codestream[8:16] == codestream[24:32]
    is_there = is_last and is_one_tile and at <= len(codestream)
    return at if is_there and not _is_filled_up(codestream, at) else None


def _is_filled_up(codestream: bytes, at: int) -> bool:
    """Whether a JPEG 2000 codestream whose data should end at `at`, without EOC, may be one that was cut, and padded.

    A few zeros may be data, more hardly are. After FF there is nothing above 8F in data (ISO/IEC 15444-1 B.10.1).
    """
    data = codestream[codestream.rfind(bytes((0xFF, _DATA)), 0, at) + 2 : at]
    is_padded = data.endswith(bytes(_LAST_ALIKE + 1)) or bool(codestream[at:].strip(b"\0"))
    return is_padded or _NO_DATA.search(data) is not None


def _jpeg_size(codestream: bytes) -> tuple[int, int] | None:
    """Rows and columns by the frame header (ISO/IEC 10918-1 B.2.2, ISO/IEC 14495-1 C.2.2)."""
    for marker, at in _segments(codestream) if codestream[:2] == _JPEG else ():
        is_frame = marker == _JPEG_LS_FRAME or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC))
        if is_frame and at + 9 <= len(codestream):
            rows, columns = struct.unpack(">HH", codestream[at + 5 : at + 9])
            return rows, columns
    return None


def _jpeg_end(codestream: bytes) -> int | None:
    """Behind EOI, from one marker to the next (ISO/IEC 10918-1 B.1.1).

    -1 where the data of a scan go on to the end of the codestream, None where anything else does.
    """
    at, is_jpeg_ls = 2, False
    while at >= 0 and codestream[at : at + 1] == b"\xff" and at + 2 <= len(codestream):
        marker = codestream[at + 1]
        if marker == 0xD9:
            return at + 2
        if marker == 0xFF:
            at += 1
            continue
        if marker in _WITHOUT_LENGTH:
            at += 2
            continue
        is_jpeg_ls |= marker == _JPEG_LS_FRAME
        at += 2 + int.from_bytes(codestream[at + 2 : at + 4], "big")
        if marker == _SCAN:
            at = _marker_after(codestream, at, 0x80 if is_jpeg_ls else 0x01)
    return -1 if at < 0 else None


def _marker_after(codestream: bytes, at: int, lowest: int) -> int:
    """Where the entropy-coded data that begin at `at` end: at a marker that is none of a restart; -1 if nowhere.

    In them FF is followed by 00 (ISO/IEC 10918-1 B.1.1.5), in JPEG-LS by a byte whose highest bit is zero (ISO/IEC
    14495-1 A.1): by less than `lowest`.
    """
    while (at := codestream.find(b"\xff", at)) >= 0 and at + 1 < len(codestream):
        follower = codestream[at + 1]
        if follower == 0xFF:
            at += 1
        elif follower < lowest or 0xD0 <= follower <= 0xD7:
            at += 2
        else:
            return at
    return -1
