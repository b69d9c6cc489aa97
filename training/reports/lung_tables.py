"""The lungs' figures as tables."""

from typing import Any

from training.data.lung_images import CONSOLIDATED_PART
from training.data.thresholding import AIR_HU
from training.reports.lung_figures import SHIPPED, THRESHOLD
from training.reports.markdown import grid, render
from training.reports.metrics import FEWEST_PATIENTS


def as_markdown(report: dict[str, Any], pictures: bool = True) -> str:
    """The parts that the report has, as tables; without `pictures` no overlay is named: they show patients."""
    parts = [f"Shipped weights: SHA-256 `{report['shipped_sha256']}`.\n"]
    if "dice" in report:
        parts.append(_dice_tables(report["dice"]))
    if "sides" in report:
        rows = [
            [position, *(f"{item[key]:.3f}" for key in ("right", "left", "right_called_left", "left_called_right"))]
            for position, item in report["sides"].items()
        ]
        parts.append(render("sides", rows=rows))
    if "overlays" in report:
        rows = []
        for name, item in report["overlays"].items():
            if "refused" in item:
                rows.append([name, "–", "–", f"refused: {item['refused']}"])
            else:
                picture = f"![lungs of {name}]({item['picture']})" if pictures else item["picture"]
                rows.append([name, f"{item['right_ml']:.0f}", f"{item['left_ml']:.0f}", picture])
        parts.append(render("overlays", rows=rows))
    return "\n".join(parts)


def _dice_tables(part: dict[str, Any]) -> str:
    figures, sets = part["figures"], part["sets"]
    whole = [name for name in sets if "painted" not in name]
    ablation = [
        [
            row,
            view,
            *(_cell(by_set.get(name, {}).get("dice"), 3) for name in whole),
            *(_cell(by_set.get(name, {}).get("hausdorff_95_mm"), 1) for name in whole),
        ]
        for row, by_view in figures.items()
        if row != THRESHOLD
        for view, by_set in by_view.items()
    ]
    head = ["normalisation", "views", *(f"Dice, {name}" for name in whole)]
    methods = {
        "thresholding": figures[THRESHOLD][""],
        "network, axial view": figures[SHIPPED]["single view"],
        "network, multi-view": figures[SHIPPED]["multi-view voting"],
    }
    rows = [[name, *(_cell(found.get(name, {}).get("dice"), 3) for found in methods.values())] for name in whole]
    for name in sets:
        dense = figures[THRESHOLD][""][name]["dice_consolidated"]
        if dense["patients"]:
            cells = [_cell(found.get(name, {}).get("dice_consolidated"), 3) for found in methods.values()]
            rows.append([f"{name}: {dense['slices']} consolidated slices", *cells])
    return render(
        "dice",
        part=part,
        ablation=grid([*head, *(f"95 % Hausdorff mm, {name}" for name in whole)], ablation),
        consolidated_part=f"{CONSOLIDATED_PART:.0%}",
        air_hu=f"{AIR_HU:.0f}",
        methods=grid(["patients", *methods], rows),
    )


def _cell(figures: dict[str, Any] | None, digits: int) -> str:
    """Mean, interval and number of patients for a table."""
    if figures is None or figures["mean"] is None:
        return "–"
    text = f"{figures['mean']:.{digits}f}"
    if figures["interval"] and figures["patients"] >= FEWEST_PATIENTS:
        low, high = figures["interval"]
        text += f" [{low:.{digits}f}, {high:.{digits}f}]"
    if figures.get("without_value"):
        text += f", {figures['without_value']} without"
    return f"{text} (n = {figures['patients']})"
