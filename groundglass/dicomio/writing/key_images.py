"""The most telling slices with everything burned in, for a PACS that shows neither SEG nor SR boxes (PS3.3 A.8.5)."""

from collections.abc import Sequence

import numpy as np
from highdicom import SOPClass
from highdicom.sr import CodedConcept
from pydicom import Dataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, MultiFrameTrueColorSecondaryCaptureImageStorage

from groundglass.dicomio.reading.frames import reference_uid
from groundglass.dicomio.writing import codes, identity
from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.domain.arrays import Picture
from groundglass.domain.software import RESEARCH_USE, SoftwareIdentity
from groundglass.rendering.slice_picture import draw_finding, patient_orientation, telling_slices


def make_key_images(analysed: AnalysedSeries, count: int = 6) -> SOPClass:
    """A Multi-frame True Color Secondary Capture with one frame for each of `count` slices.

    The burned-in text is about the algorithm alone, never about the patient. Each frame of an axial or coronal source
    shows the patient's right on the viewer's left.

    Args:
        analysed: whose images and findings are drawn.
        count: number of frames; fewer where the series has fewer slices.
    """
    sources, volume, findings = analysed.sources, analysed.volume, analysed.findings
    indices = telling_slices(findings, count)
    frames = np.stack([draw_finding(volume, findings, index) for index in indices])
    shown = [sources[index] for index in indices]

    header = identity.source_headers(sources[:1])[0]
    images = SOPClass(
        study_instance_uid=header.StudyInstanceUID,
        sop_class_uid=MultiFrameTrueColorSecondaryCaptureImageStorage,
        modality="OT",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **identity.instance_attributes(identity.KEY_IMAGES, sources, analysed.software, f"{count} frames"),
    )
    _describe(images, shown, analysed.software)
    images.PatientOrientation = list(patient_orientation(volume))
    _set_pixels(images, frames)
    for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        if keyword in header:  # what was lossy once stays marked so
            images.add(header[keyword])
    identity.complete(images, sources[0], analysed.created)
    return images


def _describe(images: SOPClass, shown: Sequence[Dataset], software: SoftwareIdentity) -> None:
    images.ConversionType = "WSD"
    images.ImageType = ["DERIVED", "SECONDARY"]
    images.BurnedInAnnotation = "YES"
    images.RecognizableVisualFeatures = "NO"
    images.ImageComments = RESEARCH_USE
    images.DerivationDescription = "Lungs, saliency and boxes drawn on the source images"
    images.ContributingEquipmentSequence = identity.processing_equipment(software)
    images.SourceImageSequence = [_reference(source) for source in shown]


def _reference(source: Dataset) -> Dataset:
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.SOPClassUID
    reference.ReferencedSOPInstanceUID = reference_uid(source)
    reference.PurposeOfReferenceCodeSequence = [CodedConcept.from_code(codes.SOURCE_IMAGE_FOR_PROCESSING)]
    return reference


def _set_pixels(images: SOPClass, frames: Picture) -> None:
    """Stores RGB frames `(frame, row, col, 3)`, uint8, uncompressed."""
    count, rows, columns, samples = frames.shape
    images.NumberOfFrames = count
    if count > 1:  # a single frame must have neither (PS3.3 C.7.6.6, C.8.6.3)
        images.PageNumberVector = list(range(1, count + 1))
        images.FrameIncrementPointer = Tag("PageNumberVector")
    images.SamplesPerPixel = samples
    images.PhotometricInterpretation = "RGB"
    images.PlanarConfiguration = 0
    images.Rows, images.Columns = rows, columns
    images.BitsAllocated, images.BitsStored, images.HighBit = 8, 8, 7
    images.PixelRepresentation = 0
    pixels = frames.tobytes()
    images.PixelData = pixels + b"\0" * (len(pixels) % 2)
