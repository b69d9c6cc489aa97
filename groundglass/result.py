"""result.json: what a run found, for programs to act on. Its form is `result.schema.json` beside this file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
from pydicom import Dataset

from groundglass.case import ANALYSED, Case, RunRecord
from groundglass.dicomio.reading.frames import Frame
from groundglass.dicomio.writing.files import write_text
from groundglass.domain.class_names import CLASSES
from groundglass.domain.findings import Findings
from groundglass.domain.software import SoftwareIdentity
from groundglass.domain.statement import statement
from groundglass.exit_codes import ExitCode

SCHEMA_VERSION = "2.0"
RESULT_FILE = "result.json"
MERCURE_KEY = "__mercure_notification"
"""What the DICOM orchestrator mercure looks for in the result.json of a module."""
_NO_CASE = "No series is a chest CT that can be analysed; result.json has the reasons."
_EDGES = ("column_min", "row_min", "column_max", "row_max")

_EXIT_CODES = {
    "success": ExitCode.SUCCESS,
    "partial": ExitCode.PARTIAL,
    "no_eligible_series": ExitCode.NO_ELIGIBLE_SERIES,
    "failed": ExitCode.ALL_FAILED,
}


def result_schema() -> dict[str, Any]:
    """The JSON Schema of result.json."""
    schema: dict[str, Any] = json.loads(Path(__file__).with_name("result.schema.json").read_text(encoding="utf-8"))
    return schema


def write_result(record: RunRecord, software: SoftwareIdentity, folder: Path) -> ExitCode:
    """Check the result against its schema, write it whole, and tell the exit code it means.

    Raises:
        jsonschema.ValidationError: the result does not have the promised form, which is a defect.
        OutputFailed: the file can't be written.
    """
    result = make_result(record, software)
    # Not jsonschema.validate, which judges the schema too: a test does that, once for all.
    jsonschema.Draft202012Validator(result_schema()).validate(result)
    write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", folder / RESULT_FILE)
    return _EXIT_CODES[result["status"]]


def make_result(record: RunRecord, software: SoftwareIdentity) -> dict[str, Any]:
    """The content of result.json."""
    analysed = [case.status == ANALYSED for case, _ in record.cases]
    if not analysed:
        status = "no_eligible_series"
    elif all(analysed):
        status = "success"
    else:
        status = "partial" if any(analysed) else "failed"
    cases = [_case(case, outputs) for case, outputs in record.cases]
    return {
        "schema_version": SCHEMA_VERSION,
        "status": status,
        "software": {
            "name": software.name,
            "version": software.version,
            "models": {name: {"sha256": sha256} for name, sha256 in software.weights_sha256.items()},
            "device": software.device,
            "settings_sha256": software.settings_sha256,
        },
        "cases": cases,
        "series_rejected": record.series_rejected,
        "files_ignored": record.files_ignored,
        MERCURE_KEY: mercure_notification(cases),
    }


def mercure_notification(cases: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What mercure tells people of a run, from the cases as result.json has them.

    mercure puts `text` into the mail or the webhook of its rule. `requested` sends it where the rule notifies only on
    request: where there is something to look at, a case with pneumonia present or indeterminate or one without a
    result. mercure makes up the subject itself, and nothing here is of a patient.
    """
    lines, requested = [], False
    for case in cases:
        if case["status"] == ANALYSED:
            told = " ".join(case["prediction"]["statement"])
            requested |= case["prediction"]["state"] != "absent"
        else:
            told = f"Not analysed ({case['reason']['code']}). {case['reason']['text']}"
            requested = True
        lines.append(" ".join([f"{case['case']}: {told}", *case["warnings"]]))
    return {"text": "\n".join(lines) or _NO_CASE, "requested": requested}


def _case(case: Case[Any], outputs: list[str]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "case": case.name,
        "study_instance_uid": case.study_instance_uid,
        "series_instance_uid": case.series_instance_uid,
        "status": case.status,
        "reason": None if case.reason is None else {"code": case.reason_code, "text": case.reason},
        "warnings": list(case.warnings),
        "source_defects": [vars(defect) for defect in case.source_defects],
        "outputs": outputs,
        "timings_s": {stage: round(seconds, 3) for stage, seconds in case.timings_s.items()},
    }
    findings = case.found
    if case.status != ANALYSED or not isinstance(findings, Findings):
        return result
    return result | describe(findings, [_image(source) for source in case.sources])


def describe(findings: Findings, images: Sequence[Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """What result.json tells of findings.

    Args:
        findings: on the grid of the source images.
        images: what names each image; None where there are none, but an array.
    """
    prediction = findings.prediction
    named = images or [{}] * (1 + max((item.index for item in findings.slices), default=0))
    return {
        "prediction": {
            "statement": list(statement(prediction)),
            "state": prediction.state,
            "pneumonia_probability": round(prediction.pneumonia_probability, 6),
            "kind": prediction.kind,
            "label": prediction.label,
            "probabilities": _by_class(prediction.probabilities),
        },
        "lungs": {
            "volume_ml": round(findings.volume_ml, 1),
            "right_ml": round(findings.right_ml, 1),
            "left_ml": round(findings.left_ml, 1),
            "reach_border": findings.reach_border,
        },
        "salient_fraction": findings.salient_fraction,
        "slices": [
            {
                "index": item.index,
                **named[item.index],
                "lung_area_mm2": round(item.lung_area_mm2, 1),
                "probabilities": _by_class(item.probabilities),
                "explained": item.explained,
                "completeness_error": None
                if item.completeness_error is None
                else dict(zip(("conv3", "conv4", "conv5"), item.completeness_error, strict=True)),
                "why_not_explained": item.why_not_explained,
            }
            for item in findings.slices
        ],
        "boxes": [
            {**named[box.slice_index], **vars(box), "share": round(box.share, 6), "region": box.region or None}
            for box in findings.boxes
        ],
        "regions": [
            {
                "number": region.number,
                "contribution": round(region.contribution, 6),
                "side": region.side,
                "third": region.third,
                "volume_ml": round(region.volume_ml, 2),
                "first_slice": region.slices[0],
                "last_slice": region.slices[-1],
                "slices": list(region.slices),
                "best_slice": region.best_slice,
                **named[region.best_slice],
                "box": {edge: getattr(region.box, edge) for edge in _EDGES},
            }
            for region in findings.regions
        ],
        "unlisted_regions": findings.unlisted_regions,
        "zones": [vars(zone) for zone in findings.zones],
    }


def _image(source: Dataset) -> dict[str, Any]:
    """What names a slice: an image, or one of its frames."""
    frame = {"frame_number": source.number} if isinstance(source, Frame) else {}
    return {"sop_instance_uid": str(source.SOPInstanceUID), **frame}


def _by_class(probabilities: tuple[float, float, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in zip(CLASSES, probabilities, strict=True)}
