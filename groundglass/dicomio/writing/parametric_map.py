"""The joint saliency itself, unthresholded, as a Parametric Map (PS3.3 A.75)."""

import numpy as np
from highdicom import VOILUTFunctionValues, VOILUTTransformation
from highdicom.pm import DerivedPixelContrastValues, ImageFlavorValues, ParametricMap, RealWorldValueMapping
from highdicom.sr import CodedConcept
from pydicom import Dataset

from groundglass.dicomio.writing import codes, identity
from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.dicomio.writing.segmentation import set_pixel_measures

NOT_EXPLAINED = -1.0
"""In frames of slices that weren't explained: no saliency is known there, which is not the same as none."""


def make_saliency_map(analysed: AnalysedSeries) -> ParametricMap:
    """A float32 frame for each slice from the first to the last explained one: joint saliency from 0 to 1.

    Slices between that weren't explained hold NOT_EXPLAINED, the Float Pixel Padding Value: readers that make a volume
    of the frames (dcmqi, and 3D Slicer with it) put them side by side, and would misplace those after a gap.

    Args:
        analysed: of the findings, `saliency` holds the frames.

    Raises:
        ValueError: if no slice was explained, so that there is nothing to map.
    """
    sources, findings, software = analysed.sources, analysed.findings, analysed.software
    if not findings.saliency:
        raise ValueError("No slice was explained: there is no saliency to write a Parametric Map of.")
    indices = range(min(findings.saliency), max(findings.saliency) + 1)
    unknown = np.full(findings.lungs.shape[1:], NOT_EXPLAINED, np.float32)
    mapping = RealWorldValueMapping(
        lut_label="Saliency",
        lut_explanation="Joint saliency relative to the maximum of the slice",
        unit=codes.NO_UNITS,
        value_range=(0.0, 1.0),
        slope=1.0,
        intercept=0.0,
        quantity_definition=codes.SALIENCY,
    )
    parametric_map = ParametricMap(
        source_images=identity.source_headers([sources[index] for index in indices], sources),
        pixel_array=np.stack([findings.saliency.get(index, unknown) for index in indices], dtype=np.float32),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        # With the default function, LINEAR, a window of width 1 would be a threshold (PS3.3 C.11.2.1.2.1).
        voi_lut_transformations=[
            VOILUTTransformation(0.5, 1.0, voi_lut_function=VOILUTFunctionValues.LINEAR_EXACT),
        ],
        content_label="SALIENCY",
        content_description="What led the classifier to its result",
        image_flavor=ImageFlavorValues.VOLUME,
        derived_pixel_contrast=DerivedPixelContrastValues.QUANTITY,
        contributing_equipment=identity.processing_equipment(software),
        **identity.instance_attributes(identity.SALIENCY_MAP, sources, software),
    )
    set_pixel_measures(parametric_map, analysed.volume)
    if len(findings.saliency) < len(indices):
        parametric_map.FloatPixelPaddingValue = parametric_map.FloatPixelPaddingRangeLimit = NOT_EXPLAINED
    parametric_map.setdefault("ContentCreatorName", None)  # type 2 (PS3.3 Table 10-12), left out by highdicom
    _name_the_anatomy(parametric_map)
    _order_frames(parametric_map)
    identity.fix_dimension_organization(parametric_map)
    identity.complete(parametric_map, sources[0], analysed.created)
    return parametric_map


def _name_the_anatomy(parametric_map: Dataset) -> None:
    """Adds the Frame Anatomy Macro (PS3.3 C.7.6.16.2.8): optional, but dcmqi, and 3D Slicer with it, crash without."""
    anatomy = Dataset()
    anatomy.FrameLaterality = "B"
    anatomy.AnatomicRegionSequence = [CodedConcept.from_code(codes.LUNG)]
    parametric_map.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [anatomy]


def _order_frames(parametric_map: Dataset) -> None:
    """Puts the frames in the order of the slices' normal; highdicom puts them in the opposite one.

    dcmqi, and 3D Slicer with it, stacks frames along the normal (row direction x column direction) in the order in
    which they are stored, whatever their positions say: it would show the map upside down.
    """
    shared = parametric_map.SharedFunctionalGroupsSequence[0]
    row_direction, column_direction = np.reshape(shared.PlaneOrientationSequence[0].ImageOrientationPatient, (2, 3))
    frames = list(parametric_map.PerFrameFunctionalGroupsSequence)
    first, last = (np.array(frame.PlanePositionSequence[0].ImagePositionPatient) for frame in (frames[0], frames[-1]))
    if (last - first) @ np.cross(row_direction, column_direction) >= 0:
        return
    indices = [frame.FrameContentSequence[0].DimensionIndexValues for frame in frames]
    for frame, index in zip(reversed(frames), indices, strict=True):
        frame.FrameContentSequence[0].DimensionIndexValues = index
    parametric_map.PerFrameFunctionalGroupsSequence = frames[::-1]
    pixels = np.frombuffer(parametric_map.FloatPixelData, "<f4").reshape(len(frames), -1)
    parametric_map.FloatPixelData = pixels[::-1].tobytes()
