"""Colour pictures as DICOM that every viewer opens: Secondary Captures in JPEG (PS3.3 A.8.1 and A.8.5)."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from highdicom import SOPClass
from highdicom.sr import CodedConcept
from PIL import Image
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from pydicom.uid import (
    JPEGBaseline8Bit,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)
from pydicom.valuerep import DSfloat

from groundglass.dicomio.reading.attributes import number, numbers
from groundglass.dicomio.reading.frames import Frame, reference_uid
from groundglass.dicomio.writing import codes, identity
from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.domain.arrays import Picture
from groundglass.domain.software import RESEARCH_USE
from groundglass.domain.volume import CTVolume
from groundglass.rendering.slice_names import SliceNames

JPEG_QUALITY = 90
"""Of libjpeg. Small text and thin lines stay sharp; in RLE, which keeps every bit, CT is as large as without."""
_METHOD = "ISO_10918_1"
"""JPEG, as Lossy Image Compression Method (PS3.3 C.7.6.1.1.5.1)."""
_PLACES = {"x": 0, "y": 1, "z": 2}


def make_capture(
    analysed: AnalysedSeries,
    frames: Sequence[Picture],
    shown: Sequence[int],
    series: identity.OutputSeries,
    number_in_series: int,
    variant: str,
    description: str,
    orientation: Sequence[str] = (),
) -> SOPClass:
    """A Secondary Capture of one picture, or a Multi-frame True Color one of several.

    Args:
        analysed: whose images are shown.
        frames: uint8 RGB `(row, col, 3)`, all of one size.
        shown: indices of the source images they show.
        series: which it belongs to.
        number_in_series: its Instance Number, from 1.
        variant: tells it apart from others of the series.
        description: what was done to the source images.
        orientation: Patient Orientation, where all that is shown has the same.
    """
    sources = analysed.sources
    header = identity.source_headers(sources[:1])[0]
    is_single = len(frames) == 1
    attributes = identity.instance_attributes(series, sources, analysed.software, variant)
    capture = SOPClass(
        study_instance_uid=header.StudyInstanceUID,
        sop_class_uid=SecondaryCaptureImageStorage if is_single else MultiFrameTrueColorSecondaryCaptureImageStorage,
        modality="OT",
        transfer_syntax_uid=JPEGBaseline8Bit,
        **attributes | {"instance_number": number_in_series},
    )
    capture.ConversionType = "WSD"
    capture.ImageType = ["DERIVED", "SECONDARY"]
    capture.BurnedInAnnotation = "YES"
    capture.RecognizableVisualFeatures = "NO"
    capture.ImageComments = RESEARCH_USE
    capture.DerivationDescription = description
    capture.PatientOrientation = list(orientation) or None
    capture.ContributingEquipmentSequence = identity.processing_equipment(analysed.software)
    capture.SourceImageSequence = [_reference_as_source(sources[index]) for index in shown]
    _set_pixels(capture, frames, header)
    identity.complete(capture, sources[0], analysed.created)
    return capture


def source_names(sources: Sequence[Dataset], volume: CTVolume) -> SliceNames:
    """What the source images are called: by Instance Number, frames of multi-frame images by frame number.

    Where images share a number, or one has none, they are counted instead.

    Args:
        sources: in slice order.
        volume: theirs.
    """
    wholes = {id(source.whole) for source in sources if isinstance(source, Frame)}
    word = "Frame" if wholes else "Image"
    known = [_number(source, with_image=len(wholes) > 1) for source in sources]
    counted = SliceNames.counted(volume)
    axis = "xyz"[int(np.abs(volume.directions[0]).argmax())]
    positions = []
    for index, source in enumerate(sources):
        place = numbers(source, "ImagePositionPatient", 3) or (volume.affine @ (index, 0, 0, 1))[:3]
        positions.append(f"{axis} {place[_PLACES[axis]]:.1f} mm")
    if "" in known or len(set(known)) < len(known):
        return SliceNames(counted.word, counted.numbers, positions, counted.note)
    return SliceNames(word, known, positions)


def _number(source: Dataset, with_image: bool) -> str:
    own = number(source, "InstanceNumber")
    instance = "" if own is None else f"{own:.0f}"
    if not isinstance(source, Frame):
        return instance
    return f"{instance}/{source.number}" if with_image else str(source.number)


def reference_to(source: Dataset) -> Dataset:
    """An item that names a source image (SOP Instance Reference Macro, PS3.3 Table 10-11)."""
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.SOPClassUID
    reference.ReferencedSOPInstanceUID = reference_uid(source)
    return reference


def _reference_as_source(source: Dataset) -> Dataset:
    reference = reference_to(source)
    reference.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(codes.SOURCE_IMAGE_FOR_PROCESSING)]
    return reference


def _set_pixels(capture: SOPClass, frames: Sequence[Picture], header: Dataset) -> None:
    """Stores the frames as JPEG, with a chroma sample for two pixels of a row (PS3.5 8.2.1)."""
    rows, columns, samples = frames[0].shape
    encoded = [encode_jpeg(frame) for frame in frames]
    if len(frames) > 1:  # a single frame has none of them (PS3.3 A.8.1, C.7.6.6, C.8.6.3)
        capture.NumberOfFrames = len(frames)
        capture.PageNumberVector = list(range(1, len(frames) + 1))
        capture.FrameIncrementPointer = Tag("PageNumberVector")
    capture.SamplesPerPixel = samples
    capture.PhotometricInterpretation = "YBR_FULL_422"
    capture.PlanarConfiguration = 0
    capture.Rows, capture.Columns = rows, columns
    capture.BitsAllocated, capture.BitsStored, capture.HighBit = 8, 8, 7
    capture.PixelRepresentation = 0
    capture.PixelData = encapsulate(encoded)
    # What was lossy before stays told: a value for each step, the latest last (PS3.3 C.7.6.1.1.5).
    ratios, methods = (_values(header, f"LossyImageCompression{what}") for what in ("Ratio", "Method"))
    if len(ratios) != len(methods):
        ratios, methods = [], []
    ratio = rows * columns * samples * len(frames) / sum(map(len, encoded))
    capture.LossyImageCompression = "01"
    capture.LossyImageCompressionRatio = [*ratios, DSfloat(round(ratio, 1))]
    capture.LossyImageCompressionMethod = [*methods, _METHOD]


def _values(header: Dataset, keyword: str) -> list[Any]:
    content = header.get(keyword)
    if content is None or isinstance(content, str):
        return [content] if content else []
    return list(content) if isinstance(content, Sequence) else [content]


def encode_jpeg(picture: Picture) -> bytes:
    """An RGB picture `(row, col, 3)` as a baseline JPEG stream."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:2")
    return stream.getvalue()
