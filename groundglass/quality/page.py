"""The report as one HTML page that needs no other file, and names no patient and no study."""

from dataclasses import dataclass

from groundglass.domain.findings import STATES
from groundglass.quality.drift import EFFECT, MINIMUM_RECENT, MINIMUM_REFERENCE, Q_VALUE
from groundglass.quality.observations import QUANTITIES
from groundglass.quality.report import Day, Report
from groundglass.rendering.page import render_page

_DAYS_SHOWN = 60
_COLORS = {"absent": "#7fb3d5", "indeterminate": "#f0b27a", "present": "#cd6155", "other": "#b2babb"}
_TITLES = {state: f"pneumonia {state}" for state in STATES} | {"other": "not analysed"}
_NAMES = {**QUANTITIES, "state": "state of pneumonia", "outcome": "what became of the cases"}
_LIMITS = {"effect": EFFECT, "q_value": Q_VALUE, "reference": MINIMUM_REFERENCE, "recent": MINIMUM_RECENT}


def to_html(report: Report) -> str:
    """The page."""
    verdict_class, verdict = _verdict(report)
    days = [_row(report.recent, f"last {report.window_days} days")]
    days += [_row(day, str(day.day)) for day in report.days[:_DAYS_SHOWN]]
    return render_page(
        "quality/page.html.j2",
        report=report,
        verdict_class=verdict_class,
        verdict=verdict,
        limits=_LIMITS,
        names=_NAMES,
        key=[(_TITLES[name], color) for name, color in _COLORS.items()],
        quantities=QUANTITIES.values(),
        days=days,
        days_shown=_DAYS_SHOWN,
    )


def _verdict(report: Report) -> tuple[str, str]:
    """The class of the page's style, and the sentence."""
    if report.reference is None:
        return "not", "There is no reference: nothing was compared."
    drifted = [_NAMES[item.name] for item in report.comparisons if item.is_drift]
    if drifted:
        return "failed", f"Drift in: {', '.join(drifted)}."
    if not any(item.is_judged for item in report.comparisons):
        return "not", "Too few cases to judge: nothing was compared."
    return "passed", "No drift in what could be judged."


@dataclass(frozen=True)
class _Part:
    """A part of the bar of states."""

    title: str
    color: str
    cases: int
    percent: float


@dataclass(frozen=True)
class _Row:
    """A row of the table of days; `spreads` are in the order of `QUANTITIES`."""

    title: str
    cases: int
    parts: list[_Part]
    not_analysed: str
    spreads: list[str]


def _row(day: Day, title: str) -> _Row:
    outcomes, states = day.sample.outcomes, day.sample.states
    total = sum(outcomes.values())
    counts = {**states, "other": total - sum(states.values())}
    parts = [
        _Part(_TITLES[name], color, counts.get(name, 0), 100 * counts.get(name, 0) / total)
        for name, color in _COLORS.items()
    ]
    refused = [f"{count} {name.replace('_', ' ')}" for name, count in sorted(outcomes.items()) if name != "analysed"]
    spreads = [_spread(day.quantiles.get(name)) for name in QUANTITIES]
    return _Row(title, total, parts, ", ".join(refused), spreads)


def _spread(quantiles: list[float] | None) -> str:
    if quantiles is None:
        return ""
    low, middle, high = (f"{value:.0f}" if value >= 10 else f"{value:.2f}" for value in quantiles)
    return f"{middle} ({low} to {high})"
