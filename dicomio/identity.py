"""What all outputs share: patient and study of the sources, the equipment, and UIDs that a repeated run repeats."""

import datetime
import hashlib
import json
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from highdicom import AlgorithmIdentificationSequence, ContributingEquipment, SOPClass
from highdicom.sr import AlgorithmIdentification
from pydicom import Dataset

from dicomio import codes
from method.types import SoftwareIdentity

# highdicom quotes UIDs, and now and then a patient's name, in its messages: neither may reach a log.
logging.getLogger("highdicom").setLevel(logging.ERROR)

MANUFACTURER = "Groundglass"
RESEARCH_USE = "Research use only; not for clinical decisions"

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "groundglass")


@dataclass(frozen=True)
class OutputSeries:
    """One series of results, a sibling of the source series in its study."""

    kind: str
    number: int
    description: str


SEGMENTATION = OutputSeries("segmentation", 9101, "Groundglass lungs and saliency (research)")
REPORT = OutputSeries("report", 9102, "Groundglass report (research)")
KEY_IMAGES = OutputSeries("key images", 9103, "Groundglass key images (research)")
SALIENCY_MAP = OutputSeries("saliency map", 9104, "Groundglass saliency map (research)")

_PATIENT_AND_STUDY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
"""Type 2 everywhere: present in every output, empty where the source has none."""

_OPTIONAL_REFERENCES = ("ReferencedStudySequence", "ReferencedPatientSequence")
"""Type 3, and incomplete in many de-identified archives: an output that repeats such a reference is invalid itself."""

_IMAGE = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "Modality",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
    "Manufacturer",
    "ManufacturerModelName",
    "SoftwareVersions",
    "DeviceSerialNumber",
)


def derive_uid(*parts: str) -> str:
    """A UID that depends on `parts` and on nothing else (`2.25.` and a UUID as an integer, PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, json.dumps(parts)).int}"


def run_parts(sources: Sequence[Dataset], software: SoftwareIdentity) -> tuple[str, ...]:
    """What decides the identity of a result: the source images, the program's version and its weights.

    The device is left out: a run repeated on another one replaces its result and doesn't stand beside it.
    """
    first = sources[0]
    instances = sorted(str(source.get("SOPInstanceUID", "")) for source in sources)
    weights = sorted(f"{name}={digest}" for name, digest in software.weights_sha256.items())
    series = [str(first.get("StudyInstanceUID", "")), str(first.get("SeriesInstanceUID", ""))]
    return (software.name, software.version, *weights, *series, *instances)


def device_serial_number(software: SoftwareIdentity) -> str:
    """Sixteen hexadecimal digits that tell one set of weights from another."""
    return hashlib.sha256(json.dumps(sorted(software.weights_sha256.items())).encode()).hexdigest()[:16]


def instance_attributes(
    series: OutputSeries, sources: Sequence[Dataset], software: SoftwareIdentity, variant: str = ""
) -> dict[str, Any]:
    """Series, equipment and instance arguments for `highdicom`; `variant` tells instances of one series apart."""
    parts = run_parts(sources, software)
    return {
        "series_instance_uid": derive_uid(*parts, series.kind),
        "series_number": series.number,
        "series_description": series.description,
        "sop_instance_uid": derive_uid(*parts, series.kind, "instance", variant),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": software.name,
        "software_versions": software.version,
        "device_serial_number": device_serial_number(software),
    }


def processing_equipment(software: SoftwareIdentity) -> list[ContributingEquipment]:
    """This program as an item of the Contributing Equipment Sequence (PS3.3 C.12.1)."""
    return [
        ContributingEquipment(
            MANUFACTURER,
            codes.PROCESSING_EQUIPMENT,
            manufacturer_model_name=software.name,
            software_versions=software.version,
            device_serial_number=device_serial_number(software),
            contribution_description=RESEARCH_USE,
        )
    ]


def algorithm_parameters(software: SoftwareIdentity) -> dict[str, str]:
    """The weights' SHA-256 by model name, which make a result traceable to the model that made it."""
    return {f"{name} weights SHA-256": digest for name, digest in sorted(software.weights_sha256.items())}


def algorithm_identification(software: SoftwareIdentity) -> AlgorithmIdentificationSequence:
    """For images: the Algorithm Identification Macro (PS3.3 10.16)."""
    return AlgorithmIdentificationSequence(
        name=software.name,
        version=software.version,
        family=codes.ARTIFICIAL_INTELLIGENCE,
        source=MANUFACTURER,
        parameters=algorithm_parameters(software),
    )


def algorithm_content(software: SoftwareIdentity) -> AlgorithmIdentification:
    """For reports: TID 4019."""
    return AlgorithmIdentification(
        name=software.name,
        version=software.version,
        family=codes.ARTIFICIAL_INTELLIGENCE,
        manufacturer=MANUFACTURER,
        parameters=[f"{name}={value}" for name, value in algorithm_parameters(software).items()],
    )


def source_headers(sources: Sequence[Dataset]) -> list[Dataset]:
    """Small copies of the source headers that `highdicom` always accepts.

    It refuses a source without, say, a patient's name, or with a sex or a date that the standard doesn't know. Real
    archives have both, so the copies carry empty values there and `complete` writes the source's own afterwards.
    """
    headers = []
    for source in sources:
        header = Dataset()
        for keyword in _IMAGE:
            if keyword in source:
                header.add(source[keyword])
        for keyword in _PATIENT_AND_STUDY:
            setattr(header, keyword, None)
        header.setdefault("Modality", "CT")
        if not header.get("FrameOfReferenceUID"):
            header.FrameOfReferenceUID = derive_uid(str(source.get("SeriesInstanceUID", "")), "frame of reference")
        headers.append(header)
    return headers


def complete(dataset: SOPClass, source: Dataset) -> None:
    """Writes the source's patient and study into `dataset`, exactly as they are, and the time of creation in UTC.

    Series Date and Time, which are optional, are left out: a repeated run adds to its series, and all instances of a
    series must have the same.
    """
    if "SpecificCharacterSet" in source:
        dataset.add(source["SpecificCharacterSet"])
    dataset.copy_patient_and_study_information(source)
    for keyword in _OPTIONAL_REFERENCES:
        if not all(item.get("ReferencedSOPClassUID") for item in dataset.get(keyword) or [Dataset()]):
            dataset.pop(keyword, None)
    if "BodyPartExamined" not in dataset and dataset.Modality != "SR":
        dataset.BodyPartExamined = "CHEST"
    now = datetime.datetime.now(datetime.UTC)
    for keyword in ("SeriesDate", "SeriesTime"):
        dataset.pop(keyword, None)
    for keyword in ("InstanceCreation", "Content"):
        setattr(dataset, f"{keyword}Date", now.strftime("%Y%m%d"))
        setattr(dataset, f"{keyword}Time", now.strftime("%H%M%S.%f"))


def fix_dimension_organization(dataset: Dataset) -> None:
    """Replaces the random UID of the dimension organization by one that a repeated run repeats."""
    uid = derive_uid(str(dataset.SOPInstanceUID), "dimension organization")
    for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
