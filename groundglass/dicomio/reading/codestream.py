"""One compressed frame, before a decoder gets it: is it whole, of the right size, and where does it end?

Decoders take memory for whatever size a codestream claims, end the process where there isn't any, and make up the rest
of an image that is cut. What lies behind the end of a codestream says nothing of it: archives and compressors pad, with
zeros or whatever was in memory.
"""

import struct

_JPEG, _JPEG_2000 = b"\xff\xd8", b"\xff\x4f\xff\x51"
_BOXES = b"\0\0\0\x0cjP  \r\n\x87\n"
"""The beginning of a JP2 file, which holds a codestream in a box (ISO/IEC 15444-1 I.5.1); not allowed, but met."""
_END = b"\xff\xd9"
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers that are alone: TEM, RST0 to RST7, SOI."""
_SCAN, _JPEG_LS_FRAME, _TILE_PART, _DATA = 0xDA, 0xF7, 0x90, 0x93


def whole_codestream(frame: bytes, size: tuple[int, int]) -> bytes:
    """The JPEG, JPEG-LS or JPEG 2000 codestream of a frame, from its first marker to its last.

    Args:
        frame: as the file has it.
        size: `(row, col)` by the header.

    Raises:
        ValueError: the codestream must not be decoded: it has another size, or no end. Its text says so of several.
    """
    if frame.startswith(_BOXES):
        frame = frame[max(frame.find(_JPEG_2000), 0) :]
    is_jpeg_2000 = frame.startswith(_JPEG_2000)
    if (_jpeg_2000_size if is_jpeg_2000 else _jpeg_size)(frame) != size:
        raise ValueError("their codestreams have another size than the headers say")
    if frame.rstrip(b"\0").endswith(_END):
        return frame  # nearly all do, and a walk through all its data takes a tenth of the time that decoding does
    end = (_jpeg_2000_end if is_jpeg_2000 else _jpeg_end)(frame)
    if end is None:
        raise ValueError("their codestreams have no end")
    return frame[:end]


def has_bytes_behind(frame: bytes, codestream: bytes) -> bool:
    """Whether a frame goes on behind its codestream with more than the zeros that make its length even."""
    return not frame.rstrip(b"\0").endswith(codestream.rstrip(b"\0"))


def lengthened(codestream: bytes) -> bytes:
    """A JPEG codestream with more entropy-coded data before its end, which no decoder needs unless data are missing."""
    # FF may stand before a marker any number of times: not part of the data.
    return codestream[:-2].rstrip(b"\xff") + b"\x5a\x3c\xa5\x66\x0f\x99\x37\xc1" * 64 + _END


def _jpeg_2000_size(codestream: bytes) -> tuple[int, int] | None:
    """Rows and columns by SOC and SIZ (ISO/IEC 15444-1 A.5.1)."""
    if len(codestream) < 24:
        return None
    right, bottom, left, top = struct.unpack(">4L", codestream[8:24])
    return bottom - top, right - left


def _jpeg_2000_end(codestream: bytes) -> int | None:
    """Behind EOC, from one tile-part to the next by their lengths (ISO/IEC 15444-1 A.4.2); None where there is none."""
    at = 2
    while at + 4 <= len(codestream) and codestream[at] == 0xFF:
        if codestream[at : at + 2] == _END:
            break
        if codestream[at + 1] != _TILE_PART:
            at += 2 + int.from_bytes(codestream[at + 2 : at + 4], "big")
            continue
        length = int.from_bytes(codestream[at + 6 : at + 10], "big")
        if length == 0:  # the last tile-part, up to EOC, which its data can't hold
            at = codestream.find(_END, codestream.find(bytes((0xFF, _DATA)), at))
            break
        at += max(length, 12)
    if at >= 0 and codestream[at : at + 2] == _END:
        return at + 2
    return None


def _jpeg_size(codestream: bytes) -> tuple[int, int] | None:
    """Rows and columns by the frame header (ISO/IEC 10918-1 B.2.2, ISO/IEC 14495-1 C.2.2)."""
    at = 2
    while codestream[:2] == _JPEG and at + 9 <= len(codestream) and codestream[at] == 0xFF:
        marker = codestream[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker == _JPEG_LS_FRAME or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            rows, columns = struct.unpack(">HH", codestream[at + 5 : at + 9])
            return rows, columns
        else:
            at += 2 + int.from_bytes(codestream[at + 2 : at + 4], "big")
    return None


def _jpeg_end(codestream: bytes) -> int | None:
    """Behind EOI, from one marker to the next (ISO/IEC 10918-1 B.1.1); None where there is none."""
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
    return None


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
