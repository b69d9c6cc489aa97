"""The report as a file for the textfile collector of Prometheus' node exporter.

Labels are words of the application: no UID, no path. Days are not labels, since Prometheus keeps the time itself.
"""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from groundglass.quality.drift import Comparison
from groundglass.quality.report import QUANTILES, Day, Report

_PREFIX = "groundglass_quality_"


def to_metrics(report: Report) -> str:
    """The text of the file (Prometheus' exposition format 0.0.4)."""
    metrics = _Metrics()
    window = f"in the last {report.window_days} days"
    recent, last = report.recent, report.days[0]
    metrics.add_counts("cases", f"Cases {window}, by what became of them.", "outcome", recent.sample.outcomes)
    metrics.add_counts("states", f"Analysed cases {window}, by state of pneumonia.", "state", recent.sample.states)
    metrics.add_quantiles("quantile", f"Quantiles of what was measured {window}.", recent)
    metrics.add_counts("day_cases", "Cases on the last day with results, by outcome.", "outcome", last.sample.outcomes)
    metrics.add_counts("day_states", "Analysed cases on that day, by that state.", "state", last.sample.states)
    metrics.add_quantiles("day_quantile", "Quantiles of what was measured on that day.", last)
    metrics.add_comparisons(report.comparisons)
    told = f"Cases {window} that other weights or settings found than the reference's."
    metrics.add("made_otherwise", told).set(report.made_otherwise)
    metrics.add("unreadable", "Files named result.json that are none, or of the future.").set(report.unreadable)
    metrics.add("newest_result_timestamp_seconds", "When the last run ended.").set(report.newest)
    return generate_latest(metrics.registry).decode()


class _Metrics:
    """Gauges in a registry of their own: nothing of this process is told."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

    def add(self, name: str, told: str, labels: Iterable[str] = ()) -> Gauge:
        return Gauge(_PREFIX + name, told, labels, registry=self.registry)

    def add_counts(self, name: str, told: str, label: str, counts: dict[str, int]) -> None:
        gauge = self.add(name, told, [label])
        for value in sorted(counts):
            gauge.labels(value).set(counts[value])

    def add_quantiles(self, name: str, told: str, day: Day) -> None:
        gauge = self.add(name, told, ["quantity", "quantile"])
        for quantity, values in day.quantiles.items():
            for quantile, value in zip(QUANTILES, values, strict=True):
                gauge.labels(quantity, quantile).set(value)

    def add_comparisons(self, comparisons: Iterable[Comparison]) -> None:
        judged = self.add("judged", "Whether there were cases enough to compare with the reference.", ["quantity"])
        told = "Whether the recent cases differ from the reference beyond chance and by enough to matter."
        drift = self.add("drift", told, ["quantity"])
        effect = self.add("effect", "How much they differ, from 0 to 1.", ["quantity"])
        told = "How likely chance alone makes such a difference, after Benjamini and Hochberg."
        q_value = self.add("q_value", told, ["quantity"])
        for item in comparisons:
            judged.labels(item.name).set(item.is_judged)
            drift.labels(item.name).set(item.is_drift)
            if item.effect is not None and item.q_value is not None:
                effect.labels(item.name).set(item.effect)
                q_value.labels(item.name).set(item.q_value)
