"""The lungs and the salient regions as Segmentation objects (PS3.3 A.51)."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from highdicom import PixelMeasuresSequence
from highdicom.color import CIELabColor
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from highdicom.sr import CodedConcept
from pydicom import DataElement, Dataset
from pydicom.charset import default_encoding
from pydicom.dataelem import RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr_element, write_sequence
from pydicom.sr.coding import Code
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID, ExplicitVRLittleEndian, RLELossless

from groundglass.dicomio.writing import codes, identity
from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.dicomio.writing.tracking import region_name, tracking_uid
from groundglass.domain.arrays import LabelMap
from groundglass.domain.findings import UNLISTED_REGION
from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG, CTVolume

RIGHT_SEGMENT, LEFT_SEGMENT = RIGHT_LUNG, LEFT_LUNG
OTHER_REGIONS = "Other salient regions"
"""Label of the segment of all that is salient and in no listed region."""

Form = Literal["binary", "labelmap"]
SegmentationName = Literal["lungs", "regions"]
LABEL_MAP = "label map"
"""Tells the instances that belong to a label map from those of a binary Segmentation."""
LABEL_MAP_STORAGE = UID("1.2.840.10008.5.1.4.1.1.66.7")
"""Label Map Segmentation Storage, which pydicom doesn't name yet."""

# Sky blue and green as on the key images, and warm colours that differ in lightness for the regions.
_COLORS = {
    "Right lung": CIELabColor(70.0, -12.0, -34.0),
    "Left lung": CIELabColor(72.0, -48.0, 20.0),
    OTHER_REGIONS: CIELabColor(75.0, 10.0, 20.0),
}
_REGION_COLORS = (
    CIELabColor(68.0, 36.0, 66.0),
    CIELabColor(87.0, 2.0, 75.0),
    CIELabColor(55.0, 62.0, 40.0),
    CIELabColor(78.0, 22.0, 45.0),
    CIELabColor(60.0, 60.0, -20.0),
)

_DERIVATION, _PLANE_POSITION, _SEGMENT = (
    Tag(keyword) for keyword in ("DerivationImageSequence", "PlanePositionSequence", "SegmentIdentificationSequence")
)


def make_segmentation(analysed: AnalysedSeries, form: Form = "binary") -> Segmentation:
    """A Segmentation of the right lung (segment 1) and the left lung (segment 2).

    Args:
        analysed: of the findings, `lungs` are written.
        form: binary, or a label map (Label Map Segmentation Storage, Supplement 243) in RLE Lossless.
    """
    descriptions = [
        _lung(RIGHT_SEGMENT, "Right lung", codes.RIGHT, analysed),
        _lung(LEFT_SEGMENT, "Left lung", codes.LEFT, analysed),
    ]
    return _encode(analysed, identity.SEGMENTATION, analysed.findings.lungs, descriptions, form)


def make_region_segmentation(analysed: AnalysedSeries, form: Form = "binary") -> Segmentation:
    """A Segmentation of the salient regions, a series of its own, so that a viewer shows it without the lungs.

    A segment for each listed region, with its number and with the tracking identifier and UID that the report has, and
    one more for the salient voxels of all others. They are coded as saliency: what led the classifier to its result is
    no lesion segmentation.

    Args:
        analysed: of the findings, `salient` and `regions` are written.
        form: as of the lungs.

    Raises:
        ValueError: if nothing is salient.
    """
    findings = analysed.findings
    if findings.salient is None or not findings.salient.any():
        raise ValueError("Nothing is salient: there is no salient region to write a Segmentation of.")
    labels = [region_name(region.number) for region in findings.regions]
    pixels = findings.salient
    if pixels.max() == UNLISTED_REGION:  # the largest of all numbers
        labels.append(OTHER_REGIONS)
        pixels = pixels.copy()
        for plane in pixels:  # one by one: what is as large as the volume takes longer to get than to fill
            plane[plane == UNLISTED_REGION] = len(labels)
    descriptions = [_saliency(number, label, analysed) for number, label in enumerate(labels, start=1)]
    return _encode(analysed, identity.REGIONS, pixels, descriptions, form)


def _encode(
    analysed: AnalysedSeries,
    series: identity.OutputSeries,
    pixels: LabelMap,
    descriptions: Sequence[SegmentDescription],
    form: Form,
) -> Segmentation:
    """The label array `(slice, row, col)` as a Segmentation.

    Frames without a voxel are left out, since one takes 33 kB. Each frame tells its position and its source image, and
    by these OHIF (3.11 to 3.13), dcmqi (3D Slicer) and highdicom place every voxel exactly, gaps or not: measured.
    """
    sources, software = analysed.sources, analysed.software
    shown = np.flatnonzero(pixels.any(axis=(1, 2)))
    span = slice(shown[0], shown[-1] + 1) if shown.size else slice(None)
    segmentation = Segmentation(
        source_images=identity.source_headers(sources[span], sources, analysed.known_headers),
        pixel_array=pixels[span],
        segmentation_type=SegmentationTypeValues[form.upper()],
        segment_descriptions=descriptions,
        content_label="LUNGS" if series is identity.SEGMENTATION else "SALIENCY",
        content_description="Lungs" if series is identity.SEGMENTATION else "What led the classifier to its result",
        omit_empty_frames=True,
        transfer_syntax_uid=RLELossless if form == "labelmap" else ExplicitVRLittleEndian,
        contributing_equipment=identity.processing_equipment(software),
        **identity.instance_attributes(series, sources, software, LABEL_MAP if form == "labelmap" else ""),
    )
    set_pixel_measures(segmentation, analysed.volume)
    identity.fix_dimension_organization(segmentation)
    identity.complete(segmentation, sources[0], analysed.created)
    if form == "binary":  # a label map has one frame a slice and repeats nothing
        _encode_repeated_groups(segmentation)
    return segmentation


def _encode_repeated_groups(segmentation: Segmentation) -> None:
    """Encodes what frames of one slice or of one segment share, once for all of them.

    `pydicom` would encode it anew for every frame, which is most of the time of writing. A group that is asked for is
    decoded again.
    """
    encoded: dict[tuple[BaseTag, int], RawDataElement] = {}
    prepared: list[Dataset] = [segmentation]
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        content = frame.FrameContentSequence[0]
        segment, position = content.DimensionIndexValues
        for group in ((_DERIVATION, position), (_PLANE_POSITION, position), (_SEGMENT, segment)):
            if group[0] not in frame:
                continue  # the only segment of all frames is told in the shared groups
            if group not in encoded:
                encoded[group] = _encoded(frame[group[0]])
            frame[group[0]] = encoded[group]
        prepared += [frame, content]
    correct_ambiguous_vr_element(segmentation["PixelData"], segmentation, is_little_endian=True)
    for dataset in prepared:  # else pydicom decodes what is encoded before it writes it
        dataset.set_original_encoding(False, True, dataset._character_set)


def _encoded(element: DataElement) -> RawDataElement:
    """An element as it would be read from a file in Explicit VR Little Endian, the syntax of all results."""
    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = False, True
    write_sequence(file, element, [default_encoding])
    content = file.getvalue()
    return RawDataElement(element.tag, "SQ", len(content), content, 0, is_implicit_VR=False, is_little_endian=True)


def set_pixel_measures(dataset: Dataset, volume: CTVolume) -> None:
    """Spacing and thickness from the volume, since headers of real archives state thickness and gaps unreliably.

    Set when all else is made: highdicom takes the sources' instead of an argument whose pixel spacing is theirs.
    """
    slice_mm, row_mm, column_mm = volume.spacing_mm
    dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence = PixelMeasuresSequence(
        pixel_spacing=(row_mm, column_mm), slice_thickness=slice_mm, spacing_between_slices=slice_mm
    )


def _lung(number: int, label: str, laterality: Code, analysed: AnalysedSeries) -> SegmentDescription:
    description = _describe(number, label, codes.ANATOMICAL_STRUCTURE, codes.LUNG, analysed)
    description.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [
        CodedConcept.from_code(laterality)
    ]
    return description


def _saliency(number: int, label: str, analysed: AnalysedSeries) -> SegmentDescription:
    description = _describe(number, label, codes.SALIENCY, codes.SALIENCY, analysed)
    description.SegmentDescription = "What led the classifier to its result: no lesion segmentation."
    return description


def _describe(
    number: int, label: str, category: Code, property_type: Code, analysed: AnalysedSeries
) -> SegmentDescription:
    return SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=category,
        segmented_property_type=property_type,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=identity.algorithm_identification(analysed.software),
        tracking_id=label,
        tracking_uid=tracking_uid(analysed.sources, analysed.software, label),
        display_color=_COLORS[label] if label in _COLORS else _REGION_COLORS[(number - 1) % len(_REGION_COLORS)],
    )
