"""Bad codestreams: compressed pixels that are cut, go on behind their end, or are not what their label says."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    MPEG4HP41,
    UID,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests.bad_input.case import BadInput, Make, reads, refused, series, with_files
from tests.bad_input.series import set_fragments

COMPRESSED = {
    "RLE": RLELossless,
    "JPEG Lossless": JPEGLosslessSV1,
    "JPEG-LS": JPEGLSLossless,
    "JPEG 2000": JPEG2000Lossless,
}
CODESTREAMS = ("JPEG Lossless", "JPEG-LS", "JPEG 2000")
END, BEHIND = b"\xff\xd9", b"\xff\xff\x20\x07\xff"


def stream(index: int, syntax: UID, spoil: Callable[[bytes], bytes]) -> Make:
    """A compressed series in which the stream of one image is changed."""

    def change(files: list[Path]) -> None:
        image = dcmread(files[index])
        (content,) = generate_frames(image.PixelData, number_of_frames=1)
        set_fragments(files[index], [spoil(bytes(content))], syntax)

    return with_files(change, syntax=syntax)


def resized(marker: bytes, offset: int, form: str, *sizes: int) -> Callable[[bytes], bytes]:
    """A compressed stream whose own header claims another size, written `offset` bytes after a marker."""

    def spoil(content: bytes) -> bytes:
        place = content.index(marker) + offset
        new = struct.pack(form, *sizes)
        return content[:place] + new + content[place + len(new) :]

    return spoil


def half(content: bytes) -> bytes:
    return content[: len(content) // 4 * 2]


def garbage(content: bytes) -> bytes:
    return bytes(np.random.default_rng(1).integers(0, 256, len(content), dtype=np.uint8))


def noise(content: bytes) -> bytes:
    """As long as the content, and no marker in it."""
    return bytes(np.random.default_rng(2).integers(0, 255, len(content), dtype=np.uint8))


def split(content: bytes) -> list[bytes]:
    third = len(content) // 6 * 2
    return [content[:third], content[third : 2 * third], content[2 * third :]]


def in_fragments(files: list[Path]) -> None:
    """One frame in three fragments (PS3.5 A.4)."""
    for path in files:
        image = dcmread(path)
        (content,) = generate_frames(image.PixelData, number_of_frames=1)
        set_fragments(path, split(bytes(content)), JPEG2000Lossless)


def without_ends(files: list[Path]) -> None:
    """Streams that lack the marker of their end, as some writers leave them."""
    for path in files:
        image = dcmread(path)
        (content,) = generate_frames(image.PixelData, number_of_frames=1)
        content = bytes(content).rstrip(b"\0").removesuffix(END)
        set_fragments(path, [content + b"\0" * (len(content) % 2)], image.file_meta.TransferSyntaxUID)


def offsets_of_garbage(files: list[Path]) -> None:
    """A basic offset table that points nowhere."""
    for path in files:
        image = dcmread(path)
        (content,) = generate_frames(image.PixelData, number_of_frames=1)
        image.PixelData = encapsulate([bytes(content)]).replace(
            b"\xfe\xff\x00\xe0\x04\x00\x00\x00\x00\x00\x00\x00", b"\xfe\xff\x00\xe0\x04\x00\x00\x00\xff\xff\xff\x7f", 1
        )
        image.save_as(path, enforce_file_format=True)


def relabelled(source: UID | None, target: UID) -> Make:
    """Pixels in one encoding, labelled as another."""

    def spoil(files: list[Path]) -> None:
        for path in files:
            image = dcmread(path)
            content = bytes(image.PixelData)
            if source is not None:
                (content,) = generate_frames(content, number_of_frames=1)
            set_fragments(path, [bytes(content)], target)

    return with_files(spoil, syntax=source)


def bare_stream(files: list[Path]) -> None:
    """Compressed bytes as if they were uncompressed pixels."""
    for path in files:
        image = dcmread(path)
        (content,) = generate_frames(image.PixelData, number_of_frames=1)
        content = bytes(content)
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        size = 2 * image.Rows * image.Columns
        image.PixelData = (content * (size // len(content) + 1))[:size]
        image["PixelData"].VR, image["PixelData"].is_undefined_length = "OW", False
        image.save_as(path, enforce_file_format=True)


# fmt: off
CASES = tuple(
    BadInput("pixels", name, make, expected)
    for name, make, expected in (
        *((f"{name}", series(syntax=syntax), reads()) for name, syntax in COMPRESSED.items()),
        *((f"{name}, one stream half", stream(12, syntax, half), refused("PIXELS"))
          for name, syntax in COMPRESSED.items()),
        *((f"{name}, other bytes behind one stream", stream(12, COMPRESSED[name], lambda content: content + BEHIND),
           reads()) for name in CODESTREAMS),
        *((f"{name}, one stream cut, but with an end and other bytes behind it", stream(
            12, COMPRESSED[name], lambda content: half(content) + END + BEHIND), refused("PIXELS"))
          for name in CODESTREAMS),
        *((f"{name}, one stream cut and filled up with {what}, without an end", stream(
            12, COMPRESSED[name], lambda content, fill=fill: half(content) + fill(content)), refused("PIXELS"))
          for name in CODESTREAMS for what, fill in (("zeros", lambda content: bytes(len(content))),
                                                     ("FF", lambda content: b"\xff" * len(content)),
                                                     ("other bytes", noise))),
        *((f"RLE, one stream cut and filled up with {what}", stream(
            12, RLELossless, lambda content, fill=fill: half(content) + fill * (len(content) // 4 * 2)),
           refused("PIXELS")) for what, fill in (("zeros", b"\0"), ("FF", b"\xff"))),
        *((f"RLE, the last bytes of one stream are {what}", stream(
            12, RLELossless, lambda content, fill=fill: content[:-30] + fill * 30), refused("PIXELS"))
          for what, fill in (("zeros", b"\0"), ("FF", b"\xff"))),
        *((f"RLE, a thousand {what} behind one stream", stream(
            12, RLELossless, lambda content, fill=fill: content + fill * 1000), reads())
          for what, fill in (("zeros", b"\0"), ("FF", b"\xff"))),
        *((f"{name}, a second frame behind the first", stream(
            12, COMPRESSED[name], lambda content: content + content), reads()) for name in CODESTREAMS),
        *((f"{name}, other bytes before one stream", stream(12, COMPRESSED[name], lambda content: b"\1\2" + content),
           refused("PIXELS", "don't begin with the header")) for name in CODESTREAMS),
        # Of JPEG-LS nobody can tell then whether its last zeros are data, and its decoders take no others.
        *((f"{name}, no stream has an end", with_files(without_ends, syntax=COMPRESSED[name]), reads())
          for name in ("JPEG Lossless", "JPEG 2000")),
        *((f"{name}, the last bytes of one stream cut, but for its end", stream(
            12, COMPRESSED[name], lambda content: content.rstrip(b"\0")[:-8] + END), refused("PIXELS"))
          for name in CODESTREAMS),
        *((f"{name}, one stream garbage", stream(12, syntax, garbage), refused("PIXELS"))
          for name, syntax in COMPRESSED.items()),
        *((f"{name}, one stream of two bytes", stream(12, syntax, lambda content: bytes(2)), refused("PIXELS"))
          for name, syntax in COMPRESSED.items()),
        ("a JPEG 2000 stream that claims 60,000 x 60,000", stream(
            12, JPEG2000Lossless, resized(b"\xff\x51", 6, ">IIIIII", 60_000, 60_000, 0, 0, 60_000, 60_000)),
         refused("PIXELS")),
        ("a JPEG 2000 stream of another size", stream(
            12, JPEG2000Lossless, resized(b"\xff\x51", 6, ">IIIIII", 16, 16, 0, 0, 16, 16)), refused("PIXELS")),
        ("a JPEG Lossless stream that claims 65,535 x 65,535", stream(
            12, JPEGLosslessSV1, resized(b"\xff\xc3", 5, ">HH", 65535, 65535)), refused("PIXELS")),
        ("a JPEG-LS stream that claims 65,535 x 65,535", stream(
            12, JPEGLSLossless, resized(b"\xff\xf7", 5, ">HH", 65535, 65535)), refused("PIXELS")),
        ("an RLE stream with a thousand segments", stream(
            12, RLELossless, lambda content: struct.pack("<I", 1000) + content[4:]), refused("PIXELS")),
        ("one frame in three fragments", with_files(in_fragments, syntax=JPEG2000Lossless), reads()),
        ("an offset table that points nowhere", with_files(offsets_of_garbage, syntax=JPEG2000Lossless),
         refused("PIXELS")),
        ("RLE labelled JPEG 2000", relabelled(RLELossless, JPEG2000Lossless), refused("PIXELS")),
        ("JPEG 2000 labelled JPEG Lossless", relabelled(JPEG2000Lossless, JPEGLosslessSV1), refused("PIXELS")),
        ("uncompressed labelled RLE", relabelled(None, RLELossless), refused("PIXELS")),
        ("compressed labelled uncompressed", with_files(bare_stream, syntax=RLELossless), refused("NOT_HU")),
        ("a film", relabelled(None, MPEG4HP41), refused("PIXELS")),
        ("garbage labelled JPEG", relabelled(None, JPEGBaseline8Bit), refused("PIXELS")),
        ("garbage labelled HTJ2K", relabelled(None, HTJ2KLossless), refused("PIXELS")),
    )
)
# fmt: on

__all__ = ["CASES"]
