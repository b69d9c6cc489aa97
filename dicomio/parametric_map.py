"""The joint saliency itself, unthresholded, as a Parametric Map (PS3.3 A.75)."""

from collections.abc import Sequence

import numpy as np
from highdicom import VOILUTTransformation
from highdicom.pm import DerivedPixelContrastValues, ImageFlavorValues, ParametricMap, RealWorldValueMapping
from pydicom import Dataset

from dicomio import codes, identity
from dicomio.segmentation import check_grid, set_pixel_measures
from method.types import CTVolume, Findings, SoftwareIdentity


def make_saliency_map(
    sources: Sequence[Dataset], volume: CTVolume, findings: Findings, software: SoftwareIdentity
) -> ParametricMap:
    """A float32 frame for each explained slice: joint saliency from 0 to 1, at the position of its source image.

    Args:
        sources: headers of the source images in slice order; their pixels aren't needed.
        volume: the geometry of the sources.
        findings: `saliency` holds the frames.
        software: written into the equipment.

    Raises:
        ValueError: if no slice was explained, so that there is nothing to map.
    """
    check_grid(sources, findings)
    if not findings.saliency:
        raise ValueError("No slice was explained: there is no saliency to write a Parametric Map of.")
    explained = sorted(findings.saliency)
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
        source_images=identity.source_headers([sources[index] for index in explained]),
        pixel_array=np.stack([findings.saliency[index] for index in explained]).astype(np.float32, copy=False),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[VOILUTTransformation(window_center=0.5, window_width=1.0)],
        content_label="SALIENCY",
        content_description="What led the classifier to its result",
        image_flavor=ImageFlavorValues.VOLUME,
        derived_pixel_contrast=DerivedPixelContrastValues.QUANTITY,
        contributing_equipment=identity.processing_equipment(software),
        **identity.instance_attributes(identity.SALIENCY_MAP, sources, software),
    )
    set_pixel_measures(parametric_map, volume)
    identity.fix_dimension_organization(parametric_map)
    identity.complete(parametric_map, sources[0])
    return parametric_map
