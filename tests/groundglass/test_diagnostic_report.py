"""The FHIR Bundle: valid, with the values of the findings, and with no more of the patient than an identifier."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

from groundglass.diagnostic_report import make_diagnostic_report
from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.domain.findings import Prediction
from groundglass.domain.statement import statement
from groundglass.locations import ROOT
from groundglass.outputs import write_analysed
from groundglass.presets import SHIPPED
from tests.groundglass.dicomio.outputs_fixture import make_case


def resources(case: AnalysedSeries) -> list[dict[str, Any]]:
    bundle = json.loads(make_diagnostic_report(case))
    assert bundle["type"] == "collection"
    return [entry["resource"] for entry in bundle["entry"]]


def code_of(concept: dict[str, Any]) -> str:
    (coding,) = concept["coding"]
    return coding["code"]


def observations(case: AnalysedSeries, code: str) -> list[dict[str, Any]]:
    found = [each for each in resources(case) if each["resourceType"] == "Observation"]
    return [each for each in found if code_of(each["code"]) == code]


def components(observation: dict[str, Any]) -> dict[str, Any]:
    """Value of each component, by the code of what it is, or its text."""
    values = {}
    for item in observation["component"]:
        name = code_of(item["code"]) if "coding" in item["code"] else item["code"]["text"]
        quantity = item.get("valueQuantity")
        coded = item.get("valueCodeableConcept")
        values[name] = quantity["value"] if quantity else code_of(coded) if coded else item.get("valueString")
    return values


def with_prediction(prediction: Prediction) -> AnalysedSeries:
    case = make_case()
    return replace(case, findings=replace(case.findings, prediction=prediction))


@pytest.mark.parametrize("positive", [True, False])
def test_the_bundle_is_valid_and_every_reference_in_it_leads_somewhere(positive: bool) -> None:
    text = make_diagnostic_report(make_case(positive=positive))
    bundle = Bundle.model_validate_json(text)
    urls = [entry.fullUrl for entry in bundle.entry]
    assert len(set(urls)) == len(urls)
    report = bundle.entry[0].resource
    assert [reference.reference for reference in report.result] == urls[2:]  # all but report and device
    assert {entry.resource.device.reference for entry in bundle.entry[2:]} == {urls[1]}


def test_the_report_says_what_every_output_says_and_is_preliminary() -> None:
    case = make_case()
    report = resources(case)[0]
    assert (report["resourceType"], report["status"]) == ("DiagnosticReport", "preliminary")
    assert (code_of(report["category"][0]), code_of(report["code"])) == ("RAD", "24627-2")
    assert report["conclusion"].splitlines() == list(statement(case.findings.prediction))
    assert {each["status"] for each in resources(case) if "status" in each} == {"preliminary"}


def test_the_conclusion_holds_the_warnings() -> None:
    case = replace(make_case(), warnings=("Look out.",))
    assert resources(case)[0]["conclusion"].endswith("\nLook out.")


def test_patient_order_and_study_are_named_by_their_identifiers_alone() -> None:
    case = make_case()
    case.sources[0].AccessionNumber, case.sources[0].IssuerOfPatientID = "A-77", "Ward 3"
    case.sources[0].PatientName = "Doe^Jane"
    report = resources(case)[0]
    identifier = report["subject"]["identifier"]
    assert (identifier["value"], identifier["assigner"]["display"]) == ("P-1", "Ward 3")
    assert "reference" not in report["subject"]
    assert report["basedOn"][0]["identifier"]["value"] == "A-77"
    assert report["imagingStudy"][0]["identifier"] == {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}
    assert report["effectiveDateTime"] == "2020-03-05"
    assert "Doe" not in make_diagnostic_report(case)


@pytest.mark.parametrize("patient_id", ["", "P" * 65])
def test_without_a_sound_patient_id_there_is_no_subject(patient_id: str) -> None:
    case = make_case()
    case.sources[0].add_new("PatientID", "LO", "")
    case.sources[0]["PatientID"]._value = patient_id
    assert not any("subject" in each for each in resources(case))


def test_state_and_kind_are_coded_with_their_probabilities() -> None:
    case = with_prediction(Prediction((0.14, 0.4, 0.46), "present", "undetermined"))
    (state,) = observations(case, "233604007")
    assert (code_of(state["valueCodeableConcept"]), components(state)) == ("52101004", {"122157": 0.86})
    (kind,) = observations(case, "PNEUMONIA-KIND")
    assert code_of(kind["valueCodeableConcept"]) == "373068000"
    assert components(kind) == {"385093006": 0.4, "840539006": 0.46}


def test_a_kind_that_is_named_is_coded_and_none_is_told_without_a_pneumonia() -> None:
    (kind,) = observations(with_prediction(Prediction((0.1, 0.85, 0.05), "present", "cap")), "PNEUMONIA-KIND")
    assert code_of(kind["valueCodeableConcept"]) == "385093006"
    healthy = make_case(positive=False)
    assert observations(healthy, "PNEUMONIA-KIND") == observations(healthy, "130404") == []
    (state,) = observations(healthy, "233604007")
    assert code_of(state["valueCodeableConcept"]) == "272519000"


def test_volumes_are_in_millilitres_of_both_lungs_and_of_either() -> None:
    case = make_case()
    found = {code_of(each["bodySite"]): each["valueQuantity"] for each in observations(case, "118565006")}
    assert {quantity["code"] for quantity in found.values()} == {"mL"}
    expected = {
        "39607008": case.findings.volume_ml,
        "3341006": case.findings.right_ml,
        "44029006": case.findings.left_ml,
    }
    assert {site: quantity["value"] for site, quantity in found.items()} == pytest.approx(expected, abs=0.05)


def test_the_salient_fraction_is_in_percent_and_that_of_each_zone_its_component() -> None:
    case = make_case()
    (fraction,) = observations(case, "SALIENT-FRACTION")
    assert fraction["valueQuantity"]["value"] == pytest.approx(100 * case.findings.salient_fraction, abs=0.005)
    assert components(fraction) == {
        f"{side}-{third}": 1.0 for side in ("RIGHT", "LEFT") for third in ("UPPER", "MIDDLE", "LOWER")
    }
    unknown = replace(case, findings=replace(case.findings, salient_fraction=None, zones=()))
    (fraction,) = observations(unknown, "SALIENT-FRACTION")
    assert code_of(fraction["dataAbsentReason"]) == "unknown"
    assert "valueQuantity" not in fraction


def test_each_region_has_its_place_its_volume_and_its_most_telling_image() -> None:
    case = make_case()
    first, second = observations(case, "130404")
    assert (first["valueString"], code_of(first["bodySite"])) == ("Region 1", "3341006")
    assert code_of(second["bodySite"]) == "44029006"
    assert components(second) == {
        "118565006": 0.08,
        "CONTRIBUTION": 25.0,
        "Third of the lung": "281393007",
        "BEST-IMAGE": case.sources[5].SOPInstanceUID,
    }


def test_a_repeated_run_gives_the_same_identifiers() -> None:
    first, again = (json.loads(make_diagnostic_report(make_case())) for _ in range(2))
    assert [entry["fullUrl"] for entry in first["entry"]] == [entry["fullUrl"] for entry in again["entry"]]
    assert first["identifier"] == again["identifier"]


def test_the_models_of_fhir_are_imported_only_when_they_are_needed() -> None:
    script = "import sys, groundglass.outputs; raise SystemExit(any(name.startswith('fhir') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("is_on", [False, True])
def test_the_file_is_written_where_the_setting_asks_for_it(tmp_path: Path, is_on: bool) -> None:
    told: list[tuple[int, int]] = []
    settings = replace(SHIPPED, fhir=is_on)
    names = write_analysed("case-001", make_case(), settings, tmp_path, lambda *done: told.append(done))
    assert ("case-001.fhir.json" in names) == is_on
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert told[-1] == (len(names), len(names))
