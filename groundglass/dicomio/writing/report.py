"""The findings as a report that other systems can read: TID 1500 in a Comprehensive 3D SR (PS3.3 A.35.13)."""

from collections.abc import Sequence

import numpy as np
from highdicom import sr
from pydicom import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian

from groundglass.dicomio.reading.frames import reference_uid
from groundglass.dicomio.writing import codes, identity
from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.dicomio.writing.segmentation import (
    LABEL_MAP,
    LABEL_MAP_STORAGE,
    LEFT_SEGMENT,
    RIGHT_SEGMENT,
)
from groundglass.dicomio.writing.tracking import region_name, tracking_uid
from groundglass.domain.arrays import FloatMap
from groundglass.domain.class_names import CLASSES
from groundglass.domain.findings import Box, Findings, Region
from groundglass.domain.software import RESEARCH_USE, SoftwareIdentity
from groundglass.domain.statement import statement

_Group = (
    sr.MeasurementsAndQualitativeEvaluations
    | sr.VolumetricROIMeasurementsAndQualitativeEvaluations
    | sr.PlanarROIMeasurementsAndQualitativeEvaluations
)

_SALIENCY_NOTE = (
    "Boxes, salient lesions and the salient fraction show what led the classifier to its result; they are no lesion "
    "segmentation."
)
_CUT_NOTE = (
    "The images cut the lungs: the class, the volumes and the fractions of them are of what the images show, and not "
    "of whole lungs."
)


def make_report(analysed: AnalysedSeries, segmentation: Dataset) -> sr.Comprehensive3DSR:
    """The report of an analysed series.

    One measurement group for the study (TID 1501: class, probabilities, volumes, salient fraction, run status), one for
    each lung (TID 1411, with its segment in `segmentation`), one for each salient lesion (TID 1501: largest extent,
    volume, part of the lungs, which lung) and one for each box (TID 1410, a closed polyline on the source image along
    the outer pixel edges). The boxes of one lesion have its tracking identifier and UID. A negative study has no box
    and says so in its run status.

    Args:
        analysed: its software is the device observer and the algorithm (TID 4019), with the SHA-256 of its weights and
            settings.
        segmentation: what `make_segmentation` returned for it.
    """
    findings, sources = analysed.findings, analysed.sources
    groups: list[_Group] = [
        _study_group(analysed),
        _lung_group("Right lung", codes.RIGHT, RIGHT_SEGMENT, findings.right_ml, analysed, segmentation),
        _lung_group("Left lung", codes.LEFT, LEFT_SEGMENT, findings.left_ml, analysed, segmentation),
    ]
    groups += [_region_group(region, analysed) for region in findings.regions]
    comments = [*statement(findings.prediction), _SALIENCY_NOTE, *([_CUT_NOTE] if findings.reach_border else [])]
    # A report on the label map refers to another object, so it is another report.
    variant = LABEL_MAP if segmentation.SOPClassUID == LABEL_MAP_STORAGE else ""
    return _document(sources, analysed.software, groups, comments, evidence=[*sources, segmentation], variant=variant)


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
    evidence = {str(source.SOPInstanceUID): source for source in sources if _is_identified(source)}
    if not evidence:
        raise ValueError("No image of the series has a study, series and instance UID: no report can refer to it.")
    named = list(evidence.values())
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking("Study", named, software),
        algorithm_id=identity.algorithm_content(software),
        qualitative_evaluations=[sr.QualitativeEvaluation(codes.RUN_STATUS, codes.NONE_SUCCEEDED)],
    )
    comment = f"The series was not analysed. {reason} ({reason_code})"
    return _document(named, software, [group], [comment], evidence=named, variant=f"refusal {reason_code}")


def _is_identified(source: Dataset) -> bool:
    return all(source.get(k) for k in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"))


def run_status(findings: Findings) -> Code:
    """The entry of CID 6047 for a series that was analysed."""
    positive = findings.prediction.state != "absent"
    return codes.SUCCEEDED_WITH_FINDINGS if positive else codes.SUCCEEDED_WITHOUT_FINDINGS


def _study_group(analysed: AnalysedSeries) -> sr.MeasurementsAndQualitativeEvaluations:
    findings = analysed.findings
    measurements = [
        _probability(value, label) for label, value in zip(CLASSES, findings.prediction.probabilities, strict=True)
    ]
    measurements += [
        _lung_volume(findings.volume_ml),
        _lung_volume(findings.right_ml, codes.RIGHT),
        _lung_volume(findings.left_ml, codes.LEFT),
    ]
    if findings.salient_fraction is not None:
        percent = 100.0 * float(findings.salient_fraction)
        measurements.append(sr.Measurement(codes.SALIENT_FRACTION, percent, codes.PERCENT))
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking("Study", analysed.sources, analysed.software),
        finding_type=codes.CLASS_CODES[findings.prediction.label],
        algorithm_id=identity.algorithm_content(analysed.software),
        measurements=measurements,
        qualitative_evaluations=[sr.QualitativeEvaluation(codes.RUN_STATUS, run_status(findings))],
    )


def _lung_group(
    label: str,
    laterality: Code,
    segment: int,
    volume_ml: float,
    analysed: AnalysedSeries,
    segmentation: Dataset,
) -> sr.VolumetricROIMeasurementsAndQualitativeEvaluations:
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(label, analysed.sources, analysed.software),
        finding_type=codes.LUNG,
        finding_sites=[sr.FindingSite(codes.LUNG, laterality=laterality)],
        algorithm_id=identity.algorithm_content(analysed.software),
        referenced_segment=sr.ReferencedSegment(
            segmentation.SOPClassUID,
            segmentation.SOPInstanceUID,
            segment,
            source_series=sr.SourceSeriesForSegmentation(analysed.sources[0].SeriesInstanceUID),
        ),
        measurements=[sr.Measurement(codes.VOLUME, float(volume_ml), codes.MILLILITER)],
    )


def _region_group(region: Region, analysed: AnalysedSeries) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    source = analysed.sources[region.best_slice]
    outline = sr.ImageRegion(
        graphic_type=sr.GraphicTypeValues.POLYLINE,
        graphic_data=box_outline(region.box),
        source_image=sr.SourceImageForRegion(source.SOPClassUID, reference_uid(source)),
    )
    laterality = {"right": codes.RIGHT, "left": codes.LEFT}.get(region.side)
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(region_name(region.number), analysed.sources, analysed.software),
        referenced_region=outline,
        geometric_purpose=codes.BOUNDED_BY,
        finding_type=codes.SALIENCY,
        finding_sites=[sr.FindingSite(codes.LUNG, laterality=laterality)],
        algorithm_id=identity.algorithm_content(analysed.software),
        measurements=[
            sr.Measurement(codes.VOLUME, region.volume_ml, codes.MILLILITER, method=codes.INTEGRATED_GRADIENTS)
        ],
    )


def box_outline(box: Box) -> FloatMap:
    """The closed rectangle along the outer edges of the covered pixels, as (column, row).

    SCOORD puts (0, 0) at the top left corner of the first pixel and (1, 1) at its bottom right one (PS3.3 C.18.6.1.1).
    """
    left, right = box.column_min, box.column_max + 1
    top, bottom = box.row_min, box.row_max + 1
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom], [left, top]], np.float32)


def _probability(value: float, label: str) -> sr.Measurement:
    """A probability, with the class it belongs to as its modifier."""
    measurement = sr.Measurement(codes.PROBABILITY, float(value), codes.NO_UNITS)
    modifier = sr.CodeContentItem(codes.FINDING, codes.CLASS_CODES[label], sr.RelationshipTypeValues.HAS_CONCEPT_MOD)
    measurement[0].ContentSequence = sr.ContentSequence([modifier])
    return measurement


def _lung_volume(volume_ml: float, laterality: Code | None = None) -> sr.Measurement:
    site = sr.FindingSite(codes.LUNG, laterality=laterality)
    return sr.Measurement(codes.VOLUME, float(volume_ml), codes.MILLILITER, finding_sites=[site])


def _tracking(label: str, sources: Sequence[Dataset], software: SoftwareIdentity) -> sr.TrackingIdentifier:
    return sr.TrackingIdentifier(uid=tracking_uid(sources, software, label), identifier=label)


def _document(
    sources: Sequence[Dataset],
    software: SoftwareIdentity,
    groups: Sequence[_Group],
    comments: Sequence[str],
    evidence: Sequence[Dataset],
    variant: str = "",
) -> sr.Comprehensive3DSR:
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
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.CT,
        imaging_measurements=groups,
    )
    content[0].ContentSequence.append(_remarks([*comments, RESEARCH_USE]))
    headers = {str(header.SOPInstanceUID): header for header in identity.source_headers(evidence)}
    report = sr.Comprehensive3DSR(
        evidence=list(headers.values()),
        content=content,
        is_complete=True,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        coding_schemes=codes.private_coding_schemes(),
        contributing_equipment=identity.processing_equipment(software),
        **identity.instance_attributes(identity.REPORT, sources, software, variant),
    )
    identity.complete(report, sources[0])
    return report


def _remarks(comments: Sequence[str]) -> sr.ContainerContentItem:
    """Row 12 of TID 1500; ASCII only, since the report keeps the character set of its sources."""
    container = sr.ContainerContentItem(
        codes.QUALITATIVE_EVALUATIONS, relationship_type=sr.RelationshipTypeValues.CONTAINS
    )
    contains = sr.RelationshipTypeValues.CONTAINS
    texts = [text.encode("ascii", "replace").decode() for text in comments]
    container.ContentSequence = sr.ContentSequence(
        [sr.TextContentItem(codes.COMMENT, text, contains) for text in texts]
    )
    return container
