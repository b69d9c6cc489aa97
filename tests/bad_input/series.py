"""A small chest CT series whose voxels are known, written as a scanner would, to be spoiled in one way at a time."""

import struct
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
from pydicom import DataElement, config, dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from groundglass.domain.volume import CTVolume

ROOT = "1.2.826.0.1.3680043.10.511"
SUPINE = (1, 0, 0, 0, 1, 0)
PATIENT = "Planted^Patient"
"""The patient's name in every image here: whoever finds it outside the outputs has found a leak."""

Edit = Callable[[Dataset, int], None]
"""Spoils one image of a series; gets the image and its index, 0 nearest to the head."""


@dataclass(frozen=True)
class Chest:
    """What a series looks like. `spacing_mm` and `shape` are `(slice, row, col)`."""

    shape: tuple[int, int, int] = (24, 24, 32)
    spacing_mm: tuple[float, float, float] = (6.0, 9.0, 7.0)
    orientation: tuple[float, ...] = SUPINE
    origin_mm: tuple[float, float, float] = (-100.0, -90.0, 50.0)
    slope: float = 1.0
    intercept: float = -1024.0
    bits_stored: int = 16
    is_signed: bool = False
    study: str = f"{ROOT}.1"
    series: str = f"{ROOT}.1.1"
    frame: str = f"{ROOT}.1.2"

    @property
    def hu(self) -> np.ndarray:
        """int16 `(slice, row, col)`: air around a body with two lungs; no two slices, rows or columns are alike."""
        slices, rows, columns = self.shape
        row, column = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
        image = np.full((rows, columns), -1000)
        image[row**2 + column**2 < 0.8] = 40
        for middle in (-0.4, 0.4):
            image[row**2 / 0.25 + (column - middle) ** 2 / 0.06 < 1] = -850
        texture = np.add.outer(2 * np.arange(slices), np.add.outer(np.arange(rows), 2 * np.arange(columns)))
        # Even values, so that a rescale slope of 2 tells them exactly.
        return (image + 2 * (texture % 23)).astype(np.int16)

    @property
    def directions(self) -> np.ndarray:
        """Unit vectors along which slices (from head to feet), rows and columns run, `(3, 3)`."""
        along_columns, along_rows = np.reshape(self.orientation, (2, 3)).astype(float)
        normal = np.cross(along_columns, along_rows)
        return np.array([-normal if normal[2] > 0 else normal, along_rows, along_columns])

    @property
    def truth(self) -> CTVolume:
        """What a reader of the series must find."""
        return CTVolume(self.hu, self.spacing_mm, np.array(self.origin_mm), self.directions)

    def image(self, index: int) -> Dataset:
        """One CT image, uncompressed, which belongs to the caller alone."""
        made = _made(self, index)
        # The elements as they come out of a file can't be changed, only replaced: copies may share them.
        image = Dataset(dict(made.items()))
        image.file_meta = self._file_meta(index)
        return image

    def _make(self, index: int) -> Dataset:
        image = Dataset()
        image.SOPClassUID = CTImageStorage
        image.SOPInstanceUID = f"{self.series}.{index + 1}"
        image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = self.study, self.series, self.frame
        image.Modality, image.BodyPartExamined, image.ConvolutionKernel = "CT", "CHEST", "STANDARD"
        image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        image.PatientName, image.PatientID, image.PatientBirthDate = PATIENT, "PLANTED-ID", "19010203"
        image.StudyDate, image.StudyTime, image.AccessionNumber = "20010203", "112233", "PLANTED-ACC"
        image.StudyDescription, image.SeriesDescription = "planted study", "planted series"
        image.InstanceNumber, image.AcquisitionNumber = index + 1, 1
        image.SliceThickness = self.spacing_mm[0]
        image.PixelSpacing = list(self.spacing_mm[1:])
        image.ImageOrientationPatient = list(self.orientation)
        position_mm = self.origin_mm + self.directions[0] * self.spacing_mm[0] * index
        image.ImagePositionPatient = [round(x, 6) for x in position_mm]
        image.Rows, image.Columns = self.shape[1:]
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, self.bits_stored, self.bits_stored - 1
        image.PixelRepresentation = int(self.is_signed)
        image.RescaleSlope, image.RescaleIntercept = self.slope, self.intercept
        set_stored(image, np.rint((self.hu[index] - self.intercept) / self.slope).astype(int))
        image.file_meta = self._file_meta(index)
        return image

    def _file_meta(self, index: int) -> FileMetaDataset:
        file_meta = FileMetaDataset()
        file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        file_meta.MediaStorageSOPClassUID = CTImageStorage
        file_meta.MediaStorageSOPInstanceUID = f"{self.series}.{index + 1}"
        return file_meta

    def images(self, edit: Edit | None = None, skip: Iterable[int] = ()) -> list[Dataset]:
        """The images from head to feet, each edited, without those of `skip`."""
        left_out = set(skip)
        images = []
        for index in range(self.shape[0]):
            if index not in left_out:
                image = self.image(index)
                if edit is not None:
                    edit(image, index)
                images.append(image)
        return images


@lru_cache(maxsize=128)
def _made(chest: Chest, index: int) -> Dataset:
    """An image as it comes out of a file: hundreds of cases have the same ones before they are spoiled."""
    image, content = chest._make(index), BytesIO()
    image.save_as(content, implicit_vr=False, little_endian=True, enforce_file_format=False)
    return dcmread(BytesIO(content.getvalue()), force=True)


@lru_cache(maxsize=128)
def _file_of(chest: Chest, index: int) -> bytes:
    """An image that nothing was done to, as a file: written once for the many cases that spoil files or others."""
    content = BytesIO()
    chest.image(index).save_as(content, enforce_file_format=True)
    return content.getvalue()


CHEST = Chest()

_BY_GDCM = {
    JPEG2000Lossless: gdcm.TransferSyntax.JPEG2000Lossless,
    JPEGLosslessSV1: gdcm.TransferSyntax.JPEGLosslessProcess14_1,
}
"""What pydicom can't compress without further packages."""


def set_stored(image: Dataset, stored: np.ndarray) -> None:
    """Make whole numbers `(row, col)` the pixels, in as many bits as the image has."""
    image.PixelData = (stored & (2**image.BitsStored - 1)).astype("<u2").tobytes()
    image["PixelData"].VR = "OW"


def set_raw(image: Dataset, keyword: str, value: Any) -> None:
    """Set an attribute to whatever value, valid or not; None deletes it."""
    tag = Tag(keyword)
    if value is None:
        image.pop(tag, None)
        return
    representation = dictionary_VR(tag).split(" ")[0]
    if representation in ("DS", "IS"):  # pydicom doesn't take what is no number, a file does
        values = value if isinstance(value, list) else [value]
        content = "\\".join(str(item) for item in values).encode()
        content += b" " * (len(content) % 2)
        image[tag] = RawDataElement(tag, representation, len(content), content, 0, False, True)
    else:
        image.add(DataElement(tag, representation, value, validation_mode=config.IGNORE))


def write(image: Dataset, path: Path, syntax: UID = ExplicitVRLittleEndian) -> Path:
    """One Part 10 file in any transfer syntax that this program reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if syntax in (RLELossless, JPEGLSLossless):
        image.compress(syntax, generate_instance_uid=False)
    elif syntax == ExplicitVRBigEndian:
        list(image)  # makes values of all elements: as bytes of a file they would stay in little endian
        image.PixelData = np.frombuffer(image.PixelData, "<u2").astype(">u2").tobytes()
    if syntax not in _BY_GDCM:
        image.file_meta.TransferSyntaxUID = syntax
    with config.disable_value_validation():
        image.save_as(path, enforce_file_format=True)
    if syntax in _BY_GDCM:
        _recode(path, _BY_GDCM[syntax])
    return path


def _recode(path: Path, syntax: int) -> None:
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    if not reader.Read():
        raise RuntimeError("GDCM can't read the image.")
    change.SetInput(reader.GetImage())
    if not change.Change():
        raise RuntimeError("GDCM can't compress the image.")
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    if not writer.Write():
        raise RuntimeError("GDCM can't write the image.")


def write_all(folder: Path, images: Sequence[Dataset], syntax: UID = ExplicitVRLittleEndian) -> list[Path]:
    """Files in the order of the images, whose names in their order say nothing about the order of the slices."""
    return [write(image, path, syntax) for image, path in zip(images, _paths(folder, len(images)), strict=True)]


def write_unspoiled(folder: Path, chest: Chest, skip: Container[int] = ()) -> list[Path]:
    """The images of a chest as they are, without those of `skip`: the same files as `write_all` makes of them."""
    indices = [index for index in range(chest.shape[0]) if index not in skip]
    paths = _paths(folder, len(indices))
    folder.mkdir(parents=True, exist_ok=True)
    for index, path in zip(indices, paths, strict=True):
        path.write_bytes(_file_of(chest, index))
    return paths


def _paths(folder: Path, count: int) -> list[Path]:
    return [folder / f"{name:04d}.dcm" for name in np.random.default_rng(0).permutation(count)]


def write_bare(image: Dataset, path: Path) -> None:
    """The data set alone in implicit little endian, without preamble and file meta information."""
    bare = Dataset()
    bare.update({element.tag: element for element in image})
    bare.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)


def relabel(path: Path, syntax: str) -> None:
    """Name another transfer syntax in the file meta information; the data set stays as it is."""
    content = path.read_bytes()
    place = content.index(b"\x02\x00\x10\x00UI") + 6
    old_length = struct.unpack_from("<H", content, place)[0]
    name = syntax.encode() + b"\0" * (len(syntax) % 2)
    new = struct.pack("<H", len(name)) + name
    group_length = struct.unpack_from("<I", content, 140)[0] + len(name) - old_length  # PS3.10 7.1
    before, after = content[144:place], content[place + 2 + old_length :]
    path.write_bytes(content[:140] + struct.pack("<I", group_length) + before + new + after)


def set_fragments(path: Path, fragments: Sequence[bytes], syntax: UID) -> None:
    """Make encapsulated `fragments` the pixels of a file, whatever they hold."""
    image = dcmread(path)
    image.PixelData = encapsulate(list(fragments), has_bot=False)
    image["PixelData"].VR, image["PixelData"].is_undefined_length = "OB", True
    image.file_meta.TransferSyntaxUID = syntax
    image.save_as(path, enforce_file_format=False, implicit_vr=False, little_endian=True)


__all__ = [
    "CHEST", "PATIENT", "ROOT", "Chest", "Edit", "relabel", "set_fragments", "set_raw", "set_stored", "write",
    "write_all", "write_bare", "write_unspoiled",
]  # fmt: skip
