"""README's figures, from the reports that are shipped, and where generated figures stand in the texts."""

from typing import Any

from groundglass.locations import ROOT
from training.data.public_slices import BLOCK
from training.reports.other_hospitals import count_states

EXTENTS = {"ct2": "25 to 50 % of the lungs diseased", "ct1": "less"}
"""Disease by MosMedData's degree, as README words it."""
NO_PNEUMONIA = {"normal": "healthy lungs", "benign": "nodules", "malignant": "cancer"}
"""IQ-OTH's kinds, likewise."""


def readme_figures(lungs: dict[str, Any], classifier: dict[str, Any]) -> str:
    """The lines README shows, from the reports `lungs_tables` and `classifier`."""
    folds = classifier["folds"]
    shipped, floor = folds["mosmed"]["shipped"]["joint"], folds["mosmed_floor"]
    areas = [f"{shipped[kind]['value']:.2f} with {extent}" for kind, extent in EXTENTS.items()]
    floors = [f"{floor[kind]['value']:.2f}" for kind in EXTENTS]
    curves = folds["curves"]["shipped"]
    inside = {name: found["joint"]["inside"] for name, found in curves.items() if found["joint"]["inside"]}
    kinds = folds["kinds"]["shipped"]
    marked = ", ".join(f"{value:.2f} ({name})" for name, value in inside.items())
    elsewhere = _called_elsewhere(classifier["other_hospitals"])
    patients = sum(folds["mosmed_patients"].values())
    lines = (
        f"Lungs, overlap with published masks (Dice, 1 is perfect): {_lungs(lungs)}.",
        f"Pneumonia or none, a slice of each of {patients} patients who did not train the network: AUC (the chance "
        f"that a diseased slice scores higher than a healthy one) {', '.join(areas)}; a linear model on grey values "
        f"{', '.join(floors)}.",
        f"Slices that radiologists marked against the patient's others, likewise: AUC {marked}.",
        f"Called present: {elsewhere}; of {BLOCK} neighbouring slices without pneumonia, judged as a study, "
        f"{_called_without(folds)}.",
        f"CAP against COVID-19, slices of {len(kinds['studies'])} patients: AUC {kinds['auc']:.2f} (0.5 is guessing).",
    )
    return "".join(f"- {line}\n" for line in lines)


def _called_elsewhere(report: dict[str, Any]) -> str:
    """How many COVID-19 patients of other hospitals are called what."""
    states = count_states(report)
    rest = ", ".join(f"{count} {state}" for state, count in states.items() if count and state != "present")
    told = f"{states['present']} of {sum(states.values())} COVID-19 patients of other hospitals"
    return f"{told} ({rest})" if rest else told


def _called_without(folds: dict[str, Any]) -> str:
    """Share of IQ-OTH's runs that are called present, by kind."""
    groups = folds["operating_points"]["shipped"]["groups"]
    runs = ((groups[f"IQ-OTH {kind}, runs"], what) for kind, what in NO_PNEUMONIA.items())
    return ", ".join(f"{100 * run['shares']['present']:.0f} % of {run['slices']} with {what}" for run, what in runs)


def _lungs(report: dict[str, Any]) -> str:
    """Dice of the shipped network, by public set: single slices, then volumes with all views."""
    figures = report["dice"]["figures"]["shipped weights"]
    return ", ".join(
        f"{found['mean']:.3f} on {what} ({_patients(found['patients'])})"
        for what, found in (
            ("axial slices", figures["single view"]["lung_slices"]["dice"]),
            ("the middle of the lungs", figures["multi-view voting"]["lesion_masks"]["dice"]),
            ("whole lungs", figures["multi-view voting"]["lesion_volumes"]["dice"]),
        )
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
