"""What the commands that train, cross-validate and score the classifier share."""

import argparse
from pathlib import Path

from groundglass.method.lung_network import LungUNet
from training.data.patients import TrainingSet, TrainingSetError, read_covid_ct_md, read_training_set, split_patients
from training.engine.loop import Plan
from training.engine.options import add_data_option
from training.engine.run_record import bind_or_end


def add_classifier_options(parser: argparse.ArgumentParser) -> None:
    """What training and cross-validating the classifier share."""
    add_data_option(parser)
    parser.add_argument("--training-set", type=Path, help="folder class/patient/*.dcm (default: the public patients)")
    parser.add_argument("--lungs", type=Path, default=Path("models/lungs/lungs.safetensors"), help="lung network")
    parser.add_argument("--out", type=Path, required=True, help="folder for slices, checkpoints, logs and weights")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same run (default 0)")


def read_patients(parser: argparse.ArgumentParser, options: argparse.Namespace, lungs: LungUNet) -> TrainingSet:
    """The hospital's own training set where one is named, else the six public patients; ends with what is wrong."""
    cache = options.out / "slices"
    if options.training_set is not None:
        try:
            own = read_training_set(options.training_set, cache, lungs)
            split_patients(own.patients)  # before hours of training, not after
            return own
        except TrainingSetError as error:
            parser.error(str(error))
    return read_covid_ct_md(options.data, cache, lungs)


def bind_recipe(
    parser: argparse.ArgumentParser, options: argparse.Namespace, data: TrainingSet, painted: Plan, tuned: Plan
) -> None:
    """Note what the painted network and the folds in `options.out` are made with, or end where it is otherwise."""
    record = {
        "fingerprint": data.fingerprint,
        "seed": options.seed,
        "iterations": painted.iterations,
        "fine_tune_iterations": tuned.iterations,
    }
    bind_or_end(parser, options.out, "classifier", record)
