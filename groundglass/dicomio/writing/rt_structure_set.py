"""The contours of the lungs as an RT Structure Set (PS3.3 A.19), for planning systems and whoever draws on contours.

`rt-utils`, the library for this, has had no release since January 2023, needs OpenCV, and draws through the centres of
a mask's outermost pixels, half a pixel too far inside. So the object is built here: contours of scikit-image, and the
attributes of PS3.3 C.8.8.5, C.8.8.6 and C.8.8.8.
"""

from cmath import phase
from collections.abc import Iterator, Sequence
from math import asin

import numpy as np
from highdicom import SOPClass
from highdicom.sr import CodedConcept
from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage
from scipy.spatial.distance import cdist
from skimage.measure import find_contours, points_in_poly

from groundglass.dicomio.reading.attributes import quiet_pydicom
from groundglass.dicomio.writing import codes, identity
from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.domain.arrays import Coordinates, Mask
from groundglass.domain.software import RESEARCH_USE
from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG

_LUNGS = (
    (RIGHT_LUNG, "Right lung", codes.RIGHT_LUNG, (86, 180, 233)),
    (LEFT_LUNG, "Left lung", codes.LEFT_LUNG, (67, 202, 140)),
)
"""Label in the volume, which is the ROI Number too; name, code, and colour in RGB, about that of the Segmentation."""
_STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"
"""What RT Referenced Study Sequence (3006,0012) names as the class of a study."""
_TOLERANCE_PIXELS = 0.3
"""A contour half-way between pixels passes no centre within .35 pixels: simplified by less, it encloses the same."""
_MOST_POINTS = 65_534 // len("-1234.56\\-1234.56\\-1234.56\\")
"""Of a contour: what Contour Data, an element of VR DS, holds in Explicit VR Little Endian (PS3.5 7.1.2)."""


@quiet_pydicom()  # the UIDs of real archives are not all valid
def make_structure_set(analysed: AnalysedSeries) -> SOPClass:
    """The right and the left lung as closed planar contours on the source images.

    Each contour runs half-way between the pixels of the lung and those around it. A hole is part of its outline's
    contour, joined to it by a channel of no width (the keyhole technique, PS3.3 C.8.8.6.3).

    Args:
        analysed: of the findings, `lungs` are written.
    """
    sources, software = analysed.sources, analysed.software
    headers = identity.source_headers(sources)
    structure_set = SOPClass(
        study_instance_uid=headers[0].StudyInstanceUID,
        sop_class_uid=RTStructureSetStorage,
        modality="RTSTRUCT",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **identity.instance_attributes(identity.STRUCTURE_SET, sources, software),
    )
    structure_set.OperatorsName = None
    structure_set.StructureSetLabel = "AI lungs"
    structure_set.StructureSetDescription = f"Lungs found by {software.name} {software.version}. {RESEARCH_USE}"
    structure_set.FrameOfReferenceUID = headers[0].FrameOfReferenceUID
    structure_set.PositionReferenceIndicator = None
    structure_set.ReferencedFrameOfReferenceSequence = [_frame_of_reference(headers)]
    volumes_ml = {RIGHT_LUNG: analysed.findings.right_ml, LEFT_LUNG: analysed.findings.left_ml}
    structure_set.StructureSetROISequence = [
        _region(number, name, volumes_ml[number], headers[0]) for number, name, _, _ in _LUNGS
    ]
    structure_set.ROIContourSequence = [_contours(number, color, analysed, headers) for number, _, _, color in _LUNGS]
    structure_set.RTROIObservationsSequence = [_observation(number, name, code) for number, name, code, _ in _LUNGS]
    structure_set.ApprovalStatus = "UNAPPROVED"
    structure_set.ContributingEquipmentSequence = identity.processing_equipment(software)
    identity.complete(structure_set, sources[0], analysed.created)
    # The module has a time of its own in place of the content's, and no body part (C.8.8.1, C.8.8.5).
    structure_set.StructureSetDate, structure_set.StructureSetTime = (
        structure_set.ContentDate,
        structure_set.ContentTime,
    )
    for keyword in ("ContentDate", "ContentTime", "BodyPartExamined"):
        structure_set.pop(keyword, None)
    return structure_set


def _frame_of_reference(headers: Sequence[Dataset]) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = headers[0].SeriesInstanceUID
    series.ContourImageSequence = [_image(header) for header in headers]
    study = Dataset()
    study.ReferencedSOPClassUID = _STUDY_CLASS
    study.ReferencedSOPInstanceUID = headers[0].StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame_of_reference = Dataset()
    frame_of_reference.FrameOfReferenceUID = headers[0].FrameOfReferenceUID
    frame_of_reference.RTReferencedStudySequence = [study]
    return frame_of_reference


def _image(header: Dataset) -> Dataset:
    image = Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    return image


def _region(number: int, name: str, volume_ml: float, header: Dataset) -> Dataset:
    region = Dataset()
    region.ROINumber = number
    region.ReferencedFrameOfReferenceUID = header.FrameOfReferenceUID
    region.ROIName = name
    region.ROIVolume = f"{volume_ml:.1f}"
    region.ROIGenerationAlgorithm = "AUTOMATIC"
    region.ROIGenerationDescription = RESEARCH_USE
    return region


def _observation(number: int, name: str, code: Code) -> Dataset:
    observation = Dataset()
    observation.ObservationNumber = observation.ReferencedROINumber = number
    observation.ROIObservationLabel = name
    observation.RTROIInterpretedType = "ORGAN"
    observation.ROIInterpreter = None
    observation.RTROIIdentificationCodeSequence = [CodedConcept.from_code(code)]
    return observation


def _contours(
    number: int, color: tuple[int, int, int], analysed: AnalysedSeries, headers: Sequence[Dataset]
) -> Dataset:
    affine = analysed.volume.affine
    contours: list[Dataset] = []
    for index, plane in enumerate(analysed.findings.lungs == number):
        for outline in outlines(plane):
            contour = Dataset()
            contour.ContourNumber = len(contours) + 1
            contour.ContourImageSequence = [_image(headers[index])]
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(outline)
            points = np.insert(outline, 0, index, axis=1) @ affine[:3, :3].T + affine[:3, 3]
            contour.ContourData = np.round(points, 2).ravel().tolist()
            contours.append(contour)
    region = Dataset()
    region.ReferencedROINumber = number
    region.ROIDisplayColor = list(color)
    if contours:
        region.ContourSequence = contours
    return region


def outlines(mask: Mask) -> Iterator[Coordinates]:
    """Closed polygons around the parts of a mask `(row, col)`, holes joined to the outline around them.

    Yields:
        `(point, 2)`: rows and columns, whole numbers being the centres of pixels; the first point is not repeated.
    """
    around = find_contours(np.pad(mask, 1).astype(float), 0.5)  # type: ignore[no-untyped-call]
    lines = [simplified(line[:-1] - 1, _TOLERANCE_PIXELS) for line in around]
    holes = [line for line in lines if _signed_area(line) > 0]
    for line in lines:
        if _signed_area(line) > 0:
            continue
        outline = line
        for hole in holes:
            if points_in_poly(hole[:1], line)[0]:  # type: ignore[no-untyped-call]
                outline = _joined(outline, hole)
        tolerance = _TOLERANCE_PIXELS
        while len(outline) > _MOST_POINTS:
            tolerance *= 2
            outline = simplified(outline, tolerance)
        yield outline


def simplified(polygon: Coordinates, tolerance: float) -> Coordinates:
    """A closed polygon without the points that straight lines pass within `tolerance`.

    From each point that stays, the line goes on as long as one direction passes all points on the way (the cone of
    Williams, 1978): one step a point, where scikit-image's `approximate_polygon` takes seconds for a lung.
    """
    kept = []
    anchor, last = complex(*polygon[0]), complex(*polygon[0])
    low, high, reach, axis = -np.pi, np.pi, 0.0, 1 + 0j
    for point in [complex(row, column) for row, column in polygon.tolist()] + [complex(*polygon[0])]:
        distance = abs(point - anchor)
        angle = phase((point - anchor) / axis) if distance else 0.0
        if distance < reach or not low <= angle <= high:
            kept.append(anchor)
            anchor = last
            low, high, reach, axis = -np.pi, np.pi, 0.0, point - anchor or 1 + 0j
            distance, angle = abs(point - anchor), 0.0
        elif reach == 0.0 and distance:
            axis, angle = point - anchor, 0.0
        if distance > tolerance:
            width = asin(tolerance / distance)
            low, high = max(low, angle - width), min(high, angle + width)
        last, reach = point, distance
    kept.append(anchor)
    return np.array([(point.real, point.imag) for point in kept])


def _signed_area(polygon: Coordinates) -> float:
    """Positive for what scikit-image draws around a hole, negative around a part."""
    rows, columns = polygon.T
    return float(rows @ np.roll(columns, -1) - columns @ np.roll(rows, -1)) / 2


def _joined(outline: Coordinates, hole: Coordinates) -> Coordinates:
    """One polygon that goes to the hole at its point next to the outline, around it, and back the same way."""
    distances = cdist(outline, hole)
    at, start = np.unravel_index(distances.argmin(), distances.shape)
    around = np.roll(hole, -int(start), axis=0)
    joined: Coordinates = np.concatenate([outline[: at + 1], around, around[:1], outline[at:]])
    return joined
