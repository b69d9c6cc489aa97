"""Outlines of the salient regions as graphics on the source slices (PS3.3 A.33.1)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from highdicom import ModalityLUTTransformation
from highdicom.color import CIELabColor
from highdicom.content import ReferencedImageSequence
from highdicom.pr import (
    AnnotationUnitsValues,
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GraphicTypeValues,
    GrayscaleSoftcopyPresentationState,
    SoftcopyVOILUTTransformation,
    TextJustificationValues,
    TextObject,
)
from pydicom import Dataset
from pydicom.valuerep import DSfloat

from groundglass.dicomio.reading.attributes import number
from groundglass.dicomio.writing import identity
from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.dicomio.writing.tracking import region_name, tracking_uid
from groundglass.domain.volume import CTVolume
from groundglass.rendering.outlines import Outline, region_outlines
from groundglass.rendering.slice_picture import WINDOW_CENTER_HU, WINDOW_WIDTH_HU

_PIXEL = AnnotationUnitsValues.PIXEL
_LABEL_ROWS, _LABEL_COLUMNS = 1 / 32, 1 / 5
"""Size of a label's bounding box, as a part of the image's."""
_NO_NAME = "^"
"""A Patient's Name with empty components: nobody's name, as an empty one, but dcmtk refuses a presentation state whose
name is absent or empty, though it may be empty (type 2, PS3.3 C.7.1.1)."""


def make_presentation_state(analysed: AnalysedSeries) -> GrayscaleSoftcopyPresentationState:
    """A Grayscale Softcopy Presentation State: the lung window, and the outlines of all salient regions.

    It refers to the images with regions only, the ones it applies to (Presentation State Relationship Module, C.11.11).
    A listed region bears its number and the tracking identifier of the report; the others bear nothing.

    Args:
        analysed: of the findings, `salient` is outlined where `boxes` are; the headers of the sources have their
            rescale.

    Raises:
        ValueError: if there is no region, so that there is nothing to show.
    """
    sources, findings = analysed.sources, analysed.findings
    if not findings.boxes:
        raise ValueError("There is no region to outline: a presentation state needs one.")
    indices = sorted({box.slice_index for box in findings.boxes})
    shown = [sources[index] for index in indices]
    headers = dict(zip(indices, identity.source_headers(shown, known=analysed.known_headers), strict=True))
    layer = GraphicLayer("REGIONS", 1, "Outlines of salient regions, research use", CIELabColor(87.0, 2.0, 75.0))
    tracking = {
        region.number: (name, tracking_uid(sources, analysed.software, name))
        for region in findings.regions
        for name in [region_name(region.number)]
    }
    annotations = []
    for index, header in headers.items():
        outlines = list(region_outlines(findings, index))
        graphics = [_graphic(outline, tracking) for outline in outlines]
        labels = [
            _label(region_name(number), [outline for outline in outlines if outline.region == number], header)
            for number in sorted({outline.region for outline in outlines} & tracking.keys())
        ]
        annotations.append(GraphicAnnotation([header], layer, graphic_objects=graphics, text_objects=labels or None))
    state = GrayscaleSoftcopyPresentationState(
        referenced_images=list(headers.values()),
        content_label="REGIONS",
        content_description="What led the classifier to its result",
        graphic_annotations=annotations,
        graphic_layers=[layer],
        contributing_equipment=identity.processing_equipment(analysed.software),
        **_lung_window([sources[index] for index in indices], list(headers.values())),
        **identity.instance_attributes(identity.BOXES, sources, analysed.software),
    )
    _show_whole_images(state, analysed.volume)
    identity.complete(state, sources[0], analysed.created)
    if not state.PatientName:
        state.PatientName = _NO_NAME
    # The module has a time of its own in place of the content's (C.11.10).
    state.PresentationCreationDate, state.PresentationCreationTime = state.ContentDate, state.ContentTime
    del state.ContentDate, state.ContentTime
    return state


def _graphic(outline: Outline, tracking: Mapping[int, tuple[str, str]]) -> GraphicObject:
    """PIXEL units count from the outer edge of the first pixel, as the outline does (PS3.3 Table C.10-5).

    So nothing is shifted by half a pixel. Only the displayed area below counts pixels from 1.
    """
    tracking_id, uid = tracking.get(outline.region, (None, None))
    return GraphicObject(GraphicTypeValues.POLYLINE, outline.points, _PIXEL, tracking_id=tracking_id, tracking_uid=uid)


def _label(name: str, outlines: Sequence[Outline], image: Dataset) -> TextObject:
    """A region's name above its largest outline, or below it where the image has no room."""
    points = max((outline.points for outline in outlines), key=lambda points: np.ptp(points, axis=0).prod())
    height, width = image.Rows * _LABEL_ROWS, image.Columns * _LABEL_COLUMNS
    (column_min, row_min), row_max = points.min(axis=0), points[:, 1].max()
    top = row_min - height if row_min >= height else min(row_max, image.Rows - height)
    left = min(column_min, image.Columns - width)
    return TextObject(
        name,
        _PIXEL,
        bounding_box=(float(left), float(top), float(left + width), float(top + height)),
        text_justification=TextJustificationValues.LEFT,
    )


def _lung_window(sources: Sequence[Dataset], headers: Sequence[Dataset]) -> dict[str, Any]:
    """The rescale to HU and the lung window.

    A presentation state's rescale replaces that of its images, all of them, and none means stored values (PS3.4 N.2.1).
    Where the images have several, each gets its window in stored values instead.
    """
    rescales = [
        (number(source, "RescaleSlope") or 1.0, number(source, "RescaleIntercept") or 0.0) for source in sources
    ]
    if len(set(rescales)) == 1:
        slope, intercept = (float(DSfloat(value, auto_format=True)) for value in rescales[0])
        return {
            "modality_lut_transformation": ModalityLUTTransformation(intercept, slope, "HU"),
            "voi_lut_transformations": [_window(WINDOW_CENTER_HU, WINDOW_WIDTH_HU)],
        }
    return {
        "voi_lut_transformations": [
            _window(
                (WINDOW_CENTER_HU - rescale[1]) / rescale[0],
                WINDOW_WIDTH_HU / rescale[0],
                [header for header, other in zip(headers, rescales, strict=True) if other == rescale],
            )
            for rescale in sorted(set(rescales))
        ]
    }


def _window(center: float, width: float, images: Sequence[Dataset] = ()) -> SoftcopyVOILUTTransformation:
    center, width = (float(DSfloat(value, auto_format=True)) for value in (center, width))
    references = ReferencedImageSequence(images) if images else None
    return SoftcopyVOILUTTransformation([center], [width], ["Lung window"], referenced_images=references)


def _show_whole_images(state: Dataset, volume: CTVolume) -> None:
    """Pixels keep their shape (C.10.4): highdicom takes every pixel for square, and a CT slice for a tile."""
    (area,) = state.DisplayedAreaSelectionSequence
    del area.PixelOriginInterpretation, area.PresentationPixelAspectRatio
    area.PresentationPixelSpacing = [DSfloat(mm, auto_format=True) for mm in volume.spacing_mm[1:]]
