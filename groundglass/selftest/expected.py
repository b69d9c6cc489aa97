"""What a report has to say, in the form of `cases` in result.json, from findings or from a real result.json.

All of it by codes, as a program reads it: `(concept, site or finding, side)` for a number.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundglass.dicomio.writing import codes
from groundglass.dicomio.writing.tracking import region_name

Case = dict[str, Any]
Numbers = dict[str, list[float]]
"""Every numeric value of a report by the code of its concept, sorted."""
Subject = tuple[str, str, str]
"""Codes of what a number is, of its site or finding, and of the side; "" where it has none."""

PROBABILITY, VOLUME, FRACTION, CONTRIBUTION = (
    code.value for code in (codes.PROBABILITY, codes.VOLUME, codes.SALIENT_FRACTION, codes.CONTRIBUTION)
)
ROUNDED = {PROBABILITY: 6e-4, VOLUME: 0.056, FRACTION: 0.051, CONTRIBUTION: 0.051}
"""How far a number of a report may be from the truth: it has three digits of a probability, one decimal of ml and %."""


def cases_of(results: Path) -> dict[str, Case]:
    """The cases of a folder of results, by name (`case-001`)."""
    result = json.loads((results / "result.json").read_text(encoding="utf-8"))
    return {case["case"]: case for case in result["cases"]}


def study(case: Case) -> dict[Subject, float]:
    """The study's numbers."""
    probabilities, lungs = case["prediction"]["probabilities"], case["lungs"]
    found = {(PROBABILITY, codes.KINDS[kind].value, ""): probabilities[kind] for kind in ("cap", "covid19")}
    found[PROBABILITY, codes.PNEUMONIA.value, ""] = 1 - probabilities["np"]
    lung = codes.LUNG.value
    found[VOLUME, lung, ""] = lungs["volume_ml"]
    for side in ("right", "left"):
        found[VOLUME, lung, codes.SIDES[side].value] = lungs[f"{side}_ml"]
    if case["salient_fraction"] is not None:
        found[FRACTION, lung, ""] = 100 * case["salient_fraction"]
    for zone in case["zones"]:
        if zone["salient_fraction"] is not None:
            place = codes.ZONES[zone["third"]].value, codes.SIDES[zone["side"]].value
            found[FRACTION, *place] = 100 * zone["salient_fraction"]
    return found


def regions(case: Case) -> dict[str, dict[Subject, float]]:
    """The numbers of each region by its tracking identifier, each with the region's place."""
    found = {}
    for region in case["regions"]:
        place = codes.ZONES[region["third"]].value, codes.SIDES[region["side"]].value
        found[region_name(region["number"])] = {
            (VOLUME, *place): region["volume_ml"],
            (CONTRIBUTION, *place): 100 * region["contribution"],
        }
    return found


def evaluations(case: Case) -> dict[str, str]:
    """The coded answers: state, kind where there may be a pneumonia, and run status."""
    prediction = case["prediction"]
    positive = prediction["state"] != "absent"
    status = codes.SUCCEEDED_WITH_FINDINGS if positive else codes.SUCCEEDED_WITHOUT_FINDINGS
    found = {codes.PNEUMONIA.value: codes.STATES[prediction["state"]].value, codes.RUN_STATUS.value: status.value}
    return found | ({codes.KIND.value: codes.KINDS[prediction["kind"]].value} if positive else {})


def numbers(*of: Mapping[Subject, float]) -> Numbers:
    """All numbers of `study` and of each of `regions`, or of some of them, by concept alone."""
    found: Numbers = defaultdict(list)
    for subjects in of:
        for (concept, _, _), value in subjects.items():
            found[concept].append(value)
    return {concept: sorted(values) for concept, values in found.items()}


def boxes(case: Case) -> list[tuple[str, tuple[float, ...]]]:
    """The box of each region: its image's UID, and left, top, right, bottom along the outer edges of its pixels."""
    return sorted(
        (
            region["sop_instance_uid"],
            (
                region["box"]["column_min"],
                region["box"]["row_min"],
                region["box"]["column_max"] + 1,
                region["box"]["row_max"] + 1,
            ),
        )
        for region in case["regions"]
    )
