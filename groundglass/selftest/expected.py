"""What a report has to say, in the form of `cases` in result.json, from findings or from a real result.json."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from groundglass.dicomio.writing.codes import CLASS_CODES

Case = dict[str, Any]
Numbers = dict[str, list[float]]
"""Every numeric value of a report by the code of its concept, sorted."""

PROBABILITY, VOLUME, LENGTH, AREA, FRACTION = "122157", "118565006", "410668003", "42798000", "SALIENT-FRACTION"


def cases_of(results: Path) -> dict[str, Case]:
    """The cases of a folder of results, by name (`case-001`)."""
    result = json.loads((results / "result.json").read_text(encoding="utf-8"))
    return {case["case"]: case for case in result["cases"]}


def numbers(case: Case) -> Numbers:
    """Every number that the report of `case` holds."""
    found: Numbers = defaultdict(list)
    lungs = case["lungs"]
    found[PROBABILITY] += case["prediction"]["probabilities"].values()
    # The study's group has the lungs together and each, and each lung has a group of its own.
    found[VOLUME] += [lungs["volume_ml"], *2 * [lungs["right_ml"], lungs["left_ml"]]]
    if case["salient_fraction"] is not None:
        found[FRACTION].append(100 * case["salient_fraction"])
    for region in case["regions"]:
        found[VOLUME].append(region["volume_ml"])
    return {concept: sorted(values) for concept, values in found.items()}


def study(case: Case) -> dict[str, float]:
    """The study's numbers by what they are of: the class of a probability, the side of a volume."""
    of_class = {CLASS_CODES[name].value: value for name, value in case["prediction"]["probabilities"].items()}
    sides = {f"{side} lung": case["lungs"][f"{side}_ml"] for side in ("right", "left")}
    return {**of_class, **sides, "lungs": case["lungs"]["volume_ml"]}


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
