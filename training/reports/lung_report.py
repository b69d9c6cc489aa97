"""The report of the lungs: figures, tables and overlays as files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from groundglass.domain.software import sha256_of
from groundglass.method.weights import load_lung_network
from training.data.normalisation import NORMALISATIONS, Normalisation
from training.data.scored_lungs import load_scored_sets
from training.reports.lung_figures import ROWS, SHIPPED, score_all, score_sides
from training.reports.lung_overlays import draw_overlays
from training.reports.lung_tables import as_markdown

PARTS = ("dice", "sides", "overlays")


def write_lung_report(run: Path, lungs: Path, data: Path, out: Path, parts: Sequence[str] = PARTS) -> str:
    """Write lungs_tables.json, lungs_tables.md and the overlays; returns the tables.

    Args:
        run: folder with Fig. 3's rows, none/, fixed/ and sliding/.
        lungs: weights that ship.
        data: the CT data folder.
        out: folder for tables and pictures.
        parts: some of PARTS.
    """
    weights = find_weights(run, lungs)
    networks = {row: (load_lung_network(path), normalisation) for row, (path, normalisation) in weights.items()}
    network = networks[SHIPPED][0]
    report: dict[str, Any] = {"shipped_sha256": sha256_of(lungs)}
    if "dice" in parts:
        report["dice"] = score_all(networks, load_scored_sets(data))
        report["dice"]["weights"] = {row: describe_weights(path) for row, (path, _) in weights.items()}
    if "sides" in parts:
        report["sides"] = score_sides(network)
    if "overlays" in parts:
        report["overlays"] = draw_overlays(network, data, out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "lungs_tables.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    markdown = as_markdown(report)
    (out / "lungs_tables.md").write_text(markdown, encoding="utf-8")
    return markdown


def find_weights(run: Path, shipped: Path) -> dict[str, tuple[Path, Normalisation]]:
    """Weight files with their normalisation, by row: Fig. 3's rows that the run has, and the shipped ones."""
    weights = {title: (run / name / "lungs.safetensors", NORMALISATIONS[name]) for name, title in ROWS.items()}
    present = {title: item for title, item in weights.items() if item[0].is_file()}
    return present | {SHIPPED: (shipped, NORMALISATIONS["sliding"])}


def describe_weights(path: Path) -> dict[str, Any]:
    """SHA-256, and how long the run beside the file trained, where it says so."""
    told = path.with_name("report.json")
    iterations = json.loads(told.read_text(encoding="utf-8"))["iterations"] if told.is_file() else None
    return {"sha256": sha256_of(path), "iterations": iterations}
