"""The boxes as graphics on the source slices, for viewers that show no reports (PS3.3 A.33.1)."""

from collections.abc import Sequence
from typing import Any

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
from groundglass.dicomio.writing.report import box_outline
from groundglass.dicomio.writing.tracking import region_name, tracking_uid
from groundglass.domain.findings import Box
from groundglass.domain.volume import CTVolume
from groundglass.rendering.slice_picture import WINDOW_CENTER_HU, WINDOW_WIDTH_HU

_PIXEL = AnnotationUnitsValues.PIXEL
_LABEL_ROWS, _LABEL_COLUMNS = 1 / 32, 5 / 16
"""Size of a label's bounding box, as a part of the image's."""


def make_presentation_state(analysed: AnalysedSeries) -> GrayscaleSoftcopyPresentationState:
    """A Grayscale Softcopy Presentation State: the lung window, and each box with the number of its region.

    It refers to the images with boxes only, the ones it applies to (Presentation State Relationship Module, C.11.11).
    Each box is the closed polyline of the report, with the tracking identifier of its region.

    Args:
        analysed: of the findings, `boxes` are drawn; the headers of the sources have their rescale.

    Raises:
        ValueError: if there is no box, so that there is nothing to show.
    """
    sources, findings = analysed.sources, analysed.findings
    if not findings.boxes:
        raise ValueError("There is no box to draw: a presentation state needs one.")
    indices = sorted({box.slice_index for box in findings.boxes})
    headers = dict(zip(indices, identity.source_headers([sources[index] for index in indices]), strict=True))
    layer = GraphicLayer("BOXES", 1, "Boxes around salient regions, research use", CIELabColor(87.0, 2.0, 75.0))
    annotations = []
    for index, header in headers.items():
        boxes = [box for box in findings.boxes if box.slice_index == index]
        outlines = [_outline(box, analysed) for box in boxes]
        labels = [_label(box, header) for box in boxes]
        annotations.append(GraphicAnnotation([header], layer, graphic_objects=outlines, text_objects=labels))
    state = GrayscaleSoftcopyPresentationState(
        referenced_images=list(headers.values()),
        content_label="BOXES",
        content_description="What led the classifier to its result",
        graphic_annotations=annotations,
        graphic_layers=[layer],
        contributing_equipment=identity.processing_equipment(analysed.software),
        **_lung_window([sources[index] for index in indices], list(headers.values())),
        **identity.instance_attributes(identity.BOXES, sources, analysed.software),
    )
    _show_whole_images(state, analysed.volume)
    identity.complete(state, sources[0], analysed.created)
    # The module has a time of its own in place of the content's (C.11.10).
    state.PresentationCreationDate, state.PresentationCreationTime = state.ContentDate, state.ContentTime
    del state.ContentDate, state.ContentTime
    return state


def _outline(box: Box, analysed: AnalysedSeries) -> GraphicObject:
    """The outline as in the report: PIXEL units and SCOORD share their origin, the first pixel's top left corner.

    Its bottom right corner is (1, 1) for both (PS3.3 Table C.10-5, Graphic Annotation Units; C.18.6.1.1), so nothing is
    shifted by half a pixel. Only the displayed area below counts pixels from 1.
    """
    name = region_name(box.region)
    return GraphicObject(
        GraphicTypeValues.POLYLINE,
        box_outline(box),
        _PIXEL,
        tracking_id=name,
        tracking_uid=tracking_uid(analysed.sources, analysed.software, name),
    )


def _label(box: Box, image: Dataset) -> TextObject:
    """Region and reservation, above the box, or below it where the image has no room."""
    height, width = image.Rows * _LABEL_ROWS, image.Columns * _LABEL_COLUMNS
    top = box.row_min - height if box.row_min >= height else min(box.row_max + 1.0, image.Rows - height)
    left = min(float(box.column_min), image.Columns - width)
    return TextObject(
        f"{region_name(box.region) if box.region else 'Saliency'}, research use",
        _PIXEL,
        bounding_box=(left, top, left + width, top + height),
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
