"""Train the multi-scale classifier (II-D to II-G): `python -m training.classifier --data DIR --out DIR`.

First on disease painted into healthy slices, then fine-tuned with real patients: once with all of them for the shipped
weights, and once for each fold by patient (`training.cross_validation` trains the folds of the tables). A patient's
label goes to those of their slices that look most diseased to the painted-only network; lesion masks and radiologists'
slice labels never train.
"""

import argparse
from dataclasses import replace

from groundglass.method.weights import load_lung_network
from training.data.patients import split_patients
from training.data.slices import prepare_bases
from training.engine.classifier_run import add_classifier_options, bind_recipe, read_patients
from training.engine.classifier_training import PAINTED_PLAN, TUNED_PLAN, fine_tune, train_painted


def main(arguments: list[str] | None = None) -> int:
    """Train, resuming where an earlier call stopped, and export the weights."""
    parser = argparse.ArgumentParser(prog="python -m training.classifier", description=__doc__)
    add_classifier_options(parser)
    parser.add_argument("--iterations", type=int, default=PAINTED_PLAN.iterations, help="on painted lesions")
    parser.add_argument("--fine-tune-iterations", type=int, default=TUNED_PLAN.iterations, help="on patients")
    options = parser.parse_args(arguments)
    lungs = load_lung_network(options.lungs)
    bases = prepare_bases(options.data, options.out / "slices", lungs)
    painted_plan = replace(PAINTED_PLAN, iterations=options.iterations)
    tuned_plan = replace(TUNED_PLAN, iterations=options.fine_tune_iterations)
    training_set = read_patients(parser, options, lungs)
    bind_recipe(parser, options, training_set, painted_plan, tuned_plan)
    pretrained = train_painted(options.out, bases, painted_plan, options.seed)
    runs = {"all": training_set.patients}
    for number, tested in enumerate(split_patients(training_set.patients)):
        runs[f"fold{number + 1}"] = tuple(item for item in training_set.patients if item.name not in tested)
    for name, patients in runs.items():
        fine_tune(options.out / name, pretrained, patients, bases, tuned_plan, options.seed)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
