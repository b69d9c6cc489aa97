"""The command-line options that all training commands share."""

import argparse
import os
from pathlib import Path

DATA_FOLDER = Path(os.environ.get("GROUNDGLASS_DATA", "../shared/data"))
"""Where the CT data for training and measuring lies; never inside the repository."""


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """Add the data folder."""
    parser.add_argument("--data", type=Path, default=DATA_FOLDER, help="CT data folder (default: $GROUNDGLASS_DATA)")


def add_training_options(parser: argparse.ArgumentParser, iterations: int, batch: int, learning_rate: float) -> None:
    """Add data, output, length, batch, learning rate and seed."""
    add_data_option(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint, log, report and weights")
    parser.add_argument("--iterations", type=int, default=iterations, help=f"default {iterations}")
    parser.add_argument("--batch", type=int, default=batch, help=f"default {batch}")
    parser.add_argument("--learning-rate", type=float, default=learning_rate, help=f"default {learning_rate}")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same run (default 0)")
    parser.add_argument("--save-every", type=int, default=100, help="iterations between checkpoints (default 100)")


def require_data(parser: argparse.ArgumentParser, folder: Path) -> None:
    """End the command where the folder of the public data is not there."""
    if not folder.is_dir():
        parser.error(
            f"the data folder '{folder}' does not exist: name it with --data or GROUNDGLASS_DATA. It holds the public "
            "sets that lungs and painted disease are learnt from, beside your --training-set: docs/retrain.md lists "
            "them. docs/notebooks/retrain.ipynb trains the classifier without it."
        )
