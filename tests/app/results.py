"""result.json as the application would write it, without the application."""

from typing import Any

import jsonschema

from groundglass.result import result_schema

UID = "1.2.3"
_SCHEMA = jsonschema.Draft202012Validator(result_schema())  # made once: hundreds of results are checked


def analysed_case(
    label: str = "np",
    probabilities: tuple[float, float, float] = (0.8, 0.1, 0.1),
    volume_ml: float = 4000.0,
    salient_fraction: float = 0.0,
    lesions: int = 0,
) -> dict[str, Any]:
    by_class = dict(zip(("np", "cap", "covid19"), probabilities, strict=True))
    return {
        **_case("analysed", None, ["case-001.preview.png"]),
        "prediction": {"label": label, "probabilities": by_class},
        "lungs": {"volume_ml": volume_ml, "right_ml": 0.55 * volume_ml, "left_ml": 0.45 * volume_ml},
        "salient_fraction": salient_fraction,
        "slices": [],
        "boxes": [
            {
                "sop_instance_uid": UID,
                "slice_index": number,
                "label": label,
                **dict.fromkeys(("column_min", "row_min", "column_max", "row_max"), 5),
                "area_mm2": 80.0,
                "score": 0.5,
                "lesion": number,
            }
            for number in range(1, lesions + 1)
        ],
        "lesions": [
            {
                "number": number,
                "slices": [number],
                "largest_extent_mm": 12.0,
                "extent_mm": [5.0, 12.0, 9.0],
                "volume_ml": 1.5,
                "lung_fraction": 0.001,
                "lung": "right",
            }
            for number in range(1, lesions + 1)
        ],
    }


def refused_case(code: str, status: str = "refused") -> dict[str, Any]:
    return _case(status, {"code": code, "text": "Slices are missing."}, [])


def _case(status: str, reason: dict[str, str] | None, outputs: list[str]) -> dict[str, Any]:
    return {
        "case": "case-001",
        "study_instance_uid": UID,
        "series_instance_uid": UID,
        "status": status,
        "reason": reason,
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
    }
    _SCHEMA.validate(result)
    return result
