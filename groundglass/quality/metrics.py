"""The report as a file for the textfile collector of Prometheus' node exporter.

Labels are words of the application: no UID, no path. Days are not labels, since Prometheus keeps the time itself.
"""

from collections.abc import Iterable, Iterator

from groundglass.quality.report import QUANTILES, Day, Report

_PREFIX = "groundglass_quality_"


def to_metrics(report: Report) -> str:
    """The text of the file (Prometheus' exposition format 0.0.4)."""
    window = f"in the last {report.window_days} days"
    lines = [
        *_metric(
            "cases", f"Cases {window}, by what became of them.", _counts("outcome", report.recent.sample.outcomes)
        ),
        *_metric("labels", f"Analysed cases {window}, by label.", _counts("label", report.recent.sample.labels)),
        *_metric("quantile", f"Quantiles of what was measured {window}.", _quantiles(report.recent)),
        *_metric(
            "day_cases",
            "Cases on the last day with results, by outcome.",
            _counts("outcome", report.days[0].sample.outcomes),
        ),
        *_metric("day_labels", "Analysed cases on that day, by label.", _counts("label", report.days[0].sample.labels)),
        *_metric("day_quantile", "Quantiles of what was measured on that day.", _quantiles(report.days[0])),
        *_metric(
            "judged",
            "Whether there were cases enough to compare with the reference.",
            ((f'quantity="{item.name}"', item.is_judged) for item in report.comparisons),
        ),
        *_metric(
            "drift",
            "Whether the recent cases differ from the reference beyond chance and by enough to matter.",
            ((f'quantity="{item.name}"', item.is_drift) for item in report.comparisons),
        ),
        *_metric(
            "effect",
            "How much they differ, from 0 to 1.",
            ((f'quantity="{item.name}"', item.effect) for item in report.comparisons if item.effect is not None),
        ),
        *_metric(
            "q_value",
            "How likely chance alone makes such a difference, after Benjamini and Hochberg.",
            ((f'quantity="{item.name}"', item.q_value) for item in report.comparisons if item.q_value is not None),
        ),
        *_metric(
            "made_otherwise",
            f"Cases {window} that other weights or settings found than the reference's.",
            [("", report.made_otherwise)],
        ),
        *_metric("unreadable", "Files named result.json that are none, or of the future.", [("", report.unreadable)]),
        *_metric("newest_result_timestamp_seconds", "When the last run ended.", [("", report.newest)]),
    ]
    return "\n".join(lines) + "\n"


def _metric(name: str, told: str, values: Iterable[tuple[str, float]]) -> Iterator[str]:
    yield f"# HELP {_PREFIX}{name} {told}"
    yield f"# TYPE {_PREFIX}{name} gauge"
    for labels, value in values:
        yield f"{_PREFIX}{name}{{{labels}}} {float(value)!r}" if labels else f"{_PREFIX}{name} {float(value)!r}"


def _counts(label: str, counts: dict[str, int]) -> Iterator[tuple[str, int]]:
    for name in sorted(counts):
        yield f'{label}="{name}"', counts[name]


def _quantiles(day: Day) -> Iterator[tuple[str, float]]:
    for name, values in day.quantiles.items():
        for quantile, value in zip(QUANTILES, values, strict=True):
            yield f'quantity="{name}",quantile="{quantile}"', value
