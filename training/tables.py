"""Tables 3 and 4 and Fig. 9 from the predictions of a cross-validation: `python -m training.tables --run DIR`.

Only the prediction files are read, no network: whoever has them can compute every figure again.
"""

import argparse
from pathlib import Path

from training.reports.prediction_levels import UnusablePredictions
from training.reports.table_files import write_tables


def main(arguments: list[str] | None = None) -> int:
    """Write tables.json, tables.md and the pictures, and print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m training.tables",
        description="Tables 3 and 4, ROC curves and confusion matrices from a run's predictions.",
        epilog="example: python -m training.tables --run runs/cross_validation --out runs/tables",
    )
    parser.add_argument("--run", type=Path, required=True, help="folder of training.cross_validation")
    parser.add_argument("--out", type=Path, help="folder for tables.json, tables.md and PNGs (default: the run's)")
    options = parser.parse_args(arguments)
    try:
        print(write_tables(options.run, options.out or options.run))
    except UnusablePredictions as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
