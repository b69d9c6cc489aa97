"""README's figures, from the reports that are shipped, and where generated figures stand in the texts."""

from typing import Any

from groundglass.locations import ROOT

EXTENTS = {"ct2": "25 to 50 % of the lungs diseased", "ct1": "less"}
"""Disease by MosMedData's degree, as README words it."""


def readme_figures(lungs: dict[str, Any], volumes: dict[str, Any], classifier: dict[str, Any]) -> str:
    """The lines README shows, from the reports."""
    folds = classifier["folds"]
    shipped, floor = folds["mosmed"]["shipped"]["joint"], folds["mosmed_floor"]
    areas = [f"{shipped[kind]['value']:.2f} with {extent}" for kind, extent in EXTENTS.items()]
    floors = [f"{floor[kind]['value']:.2f}" for kind in EXTENTS]
    curves = folds["curves"]["shipped"]
    inside = [f"{found['joint']['inside']:.2f} ({name})" for name, found in curves.items() if found["joint"]["inside"]]
    kinds = folds["kinds"]["shipped"]
    return (
        f"- Lungs: overlap (Dice, 1 is perfect) {lungs['mean_dice']:.3f} on axial slices of {lungs['patients']} "
        f"patients held out of training; whole lungs, marked by hand, {_whole_lungs(volumes)}.\n"
        f"- Pneumonia or none, on one slice of each of {sum(folds['mosmed_patients'].values())} patients, by networks "
        "that did not train on the patient: AUC (the chance that a diseased slice scores higher than a healthy one) "
        f"{', '.join(areas)}; a linear model on grey values {', '.join(floors)}.\n"
        f"- Slices that radiologists marked against the same patient's others, likewise: AUC {', '.join(inside)}.\n"
        f"- Community-acquired pneumonia (CAP) against COVID-19: AUC {kinds['auc']:.2f} on slices of "
        f"{len(kinds['studies'])} patients, on other hospitals' near guessing (0.5).\n"
    )


def _whole_lungs(report: dict[str, Any]) -> str:
    """Dice of the shipped network with all views, by public set of volumes."""
    figures = report["dice"]["figures"]["shipped weights"]["multi-view voting"]
    return " and ".join(
        f"{found['dice']['mean']:.3f} ({_patients(found['dice']['patients'])}"
        f"{', the middle of the lungs alone' if name == 'lesion_masks' else ''})"
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
