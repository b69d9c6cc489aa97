"""The phantoms that are shown, each through the application as a user starts it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance.viewer.case import Case
from groundglass.demo import QUICKER, run_application
from groundglass.phantom.study import write_study
from groundglass.phantom.thorax import make_thorax

SLICES = 60
"""With slices further apart the classifier takes healthy lungs for ill."""


@dataclass(frozen=True)
class Phantom:
    """A study with a known end.

    Attributes:
        preset: of the phantom.
        state: of pneumonia in the result; None where the study is refused.
        without: a slice that is taken away, so that the series has a gap.
        decision: changed settings of `classification`.
    """

    preset: str
    state: str | None
    without: int | None = None
    decision: dict[str, float] = field(default_factory=dict)


PHANTOMS = {
    "positive": Phantom("covid19", "present"),
    "indeterminate": Phantom("covid19", "indeterminate", decision={"absent_below": 0.0, "present_from": 1.0}),
    "negative": Phantom("normal", "absent", decision={"absent_below": 0.5}),  # as shipped it may be indeterminate
    "refused": Phantom("covid19", None, without=30),
}
"""By the name of the case: one line for each."""


class UnexpectedEnd(Exception):
    """The application's result is another than it should be; the text says which."""


def make_cases(name: str, folder: Path, few: bool) -> Iterator[Case]:
    """Write a phantom, analyse it, and read the case.

    Args:
        name: in PHANTOMS.
        folder: for images and results; empty or new.
        few: as quick as it can be, with small images.

    Raises:
        UnexpectedEnd: the result has another state of pneumonia.
    """
    phantom = PHANTOMS[name]
    study, results = folder / "study", folder / "results"
    volume, _ = make_thorax(phantom.preset, slices=SLICES, size=256 if few else 512)
    # The number stands in for the seed, so that each has UIDs of its own.
    files = write_study(volume, study, preset=phantom.preset, seed=list(PHANTOMS).index(name))
    if phantom.without is not None:
        files[phantom.without].unlink()
    settings = QUICKER | {"saliency": {"maximum_slices": 3}} if few else QUICKER
    run_application(study, results, level="CRITICAL", **settings, classification=phantom.decision)
    found = [_state(case) for case in json.loads((results / "result.json").read_text(encoding="utf-8"))["cases"]]
    if found != [phantom.state]:
        raise UnexpectedEnd(f"Pneumonia is to be {phantom.state} in the case '{name}', and is {found}.")
    yield from Case.read_all(name, study, results)


def _state(case: dict[str, Any]) -> str | None:
    return str(case["prediction"]["state"]) if "prediction" in case else None
