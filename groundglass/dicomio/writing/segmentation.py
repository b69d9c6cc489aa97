"""The lungs and the salient regions as a Segmentation object (PS3.3 A.51)."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from highdicom import PixelMeasuresSequence, Volume
from highdicom.color import CIELabColor
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
    SegmentsOverlapValues,
)
from highdicom.sr import CodedConcept
from pydicom import DataElement, Dataset
from pydicom.charset import default_encoding
from pydicom.dataelem import RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr_element, write_sequence
from pydicom.sr.coding import Code
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from groundglass.dicomio.writing import codes, identity
from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.domain.arrays import AnyArray, LabelMap, Mask
from groundglass.domain.software import SoftwareIdentity
from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG, CTVolume

RIGHT_SEGMENT, LEFT_SEGMENT, SALIENT_SEGMENT = RIGHT_LUNG, LEFT_LUNG, 3

Form = Literal["binary", "labelmap"]
LABEL_MAP = "label map"
"""Tells the instances that belong to a label map from those of a binary Segmentation."""
LABEL_MAP_STORAGE = UID("1.2.840.10008.5.1.4.1.1.66.7")
"""Label Map Segmentation Storage, which pydicom doesn't name yet."""

# Close to the colours of the key images: sky blue, green and orange.
_DISPLAY_COLORS = {
    RIGHT_SEGMENT: CIELabColor(70.0, -12.0, -34.0),
    LEFT_SEGMENT: CIELabColor(72.0, -48.0, 20.0),
    SALIENT_SEGMENT: CIELabColor(68.0, 36.0, 66.0),
}


_DERIVATION, _PLANE_POSITION, _SEGMENT = (
    Tag(keyword) for keyword in ("DerivationImageSequence", "PlanePositionSequence", "SegmentIdentificationSequence")
)

_SALIENT_BIT = 4
"""Added to a voxel's lung label where it is salient: one small array then holds segments that overlap."""


class _OverlappingSegmentation(Segmentation):
    """Segments that overlap, from one array of lung labels with `_SALIENT_BIT`.

    `highdicom` wants an array a segment, and adds them up in 64 bits to find out whether they overlap: 240 MB and
    600 MB for 300 slices, and most of the time.
    """

    @classmethod
    def _check_and_cast_pixel_array(
        cls,
        pixel_array: LabelMap | Volume,
        segment_numbers: AnyArray,
        segmentation_type: SegmentationTypeValues,
        dtype: type,
    ) -> tuple[LabelMap | Volume, SegmentsOverlapValues]:
        return pixel_array, SegmentsOverlapValues.YES

    @staticmethod
    def _get_segment_pixel_array(  # type: ignore[override]  # the other arguments don't matter here
        pixel_array: LabelMap, segment_number: int, **_: object
    ) -> LabelMap:
        is_salient = segment_number == SALIENT_SEGMENT
        mask: Mask = pixel_array >= _SALIENT_BIT if is_salient else pixel_array & (_SALIENT_BIT - 1) == segment_number
        return mask.view(np.uint8)


def make_segmentation(analysed: AnalysedSeries, form: Form = "binary") -> Segmentation:
    """A Segmentation of the right lung, the left lung and, in binary form, the salient regions where there are any.

    Segment 3 is coded as saliency of a class: it shows what the classifier looked at, and is no lesion segmentation.
    Frames without a voxel are written too, because viewers misplace a Segmentation that omits them.

    A label map (Label Map Segmentation Storage, Supplement 243) gives each voxel one segment. Salient voxels lie in a
    lung, so here they would cut holes into it: a reader of segment 1 would measure too small a right lung. A label map
    therefore holds the two whole lungs, with the same numbers, and `make_salient_label_map` the salient regions.

    Args:
        analysed: of the findings, `lungs` and `salient` are written.
        form: binary or label map.
    """
    findings = analysed.findings
    descriptions = [
        _lung(RIGHT_SEGMENT, "Right lung", codes.RIGHT, analysed),
        _lung(LEFT_SEGMENT, "Left lung", codes.LEFT, analysed),
    ]
    if form == "labelmap":
        return _encode(Segmentation, analysed, findings.lungs, descriptions, form, LABEL_MAP)
    kind, pixels = Segmentation, findings.lungs  # a label array is the fastest to encode, but can't hold overlaps
    if findings.salient is not None and findings.salient.any():
        descriptions.append(_saliency(analysed))
        kind, pixels = _OverlappingSegmentation, _SALIENT_BIT * (findings.salient > 0).view(np.uint8)
        pixels |= findings.lungs
    return _encode(kind, analysed, pixels, descriptions, form)


def make_salient_label_map(analysed: AnalysedSeries) -> Segmentation:
    """The salient regions as a label map of their own, segment 3, in the series of the lungs' label map.

    Raises:
        ValueError: if nothing is salient.
    """
    findings = analysed.findings
    if findings.salient is None or not findings.salient.any():
        raise ValueError("Nothing is salient: there is no salient region to write a label map of.")
    pixels = np.where(findings.salient > 0, np.uint8(SALIENT_SEGMENT), np.uint8(0))
    made = _encode(Segmentation, analysed, pixels, [_saliency(analysed)], "labelmap", f"salient {LABEL_MAP}")
    made.InstanceNumber = 2
    return made


def _encode(
    kind: type[Segmentation],
    analysed: AnalysedSeries,
    pixels: LabelMap,
    descriptions: Sequence[SegmentDescription],
    form: Form,
    variant: str = "",
) -> Segmentation:
    sources, software = analysed.sources, analysed.software
    segmentation = kind(
        source_images=identity.source_headers(sources),
        pixel_array=pixels,
        segmentation_type=SegmentationTypeValues[form.upper()],
        segment_descriptions=descriptions,
        content_label="LUNGS" if descriptions[0].SegmentNumber == RIGHT_SEGMENT else "SALIENCY",
        content_description="Lungs, and the regions that led the classifier to its result",
        omit_empty_frames=False,
        contributing_equipment=identity.processing_equipment(software),
        **identity.instance_attributes(identity.SEGMENTATION, sources, software, variant),
    )
    set_pixel_measures(segmentation, analysed.volume)
    identity.fix_dimension_organization(segmentation)
    identity.complete(segmentation, sources[0])
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


def _saliency(analysed: AnalysedSeries) -> SegmentDescription:
    label = "Saliency (not a lesion segmentation)"
    description = _describe(SALIENT_SEGMENT, label, codes.SALIENCY, codes.SALIENCY, analysed)
    description.SegmentDescription = "Regions that led the classifier to its result: no lesion segmentation."
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
        display_color=_DISPLAY_COLORS[number],
    )


def tracking_uid(sources: Sequence[Dataset], software: SoftwareIdentity, label: str) -> str:
    """Names one region in the Segmentation and in the report alike."""
    return identity.derive_uid(*identity.run_parts(sources, software), "tracking", label)
