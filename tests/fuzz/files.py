"""DICOM files as lists of elements in bytes, so that any of them can hold anything: no library stands between."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from groundglass.dicomio.reading.attributes import quiet_pydicom
from tests.bad_input.series import Chest, write

SMALL = Chest((6, 12, 16), (6.0, 18.0, 14.0))
"""As few voxels as tell a chest from something else."""

SYNTAXES = (
    ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless, JPEGLosslessSV1,
    JPEGLSLossless, JPEG2000Lossless,
)  # fmt: skip

_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_UNDEFINED = 0xFFFFFFFF


@dataclass(frozen=True)
class Element:
    """One data element (PS3.5 7.1); `is_open` where its length is undefined."""

    tag: int
    vr: bytes
    value: bytes
    is_open: bool = False


Image = tuple[Element, ...]
"""The elements of one image, its pixel data last."""


def element(keyword: str, value: bytes, vr: bytes | None = None) -> Element:
    """An element by its keyword, in its own value representation if no other is named."""
    return Element(tag_for_keyword(keyword) or 0, vr or dictionary_VR(keyword).split(" ")[0].encode(), value)


def with_element(image: Image, new: Element) -> Image:
    """The image with one element in place of the one with its tag."""
    return tuple(sorted((*(old for old in image if old.tag != new.tag), new), key=lambda each: each.tag))


def value_of(image: Image, keyword: str) -> bytes:
    """The value of one element; nothing where it is absent."""
    return next((each.value for each in image if each.tag == tag_for_keyword(keyword)), b"")


@lru_cache
def small_series(syntax: UID) -> tuple[Image, ...]:
    """The elements of the sound series, from head to feet; pixels compressed as `syntax` says."""
    stored = syntax if syntax.is_encapsulated else ExplicitVRLittleEndian
    with TemporaryDirectory() as folder, quiet_pydicom():
        return tuple(_elements(write(image, Path(folder, "image"), stored)) for image in SMALL.images())


def _elements(path: Path) -> Image:
    content = path.read_bytes()
    at = 144 + struct.unpack_from("<I", content, 140)[0]  # PS3.10 7.1: the meta group says its length
    found = []
    while at < len(content):
        group, number, vr, length = struct.unpack_from("<HH2sH", content, at)
        at += 8
        if vr in _LONG:
            (length,) = struct.unpack_from("<I", content, at)
            at += 4
        is_open = length == _UNDEFINED  # only pixel data, which are last
        length = len(content) - at if is_open else length
        found.append(Element(group << 16 | number, vr, content[at : at + length], is_open))
        at += length
    return tuple(found)


def as_multi_frame(images: Sequence[Image]) -> Image:
    """One Enhanced CT image whose frames have in their functional groups what the images have (PS3.3 C.7.6.16)."""
    groups = {
        "PlanePositionSequence": ("ImagePositionPatient",),
        "PlaneOrientationSequence": ("ImageOrientationPatient",),
        "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness"),
        "PixelValueTransformationSequence": ("RescaleIntercept", "RescaleSlope", "RescaleType"),
    }
    moved = {tag_for_keyword(keyword) for keywords in groups.values() for keyword in keywords}

    def frame(image: Image) -> bytes:
        parts = []
        for group, keywords in groups.items():
            tags = {tag_for_keyword(keyword) for keyword in keywords}
            parts.append(element(group, _item(encode(tuple(each for each in image if each.tag in tags)))))
        return _item(encode(tuple(sorted(parts, key=lambda each: each.tag))))

    whole: Image = tuple(each for each in images[0] if each.tag not in moved)
    for new in (
        element("SOPClassUID", _even(EnhancedCTImageStorage.encode())),
        element("NumberOfFrames", _even(str(len(images)).encode())),
        element("PerFrameFunctionalGroupsSequence", b"".join(map(frame, images))),
        replace(images[0][-1], value=b"".join(value_of(image, "PixelData") for image in images)),
    ):
        whole = with_element(whole, new)
    return whole


def _item(content: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content


def _even(value: bytes) -> bytes:
    return value + b"\0" * (len(value) % 2)


def encode(image: Image, is_implicit: bool = False) -> bytes:
    """A data set in little endian."""
    parts = []
    for each in image:
        length = _UNDEFINED if each.is_open else len(each.value)
        tag = struct.pack("<HH", each.tag >> 16, each.tag & 0xFFFF)
        if is_implicit:
            head = struct.pack("<I", length)
        elif each.vr in _LONG:
            head = each.vr + struct.pack("<HI", 0, length)
        else:
            head = each.vr + struct.pack("<H", length & 0xFFFF)
        parts.append(tag + head + each.value)
    return b"".join(parts)


def as_file(image: Image, syntax: UID) -> bytes:
    """A Part 10 file (PS3.10 7.1)."""
    content = encode(image, syntax == ImplicitVRLittleEndian)
    if syntax == DeflatedExplicitVRLittleEndian:
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        content = packer.compress(content) + packer.flush()
    meta = encode((
        element("MediaStorageSOPClassUID", _even(value_of(image, "SOPClassUID")[:64])),
        element("MediaStorageSOPInstanceUID", _even(value_of(image, "SOPInstanceUID")[:64])),
        element("TransferSyntaxUID", _even(syntax.encode())),
    ))  # fmt: skip
    return bytes(128) + b"DICM" + encode((Element(0x00020000, b"UL", struct.pack("<I", len(meta))),)) + meta + content
