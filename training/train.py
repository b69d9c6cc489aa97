"""`make train`: both networks, one after the other, then the table: lungs, classifier, evaluation."""

import argparse
from pathlib import Path

from training import classifier, evaluate, lungs
from training.options import DATA_FOLDER


def main(arguments: list[str] | None = None) -> int:
    """Train and evaluate; returns 0."""
    parser = argparse.ArgumentParser(
        prog="python -m training.train",
        description=__doc__,
        epilog="example: python -m training.train --data ../shared/data --out runs   (goes on where it was stopped)",
    )
    parser.add_argument("--data", type=Path, default=DATA_FOLDER, help="CT data folder (default: $GROUNDGLASS_DATA)")
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), help="folder for checkpoints and weights (default runs)"
    )
    parser.add_argument("--iterations", type=int, help="of each network; their own defaults otherwise")
    options = parser.parse_args(arguments)
    if not options.data.is_dir():
        parser.error(f"the data folder '{options.data}' does not exist: name it with --data or GROUNDGLASS_DATA")
    length = ["--iterations", str(options.iterations)] if options.iterations else []
    common = ["--data", str(options.data)]
    lungs.main([*common, "--out", str(options.out / "lungs"), *length])
    lung_weights = ["--lungs", str(options.out / "lungs" / "lungs.safetensors")]
    classifier.main([*common, *lung_weights, "--out", str(options.out / "classifier"), *length])
    evaluate.main([*common, *lung_weights, "--run", str(options.out / "classifier")])
    print(f"The weights are under {options.out}. To ship them: python -m training.ship --run {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
