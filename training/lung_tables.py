"""Lungs in tables and pictures: `python -m training.lung_tables --run runs/lungs --out runs/lungs/tables`.

Fig. 3's ablation (normalisation, with and without multi-view voting), the shipped network against plain thresholding,
right and left on series stored in four ways, and an overlay of each whole chest for a person to accept or to reject.
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tqdm import tqdm

from groundglass import presets
from groundglass.dicomio.reading.scan import scan_folder
from groundglass.dicomio.reading.volume import read_images
from groundglass.domain.errors import Refusal
from groundglass.domain.software import sha256_of
from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG, CTVolume
from groundglass.method.lung_network import LungUNet
from groundglass.method.lung_segmentation import VIEWS, lung_volumes_ml, segment_lungs
from groundglass.method.normalisation import scale_to_window
from groundglass.method.weights import load_lung_network
from groundglass.phantom.study import STORED_AXES, write_study
from groundglass.phantom.thorax import make_thorax
from training.classifier_data import PATIENT_CLASS, read_patient
from training.lung_data import (
    AIR_HU,
    CONSOLIDATED_PART,
    GRID_MM,
    HELD_OUT_CASE,
    NORMALISATIONS,
    LungImages,
    Normalisation,
    ScoredSet,
    consolidated_planes,
    load_sources,
    paint_held_out,
    threshold_images,
)
from training.lungs import dice_score, find_lungs, hausdorff_95_mm, mean_over_patients
from training.metrics import FEWEST_PATIENTS
from training.options import DATA_FOLDER

PARTS = ("dice", "sides", "overlays")
ROWS = {"none": "no normalisation", "fixed": "fixed window", "sliding": "sliding window"}
"""Fig. 3's rows by the name of the folder in the run."""
VIEWS_OF = {"single view": ("axial",), "multi-view voting": tuple(VIEWS)}
SHIPPED, THRESHOLD = "shipped weights", "thresholding"
VOLUMES = {
    "lesion_masks": (
        HELD_OUT_CASE,
        (1.5, 1.4, 1.4),
        "the middle of the lungs, slices with lesions alone, 8-bit with local contrast enhancement",
    ),
    "lesion_volumes": ("case_*", (8.0, 1.5, 1.5), "whole lungs, 8-bit; no patient of the source trained"),
}
"""Files, spacing and description by source. Neither source states its spacing: these make the lungs about as high and
as wide as lungs are."""
APEX_FIRST = (("lesion_volumes", "case_1"),)
"""The one volume that is stored from the apex downwards."""
OVERLAYS = (*PATIENT_CLASS, "lung_dx_A0001")

Masks = dict[str, list[np.ndarray]]
"""Lungs found by one method: by set, one bool `(plane, row, col)` a patient."""


def load_scored_sets(data: Path) -> dict[str, ScoredSet]:
    """Every public patient whose lungs are marked and who did not train.

    Raises:
        FileNotFoundError: a part of the data folder is missing.
    """
    _, held_out = load_sources(data)
    singles = [LungImages(item.image[1:2], item.lung[1:2], item.spacing_mm) for item in held_out["lung_slices"]]
    note = "one axial slice a patient: no other view exists; 1.4 mm pixels assumed"
    sets = {
        "lung_slices": ScoredSet(note, tuple(singles), tuple(np.zeros(1, dtype=bool) for _ in singles)),
        "lung_slices, painted": paint_held_out(singles),
    }
    for name, (pattern, spacing_mm, note) in VOLUMES.items():
        paths = sorted((data / name).glob(f"{pattern}.npz"))
        if not paths:
            raise FileNotFoundError(f"The data folder holds no volume of '{name}'. Name a complete one with --data.")
        items, consolidated = [], []
        for path in paths:
            step = 1 if (name, path.stem) in APEX_FIRST else -1
            with np.load(path) as stored:
                item = LungImages(stored["image"][::step], stored["lung"][::step], spacing_mm)
                consolidated.append(consolidated_planes(item, stored["lesion"][::step]))
            items.append(item)
        spacing = " × ".join(f"{length:g}" for length in spacing_mm)
        sets[name] = ScoredSet(f"{note}; spacing {spacing} mm assumed", tuple(items), tuple(consolidated))
    return sets


def fingerprint(sets: dict[str, ScoredSet]) -> str:
    """SHA-256 over images and lungs of all sets, in order."""
    digest = hashlib.sha256()
    for scored in sets.values():
        for item in scored.patients:
            digest.update(item.image.tobytes())
            digest.update(item.lung.tobytes())
    return digest.hexdigest()


def find_everywhere(method: Callable[[LungImages], np.ndarray], sets: dict[str, ScoredSet], title: str) -> Masks:
    """Lungs that `method` finds in every patient of `sets`."""
    return {
        name: [method(item) for item in tqdm(scored.patients, desc=f"{title}: {name}", unit="patient")]
        for name, scored in sets.items()
    }


def find_by_all(
    networks: dict[str, tuple[LungUNet, Normalisation]], sets: dict[str, ScoredSet]
) -> dict[str, dict[str, Masks]]:
    """Lungs by every method: row, view, set. Single slices appear under the single view alone."""
    volumes = {name: scored for name, scored in sets.items() if scored.is_volumes}
    found = {THRESHOLD: {"": find_everywhere(threshold_images, sets, THRESHOLD)}}
    for row, (network, normalisation) in networks.items():
        found[row] = {
            view: find_everywhere(
                partial(find_lungs, network, normalisation, views=planes),
                sets if len(planes) == 1 else volumes,
                f"{row}, {view}",
            )
            for view, planes in VIEWS_OF.items()
        }
    return found


def score_masks(masks: Sequence[np.ndarray], scored: ScoredSet) -> dict[str, Any]:
    """Dice and 95 % Hausdorff distance over all planes, and Dice over the consolidated planes of those who have any."""
    pairs = list(zip(masks, scored.patients, strict=True))
    dense = [
        dice_score(found[planes], item.lung[planes])
        for (found, item), planes in zip(pairs, scored.consolidated, strict=True)
        if planes.any()
    ]
    return {
        "dice": mean_over_patients([dice_score(found, item.lung) for found, item in pairs]),
        "hausdorff_95_mm": mean_over_patients(
            [hausdorff_95_mm(found, item.lung, item.spacing_mm) for found, item in pairs]
        ),
        "dice_consolidated": mean_over_patients(dense)
        | {"slices": int(sum(planes.sum() for planes in scored.consolidated))},
    }


def score_all(networks: dict[str, tuple[LungUNet, Normalisation]], sets: dict[str, ScoredSet]) -> dict[str, Any]:
    """The report's part `dice`: figures by row, view and set."""
    found = find_by_all(networks, sets)
    return {
        "fingerprint": fingerprint(sets),
        "sets": {name: {"note": scored.note, "patients": len(scored.patients)} for name, scored in sets.items()},
        "rows_missing": [title for row, title in ROWS.items() if title not in networks],
        "figures": {
            row: {
                view: {name: score_masks(masks, sets[name]) for name, masks in by_set.items()}
                for view, by_set in by_view.items()
            }
            for row, by_view in found.items()
        },
    }


def score_sides(network: LungUNet, slices: int = 60, size: int = 256) -> dict[str, Any]:
    """Dice of each lung on the phantom, written as DICOM and read back, by Patient Position."""
    preset = "covid19"
    volume, truth = make_thorax(preset, slices=slices, size=size)
    figures = {}
    for position in tqdm(STORED_AXES, desc="right and left", unit="series"):
        with TemporaryDirectory() as folder:
            write_study(volume, Path(folder), preset=preset, patient_position=position)
            stored = read_images(scan_folder(Path(folder)).series[0].instances).volume
        labels = stored.to_canonical(segment_lungs(network, stored, presets.SHIPPED.lungs.windows, GRID_MM))
        figures[position] = {
            "right": dice_score(labels == RIGHT_LUNG, truth.lungs == RIGHT_LUNG),
            "left": dice_score(labels == LEFT_LUNG, truth.lungs == LEFT_LUNG),
            "right_called_left": float((labels[truth.lungs == RIGHT_LUNG] == LEFT_LUNG).mean()),
            "left_called_right": float((labels[truth.lungs == LEFT_LUNG] == RIGHT_LUNG).mean()),
        }
    return figures


def draw_overlay(volume: CTVolume, lungs: np.ndarray, title: str, path: Path, count: int = 6) -> None:
    """Outline the lungs on `count` slices between apex and base, right in red and left in blue, as PNG."""
    import matplotlib.pyplot as plt

    hu, labels = volume.to_canonical(volume.hu), volume.to_canonical(lungs)
    inside = np.nonzero(labels.any(axis=(1, 2)))[0]
    picks = np.linspace(inside[0], inside[-1], count + 2).round().astype(int)[1:-1]
    figure, axes = plt.subplots(1, count, figsize=(4 * count, 4.6))
    for axis, index in zip(axes, picks, strict=True):
        axis.imshow(scale_to_window(hu[index], -1350, 150), cmap="gray", vmin=0, vmax=1)
        for side, colour in ((RIGHT_LUNG, "red"), (LEFT_LUNG, "deepskyblue")):
            if (labels[index] == side).any():
                axis.contour(labels[index] == side, levels=[0.5], colors=colour, linewidths=1.0)
        axis.set_title(f"slice {index} from the apex")
        axis.axis("off")
    figure.suptitle(title)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=75)
    plt.close(figure)


def draw_overlays(network: LungUNet, data: Path, out: Path, names: Sequence[str] = OVERLAYS) -> dict[str, Any]:
    """Segment whole chests as the application does, and draw each; volumes in ml, or why one was refused."""
    figures: dict[str, Any] = {}
    for name in tqdm(names, desc="overlays", unit="volume"):
        volume = read_patient(data, name)
        try:
            lungs = segment_lungs(network, volume, presets.SHIPPED.lungs.windows, GRID_MM)
        except Refusal as refusal:
            figures[name] = {"refused": refusal.reason}
            continue
        right_ml, left_ml = lung_volumes_ml(lungs, volume)
        title = f"{name}: right (red) {right_ml:.0f} ml, left (blue) {left_ml:.0f} ml"
        draw_overlay(volume, lungs, title, out / f"overlay_{name}.png")
        figures[name] = {"right_ml": right_ml, "left_ml": left_ml, "picture": f"overlay_{name}.png"}
    return figures


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


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]


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


def main(arguments: list[str] | None = None) -> int:
    """Write lungs_tables.json, lungs_tables.md and the overlays, and print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m training.lung_tables",
        description=__doc__,
        epilog="Fig. 3's rows: python -m training.lungs --normalisation none --out runs/lungs/none --iterations 600, "
        "and so for fixed and sliding, with equal iterations.",
    )
    parser.add_argument(
        "--run", type=Path, default=Path("runs/lungs"), help="folder with none/, fixed/, sliding/ (default runs/lungs)"
    )
    parser.add_argument("--lungs", type=Path, default=Path("models/lungs/lungs.safetensors"), help="weights that ship")
    parser.add_argument("--data", type=Path, default=DATA_FOLDER, help="CT data folder (default: $GROUNDGLASS_DATA)")
    parser.add_argument("--out", type=Path, required=True, help="folder for tables and pictures")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="default: all")
    options = parser.parse_args(arguments)
    weights = find_weights(options.run, options.lungs)
    networks = {row: (load_lung_network(path), normalisation) for row, (path, normalisation) in weights.items()}
    network = networks[SHIPPED][0]
    report: dict[str, Any] = {"shipped_sha256": sha256_of(options.lungs)}
    if "dice" in options.parts:
        report["dice"] = score_all(networks, load_scored_sets(options.data))
        report["dice"]["weights"] = {row: describe_weights(path) for row, (path, _) in weights.items()}
    if "sides" in options.parts:
        report["sides"] = score_sides(network)
    if "overlays" in options.parts:
        report["overlays"] = draw_overlays(network, options.data, options.out)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "lungs_tables.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    markdown = as_markdown(report)
    (options.out / "lungs_tables.md").write_text(markdown, encoding="utf-8")
    print(markdown)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
