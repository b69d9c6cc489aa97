"""All that is told of the results: each day, the recent days against the reference, and what drifted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from groundglass.quality.drift import Comparison, compare
from groundglass.quality.observations import QUANTITIES, Observation, Observations, Sample, sample_of

QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class Day:
    """One day, or several together.

    Attributes:
        day: the last of them.
        sample: its cases.
        quantiles: by quantity, as in `QUANTILES`; none where no case was analysed.
    """

    day: date
    sample: Sample
    quantiles: dict[str, list[float]]


@dataclass(frozen=True)
class Report:
    """What the page and the metrics are made of.

    Attributes:
        days: every day with results, newest first; whatever models and settings found them.
        recent: the last `window_days` days together.
        reference: or None where there is none yet.
        comparisons: of `recent` with the reference, of what the same models and settings found.
        made_otherwise: recent cases that other models or settings found than the reference's; they are not compared.
        newest: when the last run ended, in seconds since 1970.
        unreadable: result files that are none, or of the future.
    """

    days: list[Day]
    recent: Day
    window_days: int
    reference: Sample | None
    comparisons: list[Comparison]
    made_otherwise: int
    newest: float
    unreadable: int


def make_report(observations: Observations, reference: Sample | None, window_days: int) -> Report:
    """Count, compare."""
    rows = observations.rows
    days = sorted({row.day for row in rows}, reverse=True)
    recent = [row for row in rows if row.day > days[0] - timedelta(days=window_days)]
    comparable = sample_of(recent, reference.made_with) if reference else None
    return Report(
        days=[_day(day, [row for row in rows if row.day == day]) for day in days],
        recent=_day(days[0], recent),
        window_days=window_days,
        reference=reference,
        comparisons=compare(reference, comparable) if reference and comparable else [],
        made_otherwise=sum(row.made_with != reference.made_with for row in recent) if reference else 0,
        newest=observations.newest,
        unreadable=observations.unreadable,
    )


def _day(day: date, rows: Sequence[Observation]) -> Day:
    # Of all models and settings: what came in on a day is told whichever version analysed it.
    parts = [sample_of(rows, dict(made_with)) for made_with in {tuple(row.made_with.items()) for row in rows}]
    outcomes = {name: sum(part.outcomes.get(name, 0) for part in parts) for part in parts for name in part.outcomes}
    states = {name: sum(part.states.get(name, 0) for part in parts) for part in parts for name in part.states}
    values = {name: sorted(value for part in parts for value in part.quantities[name]) for name in QUANTITIES}
    quantiles = {name: [float(q) for q in np.quantile(found, QUANTILES)] for name, found in values.items() if found}
    return Day(day, Sample(outcomes, states, values, {}), quantiles)
