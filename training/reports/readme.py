"""README's figures, from the reports that are shipped, and where generated figures stand in the texts."""

from typing import Any

from groundglass.domain.class_names import CLASSES
from groundglass.locations import ROOT


def readme_figures(lungs: dict[str, Any], volumes: dict[str, Any], classifier: dict[str, Any]) -> str:
    """The lines README shows, from the reports."""
    curves = classifier["disease"]["painted"]
    against = curves["infected slices against healthy patients"]["normal002"]
    shipped = next(
        entry
        for entry in classifier["tables"]["entries"]
        if entry["row"] == "shipped" and tuple(entry["task"]) == CLASSES
    )
    studies = classifier["studies"]["shipped"].values()
    right = sum(study["label"] == study["true"] for study in studies)
    return (
        f"- Lungs, axial slices: mean Dice {lungs['mean_dice']:.3f} on {lungs['patients']} patients held out of "
        f"training; whole lungs, as the application does it: {_whole_lungs(volumes)}.\n"
        f"- Infected slices against a healthy patient's: AUC {against:.2f}, {len(curves['inside']) + 1} patients, by a "
        "network that saw painted lesions only.\n"
        f"- NP / CAP / COVID-19, two folds by patient: slice accuracy {shipped['slice']['pooled_accuracy']:.2f}, "
        f"{right} of {len(studies)} patients right, by a rule that was chosen on these patients.\n"
    )


def _whole_lungs(report: dict[str, Any]) -> str:
    """Dice of the shipped network with all views, by set of volumes."""
    figures = report["dice"]["figures"]["shipped weights"]["multi-view voting"]
    return ", ".join(
        f"{found['dice']['mean']:.3f} on {name} (patients: {found['dice']['patients']}"
        f"{', the middle of the lungs alone' if name == 'lesion_masks' else ''})"
        for name, found in figures.items()
    )


TEXTS = (ROOT / "README.md", ROOT / "docs" / "benchmarks.md")
"""Where generated lines stand, between the two markers of their section."""


def write_readme(section: str, lines: str) -> None:
    """Put lines between the two markers of a section, of README.md or of the page on benchmarks."""
    start, end = f"<!-- {section} -->\n", f"<!-- end of {section} -->"
    (document,) = (text for text in TEXTS if start in text.read_text(encoding="utf-8"))
    before, rest = document.read_text(encoding="utf-8").split(start)
    document.write_text(before + start + lines + end + rest.split(end)[1], encoding="utf-8")
