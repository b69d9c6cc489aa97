"""The lines of docs/benchmarks.md on the saliency, from the benchmarks' reports: `python -m benchmarks.readme`."""

import json
from typing import Any

from groundglass.locations import ROOT
from groundglass.presets import SHIPPED
from training.reports.readme import write_readme

RESULTS = ROOT / "benchmarks" / "results"


def saliency_figures() -> str:
    """One row of each table, and what to hold it against."""
    report = json.loads((RESULTS / "localisation.json").read_text(encoding="utf-8"))
    rows, sets = report["rows"], report["sets"]
    counts = "; ".join(f"{name} {item['slices']} slices, {item['groups']}" for name, item in sets.items())
    cells = "; ".join(
        f"{title} {_figure(rows[row], 'precision')}, {_figure(rows[row], 'pointing')}"
        for title, row in (
            ("joint saliency", f"joint, {SHIPPED.gradients.reading}"),
            ("gradient x input", "gradient x input (captum)"),
            ("plain intensity", "intensity"),
            ("random boxes", "random boxes"),
        )
    )
    cost = json.loads((RESULTS / "saliency.json").read_text(encoding="utf-8"))
    ours, peer = cost["rows"][cost["shipped"]], cost["rows"]["captum, riemann_right, 25"]
    return (
        f"- Where it looks (average precision, pointing game, against radiologists' lesion masks; {counts}): {cells}. "
        "How gradients become the joint saliency was chosen on these slices.\n"
        f"- What it costs ({cost['slices']} slices, {cost['patients']} patients, {cost['machine']['cores']} cores, no "
        f"GPU): {ours['seconds']:.1f} s a slice, captum with the paper's rule {peer['seconds']:.1f} s in the same run; "
        f"correlation of the joint map with the exact one {ours['correlation'][4]:.4f}, on {cost['slices_with_truth']} "
        "of the slices.\n"
    )


def _figure(row: dict[str, Any], name: str) -> str:
    return f"{row[name]['value']:.2f}"


def main() -> int:
    """Put the lines between the two markers of docs/benchmarks.md."""
    write_readme("saliency", saliency_figures())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
