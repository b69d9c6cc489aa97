"""README's figures, from the reports that are shipped, and where generated figures stand in the texts."""

from typing import Any

from groundglass.locations import ROOT


def readme_figures(lungs: dict[str, Any], volumes: dict[str, Any], classifier: dict[str, Any]) -> str:
    """The lines README shows, from the reports."""
    folds = classifier["folds"]
    shipped, floor = folds["mosmed"]["shipped"]["joint"], folds["mosmed_floor"]
    areas = [
        f"{shipped[kind]['value']:.2f} where {extent} of the lungs is diseased (a linear model on grey values: "
        f"{floor[kind]['value']:.2f})"
        for kind, extent in (("ct2", "25 to 50 %"), ("ct1", "less than 25 %"))
    ]
    curves = folds["curves"]["shipped"]
    inside = [f"{found['joint']['inside']:.2f} ({name})" for name, found in curves.items() if found["joint"]["inside"]]
    kinds = folds["kinds"]["shipped"]
    return (
        f"- Lungs: overlap (Dice, 1 is perfect) {lungs['mean_dice']:.3f} on axial slices of {lungs['patients']} "
        f"patients held out of training; whole lungs: {_whole_lungs(volumes)}.\n"
        f"- Pneumonia or none, on one slice of each of {sum(folds['mosmed_patients'].values())} patients, each scored "
        "by a network that did not train on the patient: AUC, the chance that a diseased slice scores higher than a "
        f"healthy one, {' and '.join(areas)}.\n"
        f"- Diseased slices of a patient against the others of the same patient: AUC {', '.join(inside)}.\n"
        f"- Community-acquired pneumonia (CAP) against COVID-19: AUC {kinds['auc']:.2f} on slices of "
        f"{len(kinds['studies'])} patients; on patients of other hospitals it was near guessing (0.5), so that no kind "
        "is named by default.\n"
    )


def _whole_lungs(report: dict[str, Any]) -> str:
    """Dice of the shipped network with all views, by set of volumes."""
    figures = report["dice"]["figures"]["shipped weights"]["multi-view voting"]
    return ", ".join(
        f"{found['dice']['mean']:.3f} on {_patients(found['dice']['patients'])} of a public set with lungs marked by "
        f"hand{' (the middle of the lungs alone)' if name == 'lesion_masks' else ''}"
        for name, found in figures.items()
    )


def _patients(count: int) -> str:
    return f"{count} patient{'' if count == 1 else 's'}"


TEXTS = (ROOT / "README.md", ROOT / "docs" / "benchmarks.md")
"""Where generated lines stand, between the two markers of their section."""


def write_readme(section: str, lines: str) -> None:
    """Put lines between the two markers of a section, of README.md or of the page on benchmarks."""
    start, end = f"<!-- {section} -->\n", f"<!-- end of {section} -->"
    (document,) = (text for text in TEXTS if start in text.read_text(encoding="utf-8"))
    before, rest = document.read_text(encoding="utf-8").split(start)
    document.write_text(before + start + lines + end + rest.split(end)[1], encoding="utf-8")
