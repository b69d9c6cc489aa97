"""The pictures of the report: what the application shows of the phantoms."""

from pathlib import Path

from groundglass.selftest.runs import Runs


def previews(runs: Runs) -> list[tuple[str, Path]]:
    """The preview of each phantom that was analysed and has one, with a line on what it shows."""
    shown = []
    for phantom in runs.phantoms:
        try:
            case = runs.first.case_of(phantom)
        except LookupError:
            continue  # the checks have told so
        preset = phantom.preset
        truth = f"true class {phantom.truth.label}, found: pneumonia {case['prediction']['state']}"
        line = f"Phantom {preset.name}, stored {preset.patient_position}: {truth}"
        path = runs.first.out / f"{case['case']}.preview.png"
        if path.is_file():
            shown.append((line, path))
    return shown
