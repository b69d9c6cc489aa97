"""`make train`: both networks, the cross-validation and the tables, going on where an earlier call stopped.

With a GPU the rows of the paper's tables follow its protocol (days); without one, all takes some hours on two cores.
"""

import argparse
from pathlib import Path

from training import classifier, cross_validation, evaluate, lungs
from training.data.normalisation import NORMALISATIONS
from training.engine.classifier_run import WITHOUT
from training.engine.options import add_data_option, require_data

ABLATION_ITERATIONS = 100
"""Of each of Fig. 3's three networks: equal, and far fewer than the shipped one's."""


def main(arguments: list[str] | None = None) -> int:
    """Train and evaluate; returns 0."""
    parser = argparse.ArgumentParser(
        prog="python -m training.train",
        description=__doc__,
        epilog="example: python -m training.train --data ../shared/data --out runs   (goes on where it was stopped)",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_data_option(parser)
    parser.add_argument("--training-set", type=Path, help="folder class/patient/*.dcm (default: the public patients)")
    parser.add_argument("--without", choices=WITHOUT, help="train the classifier without this set")
    parser.add_argument("--start", type=Path, help="networks that the classifier goes on from: see training.classifier")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of everything made (default runs)")
    options = parser.parse_args(arguments)
    require_data(parser, options.data)
    data = ["--data", str(options.data)]
    own = ["--training-set", str(options.training_set)] if options.training_set else []
    lungs.main([*data, "--out", str(options.out / "lungs")])
    for name in NORMALISATIONS:
        shorter = ["--normalisation", name, "--iterations", str(ABLATION_ITERATIONS)]
        lungs.main([*data, "--out", str(options.out / "lungs" / name), *shorter])
    common = [*data, *own, "--lungs", str(options.out / "lungs" / "lungs.safetensors")]
    made_with = ["--without", options.without] if options.without else []
    made_with += ["--start", str(options.start)] if options.start else []
    classifier.main([*common, *made_with, "--out", str(options.out / "classifier")])
    cross_validation.main([*common, *made_with, "--out", str(options.out / "classifier")])
    runs = ["--run", str(options.out / "classifier"), "--lungs-run", str(options.out / "lungs")]
    evaluate.main([*common, *runs, "--out", str(options.out / "tables")])
    print(f"The weights are under {options.out}. To ship them: python -m training.ship --run {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
