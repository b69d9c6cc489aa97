"""What a run is made with, noted in its folder, so that no other run goes on from what lies there."""

import argparse
import json
from pathlib import Path
from typing import Any

from groundglass.dicomio.writing.files import write_text
from training.engine.loop import once


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
    # Every process of the run comes by here, whether the file is there yet or not: they wait for one another.
    once(lambda: _note_first(made_with, file))
    noted = json.loads(file.read_text(encoding="utf-8"))
    differing = [key for key, value in made_with.items() if noted.get(key) != value]
    if differing:
        raise RunMismatch(
            f"The folder '{folder}' holds a run with another {' and another '.join(differing)}. Give a new folder "
            "with --out, or remove that one."
        )


def bind_or_end(parser: argparse.ArgumentParser, folder: Path, name: str, made_with: dict[str, Any]) -> None:
    """`bind_run` for a command, which ends with the sentence."""
    try:
        bind_run(folder, name, made_with)
    except RunMismatch as error:
        parser.error(str(error))


def _note_first(made_with: dict[str, Any], file: Path) -> None:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(json.dumps(made_with, indent=2) + "\n", file)
