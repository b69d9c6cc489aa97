"""result.json as the application would write it, without the application."""

from typing import Any

import jsonschema
import numpy as np

from groundglass.domain.findings import Box, Findings, Region
from groundglass.method.decision import DecisionRule
from groundglass.presets import SHIPPED
from groundglass.result import MERCURE_KEY, describe, mercure_notification, result_schema

UID = "1.2.3"
_SCHEMA = jsonschema.Draft202012Validator(result_schema())  # made once: hundreds of results are checked


def analysed_case(
    probabilities: tuple[float, float, float] = (0.8, 0.1, 0.1),
    volume_ml: float = 4000.0,
    salient_fraction: float = 0.0,
    regions: int = 0,
    rule: DecisionRule = SHIPPED.classification.decision,
) -> dict[str, Any]:
    """A case with so many regions, each of one box on a slice of its own."""
    boxes = tuple(Box(number, "cap", 5, 5, 5, 5, 80.0, 0.5, 0.5, number) for number in range(1, regions + 1))
    found = tuple(Region(box.region, 0.5 / box.region, (box.slice_index,), "right", "lower", 1.5, box) for box in boxes)
    findings = Findings(
        lungs=np.empty(0, np.uint8),
        right_ml=0.55 * volume_ml,
        left_ml=0.45 * volume_ml,
        prediction=rule.apply(probabilities),
        salient_fraction=salient_fraction,
        slices=(),
        boxes=boxes,
        regions=found,
    )
    images = [{"sop_instance_uid": UID}] * (regions + 1)
    return {**_case("analysed", None, ["case-001.preview.png"]), **describe(findings, images)}


def refused_case(code: str, status: str = "refused") -> dict[str, Any]:
    return _case(status, {"code": code, "text": "Slices are missing."}, [])


def _case(status: str, reason: dict[str, str] | None, outputs: list[str]) -> dict[str, Any]:
    return {
        "case": "case-001",
        "study_instance_uid": UID,
        "series_instance_uid": UID,
        "status": status,
        "reason": reason,
        "warnings": [],
        "source_defects": [],
        "outputs": outputs,
        "timings_s": {"lungs": 2.0},
    }


def make_result(*cases: dict[str, Any], weights: str = "a", settings: str = "e") -> dict[str, Any]:
    """A result.json that satisfies the schema; `weights` and `settings` are repeated to hashes."""
    analysed = [case["status"] == "analysed" for case in cases]
    status = "success" if all(analysed) else "partial" if any(analysed) else "failed"
    models = {name: {"sha256": weights * 64} for name in ("lungs", "classifier")}
    software = {"name": "Groundglass", "version": "0.1.0", "models": models, "device": "cpu"}
    result = {
        "schema_version": "2.0",
        "status": status if cases else "no_eligible_series",
        "software": software | {"settings_sha256": settings * 64},
        "cases": list(cases),
        "series_rejected": [],
        "files_ignored": [],
        MERCURE_KEY: mercure_notification(cases),
    }
    _SCHEMA.validate(result)
    return result
