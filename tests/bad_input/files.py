"""Bad files: what lies in folders of archives, discs and shares beside, or instead of, the images of a series."""

import gzip
import os
import socket
import struct
import zipfile
import zlib
from pathlib import Path

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from tests.bad_input.case import BadInput, Make, beside, every, reads, refused, rejected, series, with_files
from tests.bad_input.series import CHEST, relabel, write, write_all, write_bare

MIDDLE, LAST = 12, 23


def holding(name: str | bytes, content: bytes = b"") -> Make:
    """One file of any name and content."""

    def make(folder: Path) -> None:
        Path(os.fsdecode(os.path.join(os.fsencode(folder), os.fsencode(name)))).write_bytes(content)

    return make


def and_then(make: Make) -> Make:
    """The good series, and something beside it."""
    return beside(series(), make)


def cut(index: int, keep: float) -> Make:
    """One file ends early."""

    def spoil(files: list[Path]) -> None:
        content = files[index].read_bytes()
        files[index].write_bytes(content[: int(keep) if keep > 1 else int(len(content) * keep)])

    return with_files(spoil)


def behind_uids(index: int, new: bytes) -> Make:
    """One file goes on in another way two bytes behind its Series Instance UID."""

    def spoil(files: list[Path]) -> None:
        content = files[index].read_bytes()
        place = content.index(b"\x20\x00\x0e\x00UI")
        place += 8 + struct.unpack_from("<H", content, place + 6)[0] + 2
        files[index].write_bytes(content[:place] + new)

    return with_files(spoil)


def cut_by(index: int, count: int) -> Make:
    """One file lacks its last bytes."""
    return with_files(lambda files: files[index].write_bytes(files[index].read_bytes()[:-count]))


def appended(index: int, content: bytes) -> Make:
    """One file goes on after its end."""
    return with_files(lambda files: files[index].write_bytes(files[index].read_bytes() + content))


def replaced(index: int, content: bytes) -> Make:
    """Other content under the name of one image."""
    return with_files(lambda files: files[index].write_bytes(content))


def patched(index: int, offset: int, content: bytes) -> Make:
    """Some bytes of one file are others."""

    def spoil(files: list[Path]) -> None:
        old = files[index].read_bytes()
        files[index].write_bytes(old[:offset] + content + old[offset + len(content) :])

    return with_files(spoil)


def labelled(syntax: str) -> Make:
    """The bytes stay, the file meta information names another transfer syntax."""

    def spoil(files: list[Path]) -> None:
        for path in files:
            relabel(path, syntax)

    return with_files(spoil)


def without_syntax(folder: Path) -> None:
    """File meta information that doesn't say how the data set is encoded."""
    for path in series()(folder):
        content = path.read_bytes()
        # The element becomes another, of the same length, that nobody reads.
        path.write_bytes(content.replace(b"\x02\x00\x10\x00UI", b"\x02\x00\x18\x00UI", 1))


def syntax_as_a_sequence(folder: Path) -> None:
    """File meta information in which the transfer syntax is an empty sequence."""
    for path in series()(folder):
        content = path.read_bytes()
        place = content.index(b"\x02\x00\x10\x00UI")
        after = content[place + 8 + int.from_bytes(content[place + 6 : place + 8], "little") :]
        empty = b"\x02\x00\x10\x00SQ" + bytes(6)
        group_length = int.from_bytes(content[140:144], "little") + len(content[:place] + empty + after) - len(content)
        path.write_bytes(content[:140] + group_length.to_bytes(4, "little") + content[144:place] + empty + after)


def bare(folder: Path) -> None:
    """Data sets as they come out of some old archives: no preamble, no file meta information."""
    for index, image in enumerate(CHEST.images()):
        write_bare(image, folder / f"IM{index}")


def one_bare(folder: Path) -> None:
    """A preamble on all images but one."""
    images = CHEST.images()
    write_all(folder, images[:MIDDLE] + images[MIDDLE + 1 :])
    write_bare(images[MIDDLE], folder / "bare")


def nested(depth: int) -> Make:
    """The series under many folders."""

    def make(folder: Path) -> None:
        deep = folder.joinpath(*("d" for _ in range(depth)))
        write_all(deep, CHEST.images())

    return make


def named(names: list[str | bytes]) -> Make:
    """The files of the series under odd names."""

    def make(folder: Path) -> None:
        for index, path in enumerate(series()(folder)):
            pattern = names[index % len(names)]
            name = os.fsencode(pattern) + str(index).encode()
            os.rename(os.fsencode(path), os.path.join(os.fsencode(folder), name))

    return make


def linked(target: str) -> Make:
    """A symbolic link beside the series."""
    return and_then(lambda folder: (folder / "link").symlink_to(target, target_is_directory=True))


def one_outside(folder: Path) -> None:
    """One slice lies outside the folder, a link inside leads to it."""
    files = series()(folder / "in")
    outside = folder.parent / f"{folder.name}-outside.dcm"
    files[MIDDLE].rename(outside)
    files[MIDDLE].symlink_to(outside)


def linked_copy(folder: Path) -> None:
    """A link to an image of the same folder."""
    files = series()(folder)
    (folder / "zz-link").symlink_to(files[3].name)


def pipe(folder: Path) -> None:
    """A named pipe: who opens it waits for ever."""
    os.mkfifo(folder / "pipe")


def listening(folder: Path) -> None:
    """A socket file."""
    here = os.getcwd()
    os.chdir(folder)  # the path of a socket may have 107 bytes only
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket")
    finally:
        os.chdir(here)


def kept_by_server(name: str) -> Make:
    """The series, and in a folder that a file server keeps for itself the same images under another patient's ID."""

    def make(folder: Path) -> None:
        write_all(folder / "study", CHEST.images())
        write_all(folder / name / "study", CHEST.images(every(PatientID="PLANTED-OLD")))

    return make


def zipped(folder: Path) -> None:
    """The whole series in an archive."""
    files = series()(folder)
    with zipfile.ZipFile(folder / "study.zip", "w") as archive:
        for path in files:
            archive.write(path, path.name)
            path.unlink()


def document(folder: Path) -> None:
    """An encapsulated PDF: DICOM, but no image."""
    pdf = CHEST.image(0)
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "PhotometricInterpretation"):
        delattr(pdf, keyword)
    pdf.SOPClassUID = pdf.file_meta.MediaStorageSOPClassUID = EncapsulatedPDFStorage
    pdf.Modality, pdf.EncapsulatedDocument = "DOC", b"%PDF-1.7 "
    pdf.SeriesInstanceUID = "1.2.3.99"
    write(pdf, folder / "report.dcm")


def deflated(change: str) -> Make:
    """A deflated series in which the stream of one image is spoiled: cut, garbage or an enormous one."""

    def spoil(files: list[Path]) -> None:
        content = files[MIDDLE].read_bytes()
        start = 144 + struct.unpack_from("<I", content, 140)[0]  # PS3.10 7.1: the meta group says its length
        meta, stream = content[:start], content[start:]
        if change == "cut":
            stream = stream[: len(stream) // 2]
        elif change == "garbage":
            stream = b"\xff" + stream[1:]
        else:
            packer = zlib.compressobj(9, zlib.DEFLATED, -15)
            raw = zlib.decompress(stream, -15)
            # A private element of half a GB of zeros; in the file it takes half a MB.
            head = struct.pack("<HH2sHI", 0x0009, 0x1010, b"OB", 0, 2**29)
            block = bytes(2**24)
            stream = packer.compress(raw[:8] + head[:0]) + packer.compress(head)
            stream += b"".join(packer.compress(block) for _ in range(2**29 // len(block))) + packer.flush()
        files[MIDDLE].write_bytes(meta + stream)

    return with_files(spoil, syntax=DeflatedExplicitVRLittleEndian)


def deep_sequences(folder: Path) -> None:
    """Sequences inside sequences, deeper than any stack: one image of the series has them."""
    files = series()(folder)
    content = files[MIDDLE].read_bytes()
    opening = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)
    opening += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    closing = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    place = content.index(b"\x10\x00\x10\x00PN")  # the patient's name comes right after group 0008
    files[MIDDLE].write_bytes(content[:place] + opening * 20_000 + closing * 20_000 + content[place:])


def open_sequence(folder: Path) -> None:
    """A sequence of undefined length that never ends."""
    files = series()(folder)
    content = files[MIDDLE].read_bytes()
    opening = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)
    place = content.index(b"\x10\x00\x10\x00PN")
    files[MIDDLE].write_bytes(content[:place] + opening + content[place:])


def long_element(folder: Path) -> None:
    """An element that claims 4 GB."""
    files = series()(folder)
    content = files[MIDDLE].read_bytes()
    place = content.index(b"\x10\x00\x10\x00PN")
    element = struct.pack("<HH2sHI", 0x0009, 0x1010, b"OB", 0, 0xFFFFFFF0) + b"short"
    files[MIDDLE].write_bytes(content[:place] + element + content[place:])


def twice(folder: Path) -> None:
    """Every image twice, in two folders."""
    write_all(folder / "a", CHEST.images())
    write_all(folder / "b", CHEST.images())


def sent_again(folder: Path) -> None:
    """An image that was cut, and whole when it was sent again."""
    files = series()(folder)
    content = files[MIDDLE].read_bytes()
    (folder / "broken").write_bytes(content[: len(content) // 2])


def many_strangers(folder: Path) -> None:
    """Three hundred files that are no DICOM."""
    for number in range(300):
        (folder / f"{number}.tmp").write_bytes(bytes([number % 256]) * number)


_NOT_DICOM = "not a DICOM file"

# fmt: off
CASES = tuple(
    BadInput("file", name, make, expected)
    for name, make, expected in (
        ("nothing in the folder", lambda folder: None, rejected("")),
        ("only empty folders", lambda folder: (folder / "a" / "b").mkdir(parents=True), rejected("")),
        ("a text file alone", holding("notes.txt", b"nothing to see"), rejected(_NOT_DICOM)),
        ("an empty file alone", holding("empty.dcm"), rejected("empty file")),
        ("an empty file beside the series", and_then(holding("empty.dcm")), reads(said="empty file")),
        ("a text file beside the series", and_then(holding("x.dcm", b"text" * 99)), reads(said=_NOT_DICOM)),
        ("one byte", holding("x", b"D"), rejected(_NOT_DICOM)),
        ("131 bytes", holding("x", bytes(131)), rejected(_NOT_DICOM)),
        ("a megabyte of zeros", holding("x", bytes(2**20)), rejected(_NOT_DICOM)),
        ("preamble and magic word, and no more", holding("x", bytes(128) + b"DICM"), rejected("")),
        ("garbage after the magic word", holding("x", bytes(128) + b"DICM" + b"\xa5" * 999), rejected("")),
        ("garbage that begins like a data set", holding("x", b"\x08\x00" + b"\xa5" * 999), rejected("")),
        ("a picture", holding("x.png", b"\x89PNG\r\n\x1a\n" + bytes(200)), rejected(_NOT_DICOM)),
        ("an image packed by gzip", with_files(
            lambda files: [path.write_bytes(gzip.compress(path.read_bytes())) for path in files]
        ), rejected(_NOT_DICOM)),
        ("the series in a zip archive", zipped, rejected(_NOT_DICOM)),
        ("an encapsulated document beside the series", and_then(document), reads(said="modality is DOC")),
        ("three hundred other files beside the series", and_then(many_strangers), reads(said=_NOT_DICOM)),
        ("no preamble", bare, reads()),
        ("no preamble on one image", one_bare, reads()),
        ("no transfer syntax named", without_syntax, reads()),
        ("a transfer syntax that is a sequence", syntax_as_a_sequence, reads()),
        ("the magic word misspelt in one image", patched(MIDDLE, 128, b"DICX"), refused("GAP")),
        ("folders forty deep", nested(40), reads()),
        ("names without an extension, with spaces and letters of all kinds",
         named(["no extension", "été \N{SNOWMAN}", "a;b&c $(d)", "-rf", ".hidden"]), reads()),
        ("names that are no UTF-8, or break lines", named([b"\xff\xfe", "a\nb\r\tc"]), reads()),
        ("a stranger whose name is no UTF-8", and_then(holding(b"\xff\xfe\n", b"?")), reads(said=_NOT_DICOM)),
        ("a link to the folder itself", linked("."), reads(said="symbolic link")),
        ("a link to the root of the file system", linked("/"), reads(said="symbolic link")),
        ("a link to nothing", linked("nowhere"), reads(said="")),
        ("a link to itself", linked("link"), reads(said="")),
        ("a link to a device that never ends", linked("/dev/zero"), reads(said="symbolic link")),
        ("a link to another image of the folder", linked_copy, reads(said="copy of another file")),
        ("a slice that only a link out of the folder leads to", one_outside, refused("GAP")),
        ("a pipe that nobody writes to", and_then(pipe), reads(said="not a regular file")),
        ("a socket", and_then(listening), reads(said="not a regular file")),
        *((f"a folder {name} with the images of another patient", kept_by_server(name), reads(said="file server"))
          for name in (".snapshot", "@eaDir", ".Trash-1000")),
        ("cut in the pixels", cut(MIDDLE, 0.9), refused("DAMAGED_FILES")),
        ("cut in the pixels of the last slice", cut(LAST, 0.9), refused("DAMAGED_FILES")),
        ("cut by one byte", cut_by(LAST, 1), refused("DAMAGED_FILES")),
        ("cut in the header", cut(MIDDLE, 600), refused("GAP")),
        ("cut in the file meta information", cut(MIDDLE, 200), refused("GAP")),
        ("every file cut in the pixels", with_files(
            lambda files: [path.write_bytes(path.read_bytes()[:-99]) for path in files]
        ), rejected("complete")),
        ("cut, and sent again whole", sent_again, reads(said="cut")),
        ("zeros after the end", appended(MIDDLE, bytes(2048)), reads()),
        ("garbage after the end", appended(MIDDLE, b"\xa5" * 77), reads()),
        ("cut in the header of the last slice, behind its UIDs", behind_uids(LAST, b""), refused("DAMAGED_FILES")),
        ("garbage in the header of the last slice, behind its UIDs", behind_uids(LAST, b"\xa5" * 3000),
         refused("DAMAGED_FILES")),
        ("another file system block in the middle", patched(MIDDLE, 400, bytes(300)), refused("GAP")),
        ("a file of zeros in place of an image", replaced(MIDDLE, bytes(2000)), refused("GAP")),
        ("every image twice", twice, reads(said="copy of another file")),
        ("big endian", series(syntax=ExplicitVRBigEndian), reads()),
        ("implicit value representations", series(syntax=ImplicitVRLittleEndian), reads()),
        ("deflated", series(syntax=DeflatedExplicitVRLittleEndian), reads()),
        ("deflated, one stream cut", deflated("cut"), refused("GAP")),
        ("deflated, one stream garbage", deflated("garbage"), refused("GAP")),
        ("deflated, half a gigabyte of zeros in half a megabyte", deflated("bomb"), refused("GAP")),
        ("explicit value representations labelled implicit", labelled(ImplicitVRLittleEndian), reads()),
        ("little endian labelled big", labelled(ExplicitVRBigEndian), rejected("")),
        ("a transfer syntax that does not exist", labelled("1.2.840.10008.1.2.9.99"), refused("PIXELS")),
        ("a private transfer syntax", labelled("1.2.3.4.5"), refused("PIXELS")),
        ("sequences twenty thousand deep", deep_sequences, refused("GAP")),
        ("a sequence that never ends", open_sequence, refused("GAP")),
        ("an element that claims four gigabytes", long_element, refused("GAP")),
    )
)
# fmt: on

__all__ = ["CASES"]
