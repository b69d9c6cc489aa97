"""The header of one DICOM file: what the scan needs of it at once, all the rest when it is asked for.

A header as pydicom reads it takes 0.5 ms and 50 kB, which 20,000 files of an archive's folder can't have. So the scan
walks over the elements of the file itself, keeps the few values by which series are told apart, chosen and checked, and
leaves the others in the file. What the walk doesn't know (big endian, deflated, anything odd) pydicom reads.
"""

import os
import struct
import sys
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import FileDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from groundglass.dicomio.reading.attributes import Kept, text
from groundglass.dicomio.reading.whole_header import BLOCK, PIXEL_DATA, UNDEFINED, is_cut, is_too_short, read_whole
from groundglass.domain.errors import Refusal
from groundglass.domain.refusals import RefusalCode

KEPT = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "PatientID",
    "Modality", "ImageType", "SeriesDescription", "BodyPartExamined", "ConvolutionKernel", "SliceThickness", "KVP",
    "ContrastBolusAgent", "AcquisitionNumber", "AcquisitionDateTime", "AcquisitionTime", "TemporalPositionIdentifier",
    "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns",
    "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleSlope", "RescaleIntercept",
    "RescaleType", "LossyImageCompression", "VolumetricProperties", "VolumeBasedCalculationTechnique",
)  # fmt: skip
"""What is kept of every file: all that scan, selection and geometry ask for."""

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)  # fmt: skip
"""Value representations with a length of four bytes (PS3.5 7.1.2)."""
_SHORT = frozenset(
    (
        b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
        b"ST", b"TM", b"UI", b"UL", b"US",
    )
)  # fmt: skip
_EXPLICIT, _IMPLICIT = struct.Struct("<HH2sH"), struct.Struct("<HHL")
_UINT32 = struct.Struct("<L")

_PLACES = {tag_for_keyword(keyword): place for place, keyword in enumerate(KEPT)}
_PLACE_OF = {keyword: place for place, keyword in enumerate(KEPT)}
_REPRESENTATIONS = tuple(dictionary_VR(keyword) for keyword in KEPT)


class Header(FileDataset, Kept):
    """The header of one file: a `Dataset` whose elements are read from the file when one is first asked for.

    `text`, `number` and `numbers` answer for the attributes of `KEPT` without reading the file.

    Attributes:
        filename: of the file.
        syntax: Transfer Syntax UID, or what the encoding implies where the file doesn't say.
        pixels: where the value of Pixel Data begins in the file, and its length: -1 where it is compressed. None where
            it isn't known, as in a deflated file.

    Raises:
        Refusal: UNREADABLE_HEADER, when something is asked of a header that only its beginning allows to read.
    """

    filename: str

    def __init__(self, path: str, syntax: str, kept: tuple[str, ...], pixels: tuple[int, int] | None) -> None:
        # Not the base class's: what it sets is read from the file when needed.
        self.__dict__.update(filename=path, syntax=syntax, pixels=pixels, _kept=kept)

    def __getattr__(self, name: str) -> Any:
        if "_dict" not in self.__dict__:
            try:
                whole = read_whole(self.__dict__["filename"])
            except OSError:
                whole = None
            if whole is None:
                raise Refusal(
                    RefusalCode.UNREADABLE_HEADER,
                    "The header of an image of the series can't be read to its end: the file is not valid, or it was "
                    "changed or removed since the folder was scanned. Send the series again, and leave its files alone "
                    "until the run has ended.",
                )
            self.__dict__.update({**whole.__dict__, "filename": self.__dict__["filename"]})
            return getattr(self, name)
        return super().__getattr__(name)

    def kept(self, keyword: str) -> str | None:
        """The text of an attribute of `KEPT`, until its elements are read."""
        own = self.__dict__
        place = _PLACE_OF.get(keyword)
        return None if place is None or "_dict" in own else own["_kept"][place]


def read_header(path: str, size: int, start: bytes) -> tuple[Header | None, bool]:
    """The header of a file of `size` bytes that begins with `start`, and whether the file ends before its pixels do.

    Of a file that is cut, or not valid, behind the UIDs of its series the header has what comes before. No header where
    pydicom can't read one either. No file, whatever it holds, raises an error.

    Raises:
        OSError: the file can't be read.
    """
    walk = _Walk(path, size, start)
    try:
        return walk.header()
    except (_Odd, struct.error):
        pass
    whole = read_whole(path)
    if whole is None:
        return walk.beginning(), True
    kept = tuple(sys.intern(text(whole, keyword)) for keyword in KEPT)
    syntax = text(whole.file_meta, "TransferSyntaxUID")
    return Header(path, syntax, kept, None), is_cut(whole, size)


class _Odd(Exception):
    """Something in the file that the walk leaves to pydicom."""


class _Walk:
    """One pass over the elements of a file in little endian, from its beginning to its pixel data."""

    filename: str

    def __init__(self, path: str, size: int, start: bytes) -> None:
        self._path, self._size = path, size
        self._block, self._block_at = start, 0
        self._file = -1
        self._syntax, self._values = "", [""] * len(KEPT)

    def header(self) -> tuple[Header, bool]:
        try:
            return self._header()
        finally:
            if self._file >= 0:
                os.close(self._file)

    def beginning(self) -> Header | None:
        """The values up to where the walk ended, if they tell which image of which series this is."""
        header = Header(self._path, self._syntax, tuple(map(sys.intern, self._values)), None)
        uids = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        return header if all(header.kept(uid) for uid in uids) else None

    def _header(self) -> tuple[Header, bool]:
        if self._block[128:132] != b"DICM":
            raise _Odd
        syntax, at = self._file_meta()
        self._syntax = syntax
        pixels = self._elements(at, syntax == ImplicitVRLittleEndian, self._values)
        kept = tuple(map(sys.intern, self._values))
        if pixels is None:
            raise _Odd  # pydicom finds out whether this is an image
        place, length = pixels
        header = Header(self._path, syntax, kept, pixels)
        end = self._end_of_fragments(place) if length < 0 else place + length
        if end is None or end > self._size:
            return header, True
        if 0 < self._tag(end) <= PIXEL_DATA:
            raise _Odd  # elements that should have come before: pydicom says which of two counts
        return header, length >= 0 and is_too_short(header, syntax, length)

    def _bytes(self, at: int, count: int) -> bytes:
        """`count` bytes of the file, fewer at its end."""
        start = at - self._block_at
        if start < 0 or start + count > len(self._block):
            if self._file < 0:
                self._file = os.open(self._path, os.O_RDONLY)
            # Never more than there is, whatever length an element claims: room for it is taken before anything is read.
            self._block = os.pread(self._file, min(max(count, BLOCK), self._size), at)
            self._block_at, start = at, 0
        return self._block[start : start + count]

    def _file_meta(self) -> tuple[str, int]:
        """The Transfer Syntax UID, and where the data set begins."""
        at, syntax = 132, ""
        while True:
            group, element, vr, length = _EXPLICIT.unpack(self._bytes(at, 8))
            if group != 2:
                break
            at += 8
            if vr in _LONG:
                (length,) = _UINT32.unpack(self._bytes(at, 4))
                at += 4
            elif vr not in _SHORT:
                raise _Odd
            if element == 0x10:
                syntax = self._bytes(at, length).decode("latin-1").strip(" \0")
            at += length
        is_known = syntax in _WALKED or (UID(syntax).is_transfer_syntax and UID(syntax).is_encapsulated)
        if not is_known:
            raise _Odd
        return sys.intern(syntax), at

    def _elements(self, at: int, is_implicit: bool, values: list[str]) -> tuple[int, int] | None:
        """Fills in the values of KEPT, up to the pixel data; where those begin, and their length, -1 if undefined."""
        last = 0
        while at + 8 <= self._size:
            tag, vr, length, at = self._element(at, is_implicit)
            if tag <= last:
                raise _Odd  # not sorted, or the end of an item that never began
            last = tag
            if tag == PIXEL_DATA:
                return at, -1 if length == UNDEFINED else length
            if tag > PIXEL_DATA:
                break
            if length == UNDEFINED:
                if vr not in (b"SQ", None):
                    raise _Odd
                at = self._sequence(at, is_implicit)
                continue
            place = _PLACES.get(tag)
            if place is not None:
                values[place] = _as_text(self._bytes(at, length), length, vr, _REPRESENTATIONS[place])
            at += length
        if at > self._size:
            raise _Odd  # cut: pydicom says where
        return None

    def _element(self, at: int, is_implicit: bool) -> tuple[int, bytes | None, int, int]:
        """Tag, value representation, length and place of the value of the element at `at`."""
        start = at - self._block_at
        if start < 0 or start + 12 > len(self._block):
            self._bytes(at, 12)
            start = at - self._block_at
        if is_implicit:
            group, element, length = _IMPLICIT.unpack_from(self._block, start)
            return group << 16 | element, None, length, at + 8
        group, element, vr, length = _EXPLICIT.unpack_from(self._block, start)
        if group == 0xFFFE:  # items and their ends have no value representation
            return group << 16 | element, None, _IMPLICIT.unpack_from(self._block, start)[2], at + 8
        if vr in _SHORT:
            return group << 16 | element, vr, length, at + 8
        if vr not in _LONG:
            raise _Odd
        return group << 16 | element, vr, _UINT32.unpack_from(self._block, start + 8)[0], at + 12

    def _sequence(self, at: int, is_implicit: bool, depth: int = 0) -> int:
        """Where a sequence of undefined length whose items begin at `at` ends."""
        if depth > 16:
            raise _Odd
        while at + 8 <= self._size:
            tag, _, length, at = self._element(at, is_implicit)
            if tag == _SEQUENCE_END:
                return at
            if tag != _ITEM:
                raise _Odd
            if length != UNDEFINED:
                at += length
                continue
            while tag != _ITEM_END:
                if at + 8 > self._size:
                    raise _Odd
                tag, vr, length, at = self._element(at, is_implicit)
                if length != UNDEFINED:
                    at += length
                elif vr in (b"SQ", None):
                    at = self._sequence(at, is_implicit, depth + 1)
                else:
                    raise _Odd
        raise _Odd

    def _end_of_fragments(self, at: int) -> int | None:
        """Where compressed pixel data whose fragments begin at `at` end; None where no sequence delimiter ends them."""
        while at + 8 <= self._size:
            group, element, length = _IMPLICIT.unpack(self._bytes(at, 8))
            tag = group << 16 | element
            if tag == _SEQUENCE_END:
                return at + 8
            if tag != _ITEM or length == UNDEFINED:
                return None
            at += 8 + length
        return None

    def _tag(self, at: int) -> int:
        """The tag at `at`; 0 where the file ends."""
        content = self._bytes(at, 4) if at + 8 <= self._size else b""
        return int.from_bytes(content[:2], "little") << 16 | int.from_bytes(content[2:], "little")


_WALKED = frozenset({str(ImplicitVRLittleEndian), str(ExplicitVRLittleEndian)})


def _as_text(raw: bytes, length: int, vr: bytes | None, expected: str) -> str:
    """A value as `text` gives it."""
    if len(raw) < length or (vr is not None and vr.decode() not in expected.split(" or ")):
        raise _Odd
    if expected.startswith("US"):
        if length == 0:
            return ""
        if length != 2:
            raise _Odd
        return str(int.from_bytes(raw, "little", signed=vr == b"SS"))
    return "\\".join(part.strip(" \0") for part in raw.decode("latin-1").split("\\"))
