"""Lungs in tables and pictures: `python -m training.lung_tables --run runs/lungs --out runs/lungs/tables`.

Fig. 3's ablation (normalisation, with and without multi-view voting), the shipped network against plain thresholding,
right and left on series stored in four ways, and an overlay of each whole chest for a person to accept or to reject.
"""

import argparse
from pathlib import Path

from training.engine.options import DATA_FOLDER, require_data
from training.reports.lung_report import PARTS, write_lung_report


def main(arguments: list[str] | None = None) -> int:
    """Write lungs_tables.json, lungs_tables.md and the overlays, and print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m training.lung_tables",
        description=__doc__,
        epilog="Fig. 3's rows: python -m training.lungs --normalisation none --out runs/lungs/none --iterations 600, "
        "and so for fixed and sliding, with equal iterations.",
    )
    parser.add_argument(
        "--run", type=Path, default=Path("runs/lungs"), help="folder with none/, fixed/, sliding/ (default runs/lungs)"
    )
    parser.add_argument("--lungs", type=Path, default=Path("models/lungs/lungs.safetensors"), help="weights that ship")
    parser.add_argument("--data", type=Path, default=DATA_FOLDER, help="CT data folder (default: $GROUNDGLASS_DATA)")
    parser.add_argument("--out", type=Path, required=True, help="folder for tables and pictures")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="default: all")
    options = parser.parse_args(arguments)
    require_data(parser, options.data)
    print(write_lung_report(options.run, options.lungs, options.data, options.out, options.parts))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
