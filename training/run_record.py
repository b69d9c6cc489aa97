"""What a run is made with, noted in its folder, so that no other run goes on from what lies there."""

import json
import os
from pathlib import Path
from typing import Any

from training.loop import once


class RunMismatch(ValueError):
    """The folder holds a run made otherwise; the sentence says what to do."""


def bind_run(folder: Path, name: str, made_with: dict[str, Any]) -> None:
    """Note in `folder/name.json` what a run is made with, or compare it with what is noted there.

    Checkpoints, weights and predictions that are there are taken for this run's own: with other data or another seed
    they would be told as figures of what was never trained.

    Raises:
        RunMismatch: the folder holds a run of other data, another seed, or another length.
    """
    file = folder / f"{name}.json"
    if file.exists():
        before = json.loads(file.read_text(encoding="utf-8"))
        differing = [key for key, value in made_with.items() if before.get(key) != value]
        if differing:
            raise RunMismatch(
                f"The folder '{folder}' holds a run with another {' and another '.join(differing)}. Give a new folder "
                "with --out, or remove that one."
            )
    else:
        once(lambda: _write(file, json.dumps(made_with, indent=2) + "\n"))


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(".part")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, file)
