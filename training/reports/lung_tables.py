"""The lungs' figures as tables."""

from collections.abc import Sequence
from typing import Any

from training.data.lung_images import CONSOLIDATED_PART
from training.data.thresholding import AIR_HU
from training.reports.lung_figures import SHIPPED, THRESHOLD
from training.reports.metrics import FEWEST_PATIENTS


def as_markdown(report: dict[str, Any], pictures: bool = True) -> str:
    """The parts that the report has, as tables; without `pictures` no overlay is named: they show patients."""
    lines = [f"Shipped weights: SHA-256 `{report['shipped_sha256']}`.", ""]
    if "dice" in report:
        lines += _dice_tables(report["dice"])
    if "sides" in report:
        rows = [
            [position, *(f"{item[key]:.3f}" for key in ("right", "left", "right_called_left", "left_called_right"))]
            for position, item in report["sides"].items()
        ]
        head = ["Patient Position", "Dice, right", "Dice, left", "right lung called left", "left lung called right"]
        lines += [
            "### Right and left",
            "",
            "One phantom with known lungs, stored as DICOM in four ways: head first and feet first, on the back and on "
            "the front (rows, columns or both flipped).",
            "",
            *_table(head, rows),
            "",
        ]
    if "overlays" in report:
        count = len(report["overlays"])
        rows = []
        for name, item in report["overlays"].items():
            if "refused" in item:
                rows.append([name, "–", "–", f"refused: {item['refused']}"])
            else:
                picture = f"![lungs of {name}]({item['picture']})" if pictures else item["picture"]
                rows.append([name, f"{item['right_ml']:.0f}", f"{item['left_ml']:.0f}", picture])
        lines += ["### Whole chests to look at", "", f"{count} patients, the lungs as the application finds them.", ""]
        lines += _table(["patient", "right ml", "left ml", "picture"], rows)
    return "\n".join(lines).rstrip() + "\n"


def _dice_tables(part: dict[str, Any]) -> list[str]:
    figures, sets = part["figures"], part["sets"]
    lines = [
        "Mean over patients, in brackets the 95 % interval by bootstrap over six patients or more; n is their number, "
        "none of whom trained. Volumes take the application's own path: cubes of 2 mm, average over views and windows, "
        "post-processing. Single slices have an axial view only and no post-processing.",
        "",
        *(f"- {name}, {item['patients']} patients: {item['note']}." for name, item in sets.items()),
        f"- Data: SHA-256 `{part['fingerprint']}`.",
        "",
        "### Normalisation and multi-view voting (Fig. 3)",
        "",
    ]
    for row, item in part["weights"].items():
        length = f", {item['iterations']} iterations" if item["iterations"] else ""
        lines.append(f"- {row}{length}: SHA-256 `{item['sha256']}`.")
    lines.append("")
    if part["rows_missing"]:
        lines += [f"Not trained in this run, so left out: {', '.join(part['rows_missing'])}.", ""]
    whole = [name for name in sets if "painted" not in name]
    rows = [
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
    lines += _table([*head, *(f"95 % Hausdorff mm, {name}" for name in whole)], rows)
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
    return [
        *lines,
        "",
        "### Shipped network against plain thresholding, Dice",
        "",
        f"A slice is consolidated where lesion as bright as tissue takes more than {CONSOLIDATED_PART:.0%} of the "
        f"lung: above {AIR_HU:.0f} HU, or above Otsu's threshold of the 8-bit volume, where thresholding starts too.",
        "",
        *_table(["patients", *methods], rows),
        "",
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]


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
