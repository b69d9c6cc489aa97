"""README's lines on the saliency, from the benchmarks' reports: `python -m benchmarks.readme`."""

import json
from pathlib import Path
from typing import Any

from app.settings import load_settings

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = REPOSITORY / "benchmarks" / "results"
START, END = "<!-- saliency -->\n", "<!-- end of saliency -->"


def saliency_figures() -> str:
    """One row of each of the two tables."""
    localisation, saliency = (
        json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")) for name in ("localisation", "saliency")
    )
    gradients = load_settings().gradients
    rows = localisation["rows"]
    counts = "; ".join(
        f"{name} {item['slices']} slices, {item['groups']}" for name, item in localisation["sets"].items()
    )
    cells = "; ".join(
        f"{title} {_figure(rows[row], 'precision')}, {_figure(rows[row], 'pointing')}"
        for title, row in (
            ("joint saliency", f"joint, {gradients.reading}"),
            ("plain intensity", "intensity"),
            ("random boxes", "random boxes"),
        )
    )
    ours, captum = (
        saliency["rows"][name] for name in (f"{gradients.rule}, {gradients.steps}", "captum, riemann_right, 25")
    )
    return (
        f"- Where it looks (average precision, pointing game, against radiologists' lesion masks; {counts}): {cells}.\n"
        f"- What that costs: {ours['seconds']:.1f} s a slice on {saliency['machine']['cores']} cores, "
        f"{captum['seconds'] / ours['seconds']:.0f} times faster than captum with the paper's rule; correlation with "
        f"the exact joint map {ours['correlation'][3]:.3f} ({saliency['slices']} slices, {saliency['patients']} "
        "patients).\n"
    )


def _figure(row: dict[str, Any], name: str) -> str:
    return f"{row[name]['value']:.2f}"


def main() -> int:
    """Put the lines between the two markers of README.md."""
    readme = REPOSITORY / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split(START)
    readme.write_text(before + START + saliency_figures() + END + rest.split(END)[1], encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
