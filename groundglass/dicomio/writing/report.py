"""The findings as a report that people and programs can read: TID 1500 in a Comprehensive 3D SR (PS3.3 A.35.13).

It begins with what people read, conclusion first, so that every viewer that shows a report as text shows that on top.
Then follow the Image Library (row 5), the regions as Imaging Measurements (row 6), the numbers of the study as Derived
Imaging Measurements (row 10), and state, kind and run status as Qualitative Evaluations (row 12), as TID 1500 has them.

OHIF takes every Measurement Group below the Imaging Measurements for one with coordinates and a Tracking UID of its
own, and doesn't open the report otherwise. So what has no coordinates stands elsewhere. It looks for regions in every
Imaging Measurement Report (126000), stays black where there is none, and shows other reports as text: so a report
without a region has another title. It names the items of a container in this text only if they are SEPARATE.
"""

from collections.abc import Sequence

import numpy as np
from highdicom import sr
from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import (
    ExplicitVRLittleEndian,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from groundglass.dicomio.reading.attributes import number
from groundglass.dicomio.reading.frames import Frame, reference_uid
from groundglass.dicomio.writing import codes, identity
from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.dicomio.writing.tracking import region_name, tracking_uid
from groundglass.domain.arrays import FloatMap
from groundglass.domain.findings import Box, Findings, Region
from groundglass.domain.software import RESEARCH_USE, SoftwareIdentity
from groundglass.domain.statement import statement

_SALIENCY_NOTE = (
    "The regions and the salient fractions show what led the classifier to its result. They are no segmentation of a "
    "disease."
)
_CUT_NOTE = (
    "The images do not show the whole lungs: the conclusion, the volumes and the fractions are of what the images show."
)
_CONTAINS = sr.RelationshipTypeValues.CONTAINS
_PURPOSES = {
    SegmentationStorage: codes.SEGMENTATION,
    ParametricMapStorage: codes.SALIENCY,
    SecondaryCaptureImageStorage: codes.OF_INTEREST,
    MultiFrameTrueColorSecondaryCaptureImageStorage: codes.OF_INTEREST,
}
"""What the images among the results are there for. Label maps are in the evidence alone: dsrdump of DCMTK 3.6.7, which
is older than they are, reads no report at all that has one as a content item.
"""


def make_report(analysed: AnalysedSeries, companions: Sequence[Dataset] = ()) -> sr.Comprehensive3DSR:
    """The report of an analysed series.

    There is one measurement group for each listed region (TID 1410): its box on the source image where it contributes
    most, a closed polyline along the outer pixel edges; lung and zone; volume, and part of the saliency. Its Tracking
    UID is that of its segment. The study's numbers are probabilities, lung volumes and salient fractions. A report
    without a region, of a negative study for example, is to be read as text.

    The evidence lists every source image, since all were analysed, and the other results.

    Args:
        analysed: its software is the device observer and the algorithm (TID 4019), with the SHA-256 of its weights and
            settings.
        companions: the other DICOM objects that are written for it, or what `identity_of` keeps of them. The
            pictures and the Segmentations are in the Image Library too.
    """
    findings, sources = analysed.findings, analysed.sources
    *conclusion, limits = statement(findings.prediction)
    groups = [_region_group(region, analysed) for region in findings.regions]
    evaluations = [_code(codes.PNEUMONIA, codes.STATES[findings.prediction.state])]
    if findings.prediction.state != "absent":
        evaluations.append(_code(codes.KIND, codes.KINDS[findings.prediction.kind]))
    evaluations.append(_code(codes.RUN_STATUS, run_status(findings)))
    return _document(
        sources,
        analysed.software,
        conclusion=conclusion,
        comments=[limits, *analysed.warnings, *_notes(findings)],
        library=_image_library(analysed, companions) if groups else [],
        measurements=[*identity.algorithm_content(analysed.software), *(item for group in groups for item in group)],
        numbers=_study_numbers(findings),
        evaluations=evaluations,
        title=codes.MEASUREMENT_REPORT if groups else codes.SUMMARY,
        companions=companions,
        known=analysed.known_headers,
    )


def make_refusal_report(
    sources: Sequence[Dataset], software: SoftwareIdentity, reason_code: str, reason: str
) -> sr.Comprehensive3DSR:
    """The report of a series that was refused or failed: no algorithm succeeded (111245), and the reason in words.

    Args:
        sources: headers of whatever images the series has; several may share one SOP Instance UID.
        software: who refused.
        reason_code: the program's short name of the reason, which is also in result.json.
        reason: a full sentence without any data of the patient.

    Raises:
        ValueError: if not one of the sources has its UIDs, so that a report can't refer to any image.
    """
    named = {str(source.SOPInstanceUID): source for source in sources if _is_identified(source)}
    if not named:
        raise ValueError("No image of the series has a study, series and instance UID: no report can refer to it.")
    return _document(
        list(named.values()),
        software,
        conclusion=[f"Not analysed. {reason} ({reason_code})"],
        comments=[f"{RESEARCH_USE}."],
        measurements=[*identity.algorithm_content(software)],
        evaluations=[_code(codes.RUN_STATUS, codes.NONE_SUCCEEDED)],
        title=codes.SUMMARY,
        variant=f"refusal {reason_code}",
    )


def _is_identified(source: Dataset) -> bool:
    return all(source.get(k) for k in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"))


def run_status(findings: Findings) -> Code:
    """The entry of CID 6047 for a series that was analysed."""
    positive = findings.prediction.state != "absent"
    return codes.SUCCEEDED_WITH_FINDINGS if positive else codes.SUCCEEDED_WITHOUT_FINDINGS


# Regions


def _region_group(region: Region, analysed: AnalysedSeries) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    """TID 1410, and what OHIF needs to take a region over as a measurement of its own that the user can track.

    That is the coordinates once more as the source of the first number (TID 320), and a comment, which becomes its
    label.
    """
    name, source = region_name(region.number), analysed.sources[region.best_slice]
    outline = box_outline(region.box)
    image = sr.SourceImageForRegion(source.SOPClassUID, reference_uid(source))
    measurements = [
        _number(codes.VOLUME, round(region.volume_ml, 1), codes.MILLILITER),
        _percent(codes.CONTRIBUTION, region.contribution),
    ]
    group = sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=tracking_uid(analysed.sources, analysed.software, name), identifier=name
        ),
        referenced_region=sr.ImageRegion(sr.GraphicTypeValues.POLYLINE, outline, image),
        finding_type=codes.SALIENCY,
        finding_sites=[sr.FindingSite(codes.ZONES[region.third], laterality=codes.SIDES[region.side])],
        measurements=measurements,
    )
    measurements[0][0].ContentSequence = sr.ContentSequence(
        [sr.CoordinatesForMeasurement(sr.GraphicTypeValues.POLYLINE, outline, image)]
    )
    group[0].ContinuityOfContent = "SEPARATE"
    group[0].ContentSequence.append(_text(codes.COMMENT, _place(region, analysed.sources)))
    return group


def box_outline(box: Box) -> FloatMap:
    """The closed rectangle along the outer edges of the covered pixels, as (column, row).

    SCOORD puts (0, 0) at the top left corner of the first pixel and (1, 1) at its bottom right one (PS3.3 C.18.6.1.1).
    """
    left, right = box.column_min, box.column_max + 1
    top, bottom = box.row_min, box.row_max + 1
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom], [left, top]], np.float32)


def _place(region: Region, sources: Sequence[Dataset]) -> str:
    """Where a region is, with the images that show it by the numbers that viewers show."""
    lungs = "both lungs" if region.side == "both" else f"{region.side} lung"
    words = f"{region_name(region.number)}: {lungs}, {region.third} third"
    numbers = [_image_number(sources[index]) for index in region.slices]
    known = [value for value in numbers if value is not None]
    if len(known) < len(numbers):  # Instance Number is of type 2
        return words
    first, last = min(known), max(known)
    return f"{words}, image {first}" if first == last else f"{words}, images {first} to {last}"


def _image_number(source: Dataset) -> int | None:
    """Instance Number, or that of the frame."""
    found = source.number if isinstance(source, Frame) else number(source, "InstanceNumber")
    return None if found is None else int(found)


# The study


def _study_numbers(findings: Findings) -> list[sr.ContentItem]:
    """Probabilities, lung volumes and salient fractions, each with what it is of, as precise as they are."""
    prediction = findings.prediction
    found = [
        (codes.PNEUMONIA, prediction.pneumonia_probability),
        *zip((codes.KINDS[kind] for kind in ("cap", "covid19")), prediction.probabilities[1:], strict=True),
    ]
    made = [_probability(disease, value) for disease, value in found]
    sides = ((None, findings.volume_ml), (codes.RIGHT, findings.right_ml), (codes.LEFT, findings.left_ml))
    for side, volume_ml in sides:
        site = sr.FindingSite(codes.LUNG, laterality=side)
        made.append(_number(codes.VOLUME, round(volume_ml, 1), codes.MILLILITER, site))
    if findings.salient_fraction is not None:
        made.append(_percent(codes.SALIENT_FRACTION, findings.salient_fraction, sr.FindingSite(codes.LUNG)))
    for zone in findings.zones:
        if zone.salient_fraction is not None:
            site = sr.FindingSite(codes.ZONES[zone.third], laterality=codes.SIDES[zone.side])
            made.append(_percent(codes.SALIENT_FRACTION, zone.salient_fraction, site))
    return [item for measurement in made for item in measurement]


def _notes(findings: Findings) -> list[str]:
    """What the numbers mean, for those who read the report as text."""
    right, left = round(findings.right_ml), round(findings.left_ml)
    notes = [f"Lung volume {round(findings.volume_ml)} ml: right {right} ml, left {left} ml."]
    if findings.salient_fraction is not None and findings.regions:
        notes[0] += f" Salient: {100 * findings.salient_fraction:.1f} %."
    if findings.unlisted_regions:
        notes.append(f"Regions that are not listed here: {findings.unlisted_regions}.")
    if findings.reach_border:
        notes.append(_CUT_NOTE)
    return [*notes, _SALIENCY_NOTE] if findings.regions else notes


def _probability(of: Code, value: float) -> sr.Measurement:
    measurement = _number(codes.PROBABILITY, round(value, 3), codes.NO_UNITS)
    modifier = sr.CodeContentItem(codes.FINDING, of, sr.RelationshipTypeValues.HAS_CONCEPT_MOD)
    measurement[0].ContentSequence = sr.ContentSequence([modifier])
    return measurement


def _percent(concept: Code, fraction: float, site: sr.FindingSite | None = None) -> sr.Measurement:
    return _number(concept, round(100.0 * fraction, 1), codes.PERCENT, site)


def _number(concept: Code, value: float, unit: Code, site: sr.FindingSite | None = None) -> sr.Measurement:
    return sr.Measurement(concept, float(value), unit, finding_sites=[site] if site is not None else None)


# The document


def identity_of(result: Dataset) -> Dataset:
    """What a report has to know of another result; so that nobody has to keep its pixels until the report is made."""
    kept = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
    return Dataset({result[keyword].tag: result[keyword] for keyword in kept if keyword in result})


def _image_library(analysed: AnalysedSeries, companions: Sequence[Dataset]) -> list[sr.ContainerContentItem]:
    """TID 1600: the source images that the regions are on, and the images among the other results.

    Programs that look at the first group alone find the source images. Each image has a name, because OHIF asks every
    content item for one.
    """
    shown = sorted({region.best_slice for region in analysed.findings.regions})
    images = [analysed.sources[index] for index in shown]
    groups: list[list[sr.ContentItem]] = [
        [_code(codes.MODALITY, codes.COMPUTED_TOMOGRAPHY, sr.RelationshipTypeValues.HAS_ACQ_CONTEXT)]
        + [_image(codes.SOURCE, image.SOPClassUID, reference_uid(image)) for image in images],
        [
            _image(_PURPOSES[image.SOPClassUID], image.SOPClassUID, image.SOPInstanceUID)
            for image in companions
            if image.SOPClassUID in _PURPOSES
        ],
    ]
    return [_container(codes.IMAGE_LIBRARY_GROUP, group) for group in groups if group]


def _document(
    sources: Sequence[Dataset],
    software: SoftwareIdentity,
    *,
    conclusion: Sequence[str],
    comments: Sequence[str],
    measurements: Sequence[sr.ContentItem],
    evaluations: Sequence[sr.ContentItem],
    title: Code,
    library: Sequence[sr.ContentItem] = (),
    numbers: Sequence[sr.ContentItem] = (),
    companions: Sequence[Dataset] = (),
    variant: str = "",
    known: identity.KnownHeaders | None = None,
) -> sr.Comprehensive3DSR:
    """TID 1500; conclusion and comments in words are an extension of it, the first items of the root."""
    observer = sr.ObserverContext(
        sr.CodedConcept.from_code(codes.DEVICE),
        sr.DeviceObserverIdentifyingAttributes(
            uid=identity.derive_uid(software.name, software.version, identity.device_serial_number(software)),
            name=software.name,
            manufacturer_name=identity.MANUFACTURER,
            model_name=software.name,
            serial_number=identity.device_serial_number(software),
        ),
    )
    parts = [
        (codes.IMAGE_LIBRARY, library),
        (codes.IMAGING_MEASUREMENTS, measurements),
        (codes.DERIVED_MEASUREMENTS, numbers),
        (codes.QUALITATIVE_EVALUATIONS, evaluations),
    ]
    root = sr.ContainerContentItem(title, is_content_continuous=False, template_id="1500")
    root.ContentSequence = sr.ContentSequence(
        [
            *(_text(codes.CONCLUSION, sentence) for sentence in conclusion),
            *(_text(codes.COMMENT, sentence) for sentence in comments),
            _code(codes.LANGUAGE, codes.ENGLISH, sr.RelationshipTypeValues.HAS_CONCEPT_MOD),
            *sr.ObservationContext(observer_device_context=observer),
            _code(codes.PROCEDURE_REPORTED, codes.CT, sr.RelationshipTypeValues.HAS_CONCEPT_MOD),
            *(_container(concept, items) for concept, items in parts if items),
        ]
    )
    headers = {str(header.SOPInstanceUID): header for header in identity.source_headers(sources, known=known)}
    # A report that refers to other objects, to label maps for instance, is another report.
    variant = "\n".join([*([variant] if variant else []), *sorted(str(one.SOPInstanceUID) for one in companions)])
    report = sr.Comprehensive3DSR(
        evidence=[*headers.values(), *companions],
        content=root,
        is_complete=True,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        coding_schemes=codes.private_coding_schemes(),
        contributing_equipment=identity.processing_equipment(software),
        **identity.instance_attributes(identity.REPORT, sources, software, variant),
    )
    identity.complete(report, sources[0])
    return report


def _container(concept: Code, items: Sequence[sr.ContentItem]) -> sr.ContainerContentItem:
    container = sr.ContainerContentItem(concept, is_content_continuous=False, relationship_type=_CONTAINS)
    container.ContentSequence = sr.ContentSequence(items)
    return container


def _text(concept: Code, text: str) -> sr.TextContentItem:
    """In ASCII only, since the report keeps the character set of its sources."""
    return sr.TextContentItem(concept, text.encode("ascii", "replace").decode(), _CONTAINS)


def _code(concept: Code, value: Code, relationship: sr.RelationshipTypeValues = _CONTAINS) -> sr.CodeContentItem:
    return sr.CodeContentItem(concept, value, relationship)


def _image(purpose: Code, sop_class: str, uid: str) -> sr.ImageContentItem:
    return sr.ImageContentItem(
        purpose, referenced_sop_class_uid=sop_class, referenced_sop_instance_uid=uid, relationship_type=_CONTAINS
    )
