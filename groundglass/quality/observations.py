"""What result.json files say, a row a case: the day, what became of it, and what was measured.

result.json holds no time of day: the day is that of the file, in the machine's time zone, which is written when the run
ends. Copy results with their times (`cp -p`, `rsync -t`).
"""

import json
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from groundglass.dicomio.writing.files import write_text
from groundglass.domain.findings import STATES, State

QUANTITIES = {
    "p_np": "probability of no pneumonia",
    "p_cap": "probability of CAP",
    "p_covid19": "probability of COVID-19",
    "lungs_ml": "lung volume (ml)",
    "salient_fraction": "salient fraction of the lungs",
}
"""What is measured of an analysed case, and what to call it."""

LARGEST_REFERENCE = 5_000
"""Values a quantity in a reference: enough for its distribution, and a small file."""
_REFERENCE_VERSION = 3
_FORMER_NAME = "infected_fraction"
"""Of the salient fraction in results of schema 1.0, and in references of version 1."""
_FORMER_STATES: dict[str, State] = {"np": "absent", "cap": "present", "covid19": "present"}
"""What the class of a study says where there is no state: in results of schema 1.0, and in references before 3."""


class QualityError(ValueError):
    """Results or reference can't be used; the sentence says what to do."""


@dataclass(frozen=True)
class Observation:
    """One case, or a run without any.

    Attributes:
        day: on which the run ended.
        outcome: `analysed`, `no_eligible_series`, or `refused GAP` and the like.
        made_with: SHA-256 of the models and of the settings, by name.
        state: of the study's pneumonia; None unless analysed.
        values: by quantity, those that are known; empty unless analysed.
    """

    day: date
    outcome: str
    made_with: dict[str, str]
    state: State | None = None
    values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Observations:
    """What was read.

    Attributes:
        rows: of all results.
        newest: when the last run ended, in seconds since 1970.
        unreadable: result files that are none, or are dated in the future, so that no day can be told.
    """

    rows: tuple[Observation, ...]
    newest: float
    unreadable: int


def read_results(folder: Path) -> Observations:
    """Every result.json below `folder`, at any depth; hidden folders hold unfinished ones.

    Raises:
        QualityError: there is no such folder, or no result in it.
    """
    rows: list[Observation] = []
    newest, unreadable, tomorrow = 0.0, 0, time.time() + 86_400
    for path in sorted(folder.rglob("result.json")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        try:
            ended = path.stat().st_mtime
            if ended > tomorrow:  # else all that came before it would be too old to be compared
                raise ValueError("a result of the future")
            rows += observe_run(json.loads(path.read_text(encoding="utf-8")), datetime.fromtimestamp(ended).date())
        except FileNotFoundError:  # a run that has begun in this folder since it was listed
            continue
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            unreadable += 1
            continue
        newest = max(newest, ended)
    if not rows:
        raise QualityError("No result.json was found that can be read. Give the folder of the results with --results.")
    return Observations(tuple(rows), newest, unreadable)


def observe_run(result: dict[str, Any], day: date) -> list[Observation]:
    """The cases of one result.json; a run without any is one row too."""
    software = result["software"]
    made_with = {name: model["sha256"] for name, model in software["models"].items()}
    made_with["settings"] = software["settings_sha256"]
    if not result["cases"]:
        return [Observation(day, result["status"], made_with)]
    return [_observe_case(case, day, made_with) for case in result["cases"]]


def _observe_case(case: dict[str, Any], day: date, made_with: dict[str, str]) -> Observation:
    if case["status"] != "analysed":
        return Observation(day, f"{case['status']} {case['reason']['code']}", made_with)
    prediction = case["prediction"]
    state = prediction["state"] if "state" in prediction else _FORMER_STATES[prediction["label"]]
    if state not in STATES:
        raise ValueError("no state")
    values = {f"p_{name}": float(value) for name, value in prediction["probabilities"].items()}
    fraction = case["salient_fraction" if "salient_fraction" in case else _FORMER_NAME]
    values |= {"lungs_ml": case["lungs"]["volume_ml"], "salient_fraction": fraction}
    known = {name: values[name] for name in QUANTITIES if values[name] is not None}
    if not all(math.isfinite(value) for value in known.values()):
        raise ValueError("no figure")
    return Observation(day, "analysed", made_with, state, known)


@dataclass(frozen=True)
class Sample:
    """Cases taken together: a reference, or the cases of a window of days.

    Attributes:
        outcomes, states: how many of each.
        quantities: sorted values.
        made_with: the models and settings that found them.
    """

    outcomes: dict[str, int]
    states: dict[str, int]
    quantities: dict[str, list[float]]
    made_with: dict[str, str]


def sample_of(rows: Iterable[Observation], made_with: dict[str, str]) -> Sample:
    """The cases that were found with these models and settings."""
    outcomes: dict[str, int] = {}
    states: dict[str, int] = {}
    quantities: dict[str, list[float]] = {name: [] for name in QUANTITIES}
    for row in rows:
        if row.made_with != made_with:
            continue
        outcomes[row.outcome] = outcomes.get(row.outcome, 0) + 1
        if row.state:
            states[row.state] = states.get(row.state, 0) + 1
        for name, value in row.values.items():
            quantities[name].append(value)
    return Sample(outcomes, states, {name: sorted(values) for name, values in quantities.items()}, made_with)


def write_reference(observations: Observations, file: Path) -> Sample:
    """Make a reference of results that were found to be good; it holds no identifier and no case as such.

    Raises:
        QualityError: the results were found with more than one set of weights, or of settings.
    """
    made_with = observations.rows[0].made_with
    if any(row.made_with != made_with for row in observations.rows):
        raise QualityError(
            "The results were made with different weights or settings. Make the reference of results made alike."
        )
    sample = sample_of(observations.rows, made_with)
    thinned = {name: _thin(values) for name, values in sample.quantities.items()}
    content = {"reference_version": _REFERENCE_VERSION, **vars(sample), "quantities": thinned}
    write_text(json.dumps(content, indent=1) + "\n", file)
    return sample


def _thin(values: list[float]) -> list[float]:
    """At most so many of the sorted values, evenly by rank."""
    if len(values) <= LARGEST_REFERENCE:
        return values
    return [values[round(place * (len(values) - 1) / (LARGEST_REFERENCE - 1))] for place in range(LARGEST_REFERENCE)]


def read_reference(file: Path) -> Sample:
    """A reference that `write_reference` has made.

    Raises:
        QualityError: the file is none.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        version = content.pop("reference_version")
        if version == 1:
            content["quantities"]["salient_fraction"] = content["quantities"].pop(_FORMER_NAME)
        if version in (1, 2):
            content["states"] = _states_of(content.pop("labels"))
        elif version != _REFERENCE_VERSION:
            raise ValueError
        return Sample(**content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise QualityError(
            f"The reference '{file.name}' can't be read. Make it with: python -m groundglass.quality --results DIR "
            "--make-reference FILE"
        ) from error


def _states_of(labels: dict[str, int]) -> dict[str, int]:
    """How many of each state, from how many of each class."""
    states: dict[str, int] = {}
    for label, count in labels.items():
        state = _FORMER_STATES[label]
        states[state] = states.get(state, 0) + count
    return states
