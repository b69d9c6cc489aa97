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
from pydicom import DataElement, Dataset, config
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag, Tag
from pydicom.uid import CTImageStorage
from pydicom.valuerep import MAX_VALUE_LEN, DSfloat

from groundglass.dicomio.reading.attributes import numbers, quiet_pydicom, text
from groundglass.dicomio.reading.defects import REQUIRED, sound_copy, sound_element, time_zone
from groundglass.dicomio.reading.frames import Frame
from groundglass.dicomio.writing import codes
from groundglass.dicomio.writing.iod_answers import remember_answers
from groundglass.domain.software import RESEARCH_USE, SoftwareIdentity

remember_answers()

# highdicom quotes UIDs, and now and then a patient's name, in its messages: neither may reach a log.
logging.getLogger("highdicom").setLevel(logging.ERROR)

MANUFACTURER = "Groundglass"

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "groundglass")


@dataclass(frozen=True)
class OutputSeries:
    """One series of results, a sibling of the source series in its study.

    Attributes:
        kind: decides its UID.
        number: Series Number.
        description: Series Description; its first 16 characters tell what it is, for the lists that show no more.
        apart: whether each variant of its instance is a series of its own. The report of a series that was refused
            first and analysed later, and its refusal, are of two times, and a series has one.
    """

    kind: str
    number: int
    description: str
    apart: bool = False


SEGMENTATION = OutputSeries("segmentation", 9101, "AI lungs (Groundglass, research)", apart=True)
REPORT = OutputSeries("report", 9102, "AI report (Groundglass, research)", apart=True)
SUMMARY = OutputSeries("summary", 9103, "AI summary (Groundglass, research)")
SALIENCY_MAP = OutputSeries("saliency map", 9104, "AI saliency map (Groundglass, research)")
BOXES = OutputSeries("boxes", 9105, "AI outlines (Groundglass, research)")
REGIONS = OutputSeries("regions", 9106, "AI regions (Groundglass, research)", apart=True)
STRUCTURE_SET = OutputSeries("structure set", 9107, "AI lungs contour (Groundglass, research)")
SUMMARY_PDF = OutputSeries("summary document", 9108, "AI summary PDF (Groundglass, research)")

_OPTIONAL_REFERENCES = ("ReferencedStudySequence", "ReferencedPatientSequence")
"""Type 3, and incomplete in many de-identified archives: an output that repeats such a reference is invalid itself."""

_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
"""Repeated as they are, valid or not: another UID would name another study or image."""

_GEOMETRY = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
"""Numbers, and how many; they are written anew where the source has more digits than DS allows."""

_IMAGE = ("Modality", "Rows", "Columns")
"""The selection and the volume have checked them."""

_REPEATED = tuple(Tag(keyword) for keyword in _IMAGE)

_SERIES = (
    "PositionReferenceIndicator",
    "SliceThickness",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
    "Manufacturer",
    "ManufacturerModelName",
    "SoftwareVersions",
    "DeviceSerialNumber",
)
"""Read from the first image alone."""


def derive_uid(*parts: str) -> str:
    """A UID that depends on `parts` and on nothing else (`2.25.` and a UUID as an integer, PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, json.dumps(parts)).int}"


def run_parts(sources: Sequence[Dataset], software: SoftwareIdentity) -> tuple[str, ...]:
    """What decides the identity of a result: the source images, the program's version, its weights and settings.

    The device is left out: a run repeated on another one replaces its result and doesn't stand beside it.
    """
    first = sources[0]
    instances = sorted(str(source.get("SOPInstanceUID", "")) for source in sources)
    weights = sorted(f"{name}={digest}" for name, digest in software.weights_sha256.items())
    series = [str(first.get("StudyInstanceUID", "")), str(first.get("SeriesInstanceUID", ""))]
    return (software.name, software.version, *weights, software.settings_sha256, *series, *instances)


def device_serial_number(software: SoftwareIdentity) -> str:
    """Sixteen hexadecimal digits that tell one set of weights from another."""
    return hashlib.sha256(json.dumps(sorted(software.weights_sha256.items())).encode()).hexdigest()[:16]


def instance_attributes(
    series: OutputSeries, sources: Sequence[Dataset], software: SoftwareIdentity, variant: str = ""
) -> dict[str, Any]:
    """Series, equipment and instance arguments for `highdicom`; `variant` tells instances of one series apart."""
    parts = run_parts(sources, software)
    return {
        "series_instance_uid": derive_uid(*parts, series.kind, *([variant] if variant and series.apart else [])),
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
    """SHA-256 of the weights by model name and of the settings: they make a result traceable to what made it."""
    parameters = {f"{name} weights SHA-256": digest for name, digest in sorted(software.weights_sha256.items())}
    return parameters | {"settings SHA-256": software.settings_sha256}


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


KnownHeaders = dict[tuple[int, str], Dataset]
"""Copies by the `id` of their source and the frame of reference: several results refer to the same images."""


@quiet_pydicom()
def source_headers(
    sources: Sequence[Dataset], series: Sequence[Dataset] | None = None, known: KnownHeaders | None = None
) -> list[Dataset]:
    """Small copies of the source headers that `highdicom` always accepts.

    It refuses a source without, say, a patient's name, or with a sex or a date that the standard doesn't know. Real
    archives have both, so the first copy carries empty values there and `complete` writes the source's own afterwards.

    Args:
        sources: the headers to copy.
        series: all of the series, where `sources` are some of them.
        known: copies that were made before; new ones are added.
    """
    frames = (text(source, "FrameOfReferenceUID") for source in series or sources)
    # Images without a frame of reference lie in that of the others; the volume has checked that there are not two,
    # or that each image has its own, for which the first one's stands.
    frame_uid = next((frame for frame in frames if frame and "\\" not in frame), "")
    frame_uid = frame_uid or derive_uid(str(sources[0].get("SeriesInstanceUID", "")), "frame of reference")
    # As in every image that the volume accepts; made once for all headers, as are the UIDs that many images share.
    common = [DataElement("Modality", "CS", "CT"), DataElement("SamplesPerPixel", "US", 1)]
    common.append(DataElement("FrameOfReferenceUID", "UI", frame_uid))
    uids: dict[tuple[str, str], DataElement] = {}
    known = {} if known is None else known
    headers = []
    for source in sources:
        key = id(source), frame_uid
        if key not in known:
            known[key] = _source_header(source, {element.tag: element for element in common}, uids)
        headers.append(Dataset(dict(known[key]._dict)))  # whoever gets it may add to it
    for keyword in _SERIES:
        element = sound_element(sources[0], keyword)
        if element is not None:
            headers[0].add(element)
    headers[0].setdefault("SliceThickness", None)  # highdicom asks for it; the volume's own is written
    for keyword in REQUIRED:
        setattr(headers[0], keyword, None)
    return headers


def _source_header(
    source: Dataset, elements: dict[BaseTag, DataElement | RawDataElement], uids: dict[tuple[str, str], DataElement]
) -> Dataset:
    """A header of `elements` and the source's own; the elements of `uids` are used again, and new ones added to it."""
    elements |= {tag: source[tag] for tag in _REPEATED if tag in source}
    for keyword in _UIDS:
        known = keyword, text(source, keyword)
        if known not in uids:
            uids[known] = _uid_element(source, keyword)
        elements[uids[known].tag] = uids[known]
    header = Dataset(elements)
    for keyword, count in _GEOMETRY.items():
        values = numbers(source, keyword, count)
        if values and all(len(str(value)) <= MAX_VALUE_LEN["DS"] for value in source[keyword].value):
            header.add(source[keyword])
        elif values:
            setattr(header, keyword, [DSfloat(value, auto_format=True) for value in values])
    if isinstance(source, Frame):
        # highdicom takes a multi-frame image as a whole or not at all, so each frame goes for a CT image until the end.
        header.add_new("SOPClassUID", "UI", CTImageStorage)
        header.add_new("SOPInstanceUID", "UI", source.own_uid)
    return header


def _uid_element(source: Dataset, keyword: str) -> DataElement:
    """A UID as it is, valid or not, in the value representation of UIDs, whatever the source has."""
    return DataElement(keyword, "UI", text(source, keyword), validation_mode=config.IGNORE)


def complete(dataset: SOPClass, source: Dataset, created: datetime.datetime | None = None) -> None:
    """Writes the source's patient and study into `dataset`, and the time of creation.

    All times of an object are of one time zone (Timezone Offset From UTC, PS3.3 C.12.1), and the study's are the
    source's: so the zone is the source's where it names one, else the machine's own, as it is nearly always there.

    Valid values are exactly the source's. The others are left out, or left empty where they are required: `defects`.

    Args:
        dataset: an object that is whole but for this.
        source: an image of the series that it was made of.
        created: when the results were made, with a time zone; now, if None. All instances of a series must have the
            same Series Date and Time, optional attributes without which archives file a series under an unknown date.
    """
    sound = sound_copy(source)
    for keyword in ("SOPClassUID", "SOPInstanceUID"):  # they say which attributes a source has
        sound.add(_uid_element(source, keyword))
    if "SpecificCharacterSet" in sound:
        dataset.add(sound["SpecificCharacterSet"])
    else:
        dataset.pop("SpecificCharacterSet", None)
    dataset.copy_patient_and_study_information(sound)
    for keyword in _OPTIONAL_REFERENCES:
        if not all(item.get("ReferencedSOPClassUID") for item in dataset.get(keyword) or [Dataset()]):
            dataset.pop(keyword, None)
    if "BodyPartExamined" not in dataset and dataset.Modality != "SR":
        dataset.BodyPartExamined = "CHEST"
    zone = time_zone(text(source, "TimezoneOffsetFromUTC"))
    if zone is not None:
        dataset.TimezoneOffsetFromUTC = text(source, "TimezoneOffsetFromUTC")
    local = (created or now()).astimezone(zone)
    for keyword in ("Series", "InstanceCreation", "Content"):
        setattr(dataset, f"{keyword}Date", local.strftime("%Y%m%d"))
        setattr(dataset, f"{keyword}Time", local.strftime("%H%M%S.%f"))
    for item in dataset.get("ContributingEquipmentSequence", ()):
        if "ContributionDateTime" in item:  # highdicom's own, in the machine's time zone
            item.ContributionDateTime = local.strftime("%Y%m%d%H%M%S.%f")


def now() -> datetime.datetime:
    """The time, with its zone."""
    return datetime.datetime.now(datetime.UTC)


def fix_dimension_organization(dataset: Dataset) -> None:
    """Replaces the random UID of the dimension organization by one that a repeated run repeats."""
    uid = derive_uid(str(dataset.SOPInstanceUID), "dimension organization")
    for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
