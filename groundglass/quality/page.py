"""The report as one HTML page that needs no other file, and names no patient and no study."""

from html import escape

from groundglass.domain.class_names import LONG_CLASS_NAMES
from groundglass.quality.drift import EFFECT, MINIMUM_RECENT, MINIMUM_REFERENCE, Q_VALUE, Comparison
from groundglass.quality.observations import QUANTITIES
from groundglass.quality.report import Day, Report

_DAYS_SHOWN = 60
_COLORS = {"np": "#7fb3d5", "cap": "#f0b27a", "covid19": "#cd6155", "other": "#b2babb"}
_TITLES = LONG_CLASS_NAMES | {"other": "not analysed"}
_NAMES = {**QUANTITIES, "label": "label", "outcome": "what became of the cases"}
_STYLE = """
body { font: 15px/1.45 system-ui, "DejaVu Sans", sans-serif; color: #1d2733; max-width: 1200px; margin: 2rem auto;
  padding: 0 1.5rem } table { border-collapse: collapse; margin: .6rem 0 1.4rem }
td, th { padding: .25rem .9rem .25rem 0; text-align: left; border-bottom: 1px solid #e1e6eb; vertical-align: top }
.bar { display: flex; width: 240px; height: 1.1em } .bar span { display: block } .quiet { color: #6b7280 }
.verdict { padding: .8rem 1rem; border-left: 6px solid; background: #f4f6f8; font-size: 1.1rem }
.drift { color: #b42318 } .none { color: #1a7f37 } .not { color: #6b7280 } .key span { padding: 0 .5em }
"""


def to_html(report: Report) -> str:
    """The page."""
    kind, verdict = _verdict(report)
    key = "".join(f'<span style="background:{color}">{_TITLES[name]}</span> ' for name, color in _COLORS.items())
    days = "".join(_day_row(day, str(day.day)) for day in report.days[:_DAYS_SHOWN])
    head = "".join(f"<th>{title}</th>" for title in ("day", "cases", "labels", "not analysed", *QUANTITIES.values()))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Groundglass: quality</title>'
        f"<style>{_STYLE}</style><h1>Quality after deployment</h1>"
        f'<p class="verdict {kind}">{escape(verdict)}</p>{_comparison_table(report)}'
        f"<h2>Day by day</h2><p class=quiet>The day is that of the result's file. Quantities: median (10th to 90th "
        f"percentile). {len(report.days)} days with results, the last {_DAYS_SHOWN} of them shown; "
        f"{report.unreadable} files could not be read.</p><p class=key>{key}</p>"
        f"<table><tr>{head}</tr>{_day_row(report.recent, f'last {report.window_days} days')}{days}</table>"
        "<p class=quiet>Research use only; not for clinical decisions.</p></html>\n"
    )


def _verdict(report: Report) -> tuple[str, str]:
    if report.reference is None:
        return "not", "There is no reference: nothing was compared."
    drifted = [_NAMES[item.name] for item in report.comparisons if item.is_drift]
    if drifted:
        return "drift", f"Drift in: {', '.join(drifted)}."
    if not any(item.is_judged for item in report.comparisons):
        return "not", "Too few cases to judge: nothing was compared."
    return "none", "No drift in what could be judged."


def _comparison_table(report: Report) -> str:
    if report.reference is None:
        return ""
    rows = "".join(_comparison_row(item) for item in report.comparisons)
    other = (
        f" {report.made_otherwise} recent cases were found with other weights or settings and left out."
        if report.made_otherwise
        else ""
    )
    return (
        f"<p class=quiet>The last {report.window_days} days against the reference. Drift is a difference of at least "
        f"{EFFECT:g} with q up to {Q_VALUE:g} (docs/quality.md); with fewer than {MINIMUM_REFERENCE} cases in the "
        f"reference or {MINIMUM_RECENT} recent ones nothing is judged.{other}</p>"
        "<table><tr><th>what</th><th>reference cases</th><th>recent</th><th>difference</th><th>q</th><th></th></tr>"
        f"{rows}</table>"
    )


def _comparison_row(item: Comparison) -> str:
    figures = (f"{item.effect:.3f}", f"{item.q_value:.4f}") if item.is_judged else ("", "")
    kind, verdict = ("drift", "drift") if item.is_drift else ("none", "no drift")
    if not item.is_judged:
        kind, verdict = "not", "too few to judge"
    cells = (_NAMES[item.name], str(item.reference), str(item.recent), *figures)
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}<td class={kind}>{verdict}</td></tr>"


def _day_row(day: Day, title: str) -> str:
    outcomes, labels = day.sample.outcomes, day.sample.labels
    total = sum(outcomes.values())
    parts = {**labels, "other": total - sum(labels.values())}
    bar = "".join(
        f'<span style="width:{100 * parts.get(name, 0) / total:.1f}%;background:{color}" title="{_TITLES[name]} '
        f'{parts.get(name, 0)}"></span>'
        for name, color in _COLORS.items()
    )
    refused = ", ".join(
        f"{count} {name.replace('_', ' ')}" for name, count in sorted(outcomes.items()) if name != "analysed"
    )
    cells = [escape(title), str(total), f"<div class=bar>{bar}</div>", escape(refused)]
    cells += [_spread(day.quantiles.get(name)) for name in QUANTITIES]
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _spread(quantiles: list[float] | None) -> str:
    if quantiles is None:
        return ""
    low, middle, high = (f"{value:.0f}" if value >= 10 else f"{value:.2f}" for value in quantiles)
    return f"{middle} ({low} to {high})"
