"""Small synthetic CT series for the tests: a body with two lungs, written as a scanner would."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, RLELossless

STUDY, SERIES, FRAME = "1.2.826.0.1.3680043.10.511.1", "1.2.826.0.1.3680043.10.511.2", "1.2.826.0.1.3680043.10.511.3"
PATIENT_NAME = "Secret^Patient"
SUPINE = (1, 0, 0, 0, 1, 0)
PRONE = (-1, 0, 0, 0, -1, 0)

Edit = Callable[[Dataset, int], None]
EVERY = frozenset(range(30))
"""Slices of a sample, unless it has more."""


@dataclass(frozen=True)
class Sample:
    """What a synthetic series looks like; slice 0 is the one nearest to the head."""

    slices: int = 30
    rows: int = 24
    columns: int = 32
    spacing_mm: tuple[float, float, float] = (5.0, 9.0, 7.0)
    orientation: tuple[float, ...] = SUPINE
    top_mm: tuple[float, float, float] = (-100.0, -90.0, 50.0)
    slope: float = 1.0
    intercept: float = -1024.0
    bits_stored: int = 16
    is_signed: bool = False
    study: str = STUDY
    series: str = SERIES


def chest_hu(sample: Sample) -> np.ndarray:
    """int16 `(slice, row, col)`: air around a soft body with two lungs, and a mark that differs in every slice."""
    row, column = np.mgrid[-1 : 1 : sample.rows * 1j, -1 : 1 : sample.columns * 1j]
    image = np.full((sample.rows, sample.columns), -1000, np.int16)
    image[row**2 + column**2 < 0.8] = 40
    for middle in (-0.4, 0.4):
        image[row**2 / 0.25 + (column - middle) ** 2 / 0.06 < 1] = -850
    hu = np.repeat(image[None], sample.slices, axis=0)
    hu[:, 0, 0] = np.arange(sample.slices) * 2 - 100
    return hu


def make_slice(sample: Sample, index: int, hu: np.ndarray) -> Dataset:
    """One CT image of the sample, uncompressed; `hu` is `(row, col)`."""
    image = Dataset()
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = f"{sample.series}.{index + 1}"
    image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = sample.study, sample.series, FRAME
    image.Modality = "CT"
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.PatientName, image.PatientID = PATIENT_NAME, "SECRET-ID"
    image.BodyPartExamined = "CHEST"
    image.ConvolutionKernel = "STANDARD"
    image.InstanceNumber = index + 1
    image.SliceThickness = sample.spacing_mm[0]
    image.PixelSpacing = list(sample.spacing_mm[1:])
    image.ImageOrientationPatient = list(sample.orientation)
    image.ImagePositionPatient = [sample.top_mm[0], sample.top_mm[1], sample.top_mm[2] - index * sample.spacing_mm[0]]
    image.Rows, image.Columns = hu.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, sample.bits_stored, sample.bits_stored - 1
    image.PixelRepresentation = int(sample.is_signed)
    image.RescaleSlope, image.RescaleIntercept = sample.slope, sample.intercept
    set_pixels(image, np.rint((hu - sample.intercept) / sample.slope).astype(int))
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    return image


def set_pixels(image: Dataset, stored: np.ndarray) -> None:
    image.PixelData = (stored & (2**image.BitsStored - 1)).astype("<u2").tobytes()
    image["PixelData"].VR = "OW"


def make_series(sample: Sample = Sample(), edit: Edit | None = None, skip: Sequence[int] = ()) -> list[Dataset]:
    """The images of a series in memory; `edit` may change each of them, and those of `skip` are missing."""
    images = []
    for index, hu in enumerate(chest_hu(sample)):
        if index not in skip:
            image = make_slice(sample, index, hu)
            if edit is not None:
                edit(image, index)
            images.append(image)
    return images


def on(indices: Collection[int], **attributes: object) -> Edit:
    """Set attributes of some slices; None deletes one."""

    def edit(image: Dataset, index: int) -> None:
        for keyword, content in attributes.items():
            if index in indices and content is None:
                delattr(image, keyword)
            elif index in indices:
                setattr(image, keyword, content)

    return edit


def write(image: Dataset, path: Path, syntax: UID = ExplicitVRLittleEndian) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if syntax == RLELossless:
        image.compress(RLELossless, generate_instance_uid=False)
    else:
        image.file_meta.TransferSyntaxUID = syntax
    image.save_as(path, enforce_file_format=True)
    return path


def write_series(folder: Path, images: Sequence[Dataset], syntax: UID = ExplicitVRLittleEndian) -> list[Path]:
    """Files whose names, in their order, say nothing about the order of the slices."""
    names = np.random.default_rng(0).permutation(len(images))
    return [write(image, folder / f"{name:04d}.dcm", syntax) for image, name in zip(images, names, strict=True)]


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write_without_preamble(image: Dataset, path: Path) -> None:
    """The bare data set in implicit little endian, as it comes out of some old archives."""
    bare = Dataset()
    bare.update({element.tag: element for element in image})
    bare.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)
