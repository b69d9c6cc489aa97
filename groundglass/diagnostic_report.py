"""The findings for an electronic health record: a DiagnosticReport with Observations, as FHIR R4 (hl7.org/fhir/R4).

One Bundle (collection) holds the report, its observations and the software as a Device. All are preliminary: nobody has
confirmed them. The patient, the order and the study are named by their identifiers alone, exactly as the images have
them; the server that takes the Bundle finds the resources by those. FHIR R4B, whose models check the content, has left
these resources as they are in R4.
"""

import datetime
import uuid
from collections.abc import Mapping
from typing import Any

from pydicom.sr.coding import Code

from groundglass.dicomio.reading.attributes import quiet_pydicom
from groundglass.dicomio.reading.defects import sound_element
from groundglass.dicomio.reading.frames import reference_uid
from groundglass.dicomio.writing import codes, identity
from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.domain.class_names import CLASS_NAMES, CLASSES
from groundglass.domain.findings import Region, Zone
from groundglass.domain.software import RESEARCH_USE
from groundglass.domain.statement import statement

Json = dict[str, Any]

_SYSTEMS = {
    "SCT": "http://snomed.info/sct",
    "LN": "http://loinc.org",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    # FHIR names a code system by a URI, and nobody has registered one for the private scheme.
    codes.PRIVATE_SCHEME: f"urn:oid:{identity.derive_uid('coding scheme', codes.PRIVATE_SCHEME)}",
}
_UCUM = "http://unitsofmeasure.org"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"

_CT_CHEST = Code("24627-2", "LN", "CT Chest")
_BEST_IMAGE = Code("BEST-IMAGE", codes.PRIVATE_SCHEME, "SOP Instance UID of the most telling image")
_LUNGS = {
    "both": Code("39607008", "SCT", "Lung structure"),
    "right": Code("3341006", "SCT", "Right lung structure"),
    "left": Code("44029006", "SCT", "Left lung structure"),
}
"""Body sites; FHIR has no place for a laterality beside them."""


@quiet_pydicom()
def make_diagnostic_report(analysed: AnalysedSeries) -> str:
    """The Bundle as JSON.

    Observations: the state of pneumonia with its probability; its kind with the probability of each, unless pneumonia
    is absent; the volume of both lungs and of either; the salient fraction, its components that of each third of each
    lung; each listed region with volume, contribution, third and most telling image.

    Args:
        analysed: a run that is repeated gives resources with the same identifiers.

    Raises:
        pydantic.ValidationError: the content is not valid, which is a defect.
    """
    from fhir.resources.R4B.bundle import Bundle  # takes a second, and few ask for it

    bundle = Bundle.model_validate(_Resources(analysed).bundle())
    text: str = bundle.model_dump_json(indent=2)
    return text + "\n"


class _Resources:
    """The resources of one series; they share subject, study, time and device."""

    def __init__(self, analysed: AnalysedSeries) -> None:
        self._analysed = analysed
        self._parts = identity.run_parts(analysed.sources, analysed.software)
        self._issued = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self._study = {
            "type": "ImagingStudy",
            "identifier": _uid_identifier(str(analysed.sources[0].StudyInstanceUID)),
        }
        self._shared = self._subject() | self._time()

    def bundle(self) -> Json:
        """All of them, the report first."""
        observations = self._observations()
        resources = {"report": self._report(list(observations)), "device": self._device(), **observations}
        return {
            "resourceType": "Bundle",
            "type": "collection",
            "identifier": _uid_identifier(self._uid("bundle")),
            "timestamp": self._issued,
            "entry": [{"fullUrl": self._url(name), "resource": resource} for name, resource in resources.items()],
        }

    def _uid(self, name: str) -> str:
        return identity.derive_uid(*self._parts, "FHIR", name)

    def _url(self, name: str) -> str:
        """What resources of the Bundle call one of them."""
        return f"urn:uuid:{uuid.UUID(int=int(self._uid(name).removeprefix('2.25.')))}"

    def _sound(self, keyword: str) -> str:
        """A value of the first image; empty where there is none that the standard allows."""
        element = sound_element(self._analysed.sources[0], keyword)
        return "" if element is None or element.value is None else str(element.value).strip()

    def _subject(self) -> Json:
        patient_id = self._sound("PatientID")
        if not patient_id:
            return {}
        issuer = self._sound("IssuerOfPatientID")
        identifier = _typed_identifier("MR", "Medical record number", patient_id)
        assigner = {"assigner": {"display": issuer}} if issuer else {}
        return {"subject": {"type": "Patient", "identifier": identifier | assigner}}

    def _time(self) -> Json:
        """The day of the study: FHIR allows no time of day without its zone, which few sources name."""
        date = self._sound("StudyDate")
        return {"effectiveDateTime": f"{date[:4]}-{date[4:6]}-{date[6:]}"} if date else {}

    def _report(self, observations: list[str]) -> Json:
        accession_number = self._sound("AccessionNumber")
        order = {"type": "ServiceRequest", "identifier": _typed_identifier("ACSN", "Accession ID", accession_number)}
        return {
            "resourceType": "DiagnosticReport",
            "identifier": [_uid_identifier(self._uid("report"))],
            **({"basedOn": [order]} if accession_number else {}),
            "status": "preliminary",
            "category": [_concept("RAD", f"{_TERMINOLOGY}/v2-0074", "Radiology")],
            "code": _coded(_CT_CHEST),
            **self._shared,
            "issued": self._issued,
            "result": [{"reference": self._url(name)} for name in observations],
            "imagingStudy": [self._study],
            "conclusion": "\n".join((*statement(self._analysed.findings.prediction), *self._analysed.warnings)),
        }

    def _device(self) -> Json:
        software = self._analysed.software
        hashes = identity.algorithm_parameters(software)
        return {
            "resourceType": "Device",
            "manufacturer": identity.MANUFACTURER,
            "serialNumber": identity.device_serial_number(software),
            "deviceName": [{"name": software.name, "type": "model-name"}],
            "type": _coded(codes.ARTIFICIAL_INTELLIGENCE),
            "version": [
                {"type": {"text": "software"}, "value": software.version},
                *({"type": {"text": name}, "value": value} for name, value in hashes.items()),
            ],
            "note": [{"text": f"{RESEARCH_USE}."}],
        }

    def _observations(self) -> dict[str, Json]:
        findings = self._analysed.findings
        found = {"state": self._state()}
        if findings.prediction.state != "absent":
            found["kind"] = self._kind()
        volumes_ml = {"both": findings.volume_ml, "right": findings.right_ml, "left": findings.left_ml}
        for side, volume_ml in volumes_ml.items():
            found[f"volume {side}"] = self._observation(codes.VOLUME, _LUNGS[side], _milliliters(volume_ml, 1))
        found["salient fraction"] = self._salient_fraction()
        for region in findings.regions:
            found[f"region {region.number}"] = self._region(region)
        return found

    def _state(self) -> Json:
        prediction = self._analysed.findings.prediction
        probability = {"code": _coded(codes.PROBABILITY)} | _probability(prediction.pneumonia_probability)
        value = {"valueCodeableConcept": _coded(codes.STATES[prediction.state])}
        return self._observation(codes.PNEUMONIA, _LUNGS["both"], value, [probability])

    def _kind(self) -> Json:
        prediction = self._analysed.findings.prediction
        kind = codes.KINDS[prediction.kind]
        probabilities = [
            {"code": _coded(codes.KINDS[name], f"Probability of {CLASS_NAMES[name]}")} | _probability(value)
            for name, value in zip(CLASSES[1:], prediction.probabilities[1:], strict=True)
        ]
        return self._observation(codes.KIND, _LUNGS["both"], {"valueCodeableConcept": _coded(kind)}, probabilities)

    def _salient_fraction(self) -> Json:
        findings = self._analysed.findings
        zones = [{"code": _coded(_zone(zone))} | _percent(zone.salient_fraction) for zone in findings.zones]
        return self._observation(codes.SALIENT_FRACTION, _LUNGS["both"], _percent(findings.salient_fraction), zones)

    def _region(self, region: Region) -> Json:
        image_uid = str(reference_uid(self._analysed.sources[region.best_slice]))
        return {
            **self._observation(
                codes.SALIENCY,
                _LUNGS[region.side],
                {"valueString": f"Region {region.number}"},
                [
                    {"code": _coded(codes.VOLUME)} | _milliliters(region.volume_ml, 2),
                    {"code": _coded(codes.CONTRIBUTION)} | _percent(region.contribution),
                    {"code": {"text": "Third of the lung"}, "valueCodeableConcept": _coded(codes.ZONES[region.third])},
                    {"code": _coded(_BEST_IMAGE), "valueString": image_uid},
                ],
            ),
            "note": [{"text": "A place that drove the classification; no lesion segmentation."}],
        }

    def _observation(self, code: Code, site: Code, value: Json, components: list[Json] | None = None) -> Json:
        return {
            "resourceType": "Observation",
            "status": "preliminary",
            "category": [_concept("imaging", f"{_TERMINOLOGY}/observation-category", "Imaging")],
            "code": _coded(code),
            **self._shared,
            "issued": self._issued,
            **value,
            "bodySite": _coded(site),
            "device": {"reference": self._url("device")},
            "derivedFrom": [self._study],
            **({"component": components} if components else {}),
        }


def _zone(zone: Zone) -> Code:
    """A third of one lung: SNOMED CT has no code for one with its side."""
    meaning = f"{zone.side.capitalize()} lung, {zone.third} third"
    return Code(f"{zone.side}-{zone.third}".upper(), codes.PRIVATE_SCHEME, meaning)


def _coded(code: Code, text: str | None = None) -> Json:
    """A CodeableConcept; the text says more than the code's own meaning."""
    concept = _concept(code.value, _SYSTEMS[code.scheme_designator], code.meaning)
    return concept if text is None else concept | {"text": text}


def _concept(code: str, system: str, display: str) -> Json:
    return {"coding": [{"system": system, "code": code, "display": display}]}


def _typed_identifier(code: str, display: str, value: str) -> Json:
    return {"type": _concept(code, f"{_TERMINOLOGY}/v2-0203", display), "value": value}


def _uid_identifier(uid: str) -> Mapping[str, str]:
    """A DICOM UID as FHIR has it (ImagingStudy.identifier)."""
    return {"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}


def _quantity(value: float, digits: int, unit: str, code: str) -> Json:
    return {"valueQuantity": {"value": round(value, digits), "unit": unit, "system": _UCUM, "code": code}}


def _milliliters(volume_ml: float, digits: int) -> Json:
    return _quantity(volume_ml, digits, "mL", "mL")


def _probability(value: float) -> Json:
    return _quantity(value, 3, "1", "1")


def _percent(fraction: float | None) -> Json:
    """A fraction in percent, or that it can't be told."""
    if fraction is None:
        return {"dataAbsentReason": _concept("unknown", f"{_TERMINOLOGY}/data-absent-reason", "Unknown")}
    return _quantity(100 * fraction, 2, "%", "%")
