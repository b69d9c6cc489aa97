"""What the commands that train, cross-validate and score the classifier share."""

import argparse
from pathlib import Path

from groundglass.domain.software import sha256_of
from groundglass.method.lung_network import LungUNet
from training.data.classifier_data import ClassifierData, read_classifier_data
from training.data.patients import TrainingSetError
from training.data.public_slices import NoPictures
from training.engine.loop import Plan
from training.engine.options import add_data_option, require_data
from training.engine.run_record import bind_or_end

WITHOUT = ("mosmed",)
"""The sets that training may leave out."""


def add_classifier_options(parser: argparse.ArgumentParser) -> None:
    """What training and cross-validating the classifier share."""
    add_data_option(parser)
    parser.add_argument("--training-set", type=Path, help="folder class/patient/*.dcm (default: the public patients)")
    parser.add_argument(
        "--without",
        choices=WITHOUT,
        help="train without this set: MosMedData is CC BY-NC-ND 3.0, which a site may have to keep away from",
    )
    parser.add_argument(
        "--start",
        type=Path,
        help="folder with all.safetensors, fold1.safetensors and so on, to go on from in place of the base network; "
        "a fold's must never have seen what the fold tests (the shipped ones went on from model_cards/evidence/start)",
    )
    parser.add_argument("--lungs", type=Path, default=Path("models/lungs/lungs.safetensors"), help="lung network")
    parser.add_argument("--out", type=Path, required=True, help="folder for slices, checkpoints, logs and weights")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same run (default 0)")


def read_data(parser: argparse.ArgumentParser, options: argparse.Namespace, lungs: LungUNet) -> ClassifierData:
    """The hospital's own training set where one is named, else the public one; ends with what is wrong."""
    require_data(parser, options.data)
    # A hospital's own patients take the place of all real slices with pneumonia.
    mosmed = options.training_set is None and options.without != "mosmed"
    try:
        return read_classifier_data(options.data, options.out / "slices", lungs, options.training_set, mosmed)
    except (TrainingSetError, NoPictures) as error:
        parser.error(str(error))


def bind_recipe(
    parser: argparse.ArgumentParser, options: argparse.Namespace, data: ClassifierData, base: Plan, further: Plan
) -> None:
    """Note what the networks in `options.out` are made with, or end where it is otherwise."""
    start = {}
    if options.start is not None:
        files = [options.start / f"{name}.safetensors" for name in data.networks]
        missing = [str(file) for file in files if not file.is_file()]
        if missing:
            parser.error(f"--start: there is no file {' and no '.join(missing)}")
        start = {file.stem: sha256_of(file) for file in files}
    record = data.record | {
        "seed": options.seed,
        "iterations": base.iterations,
        "fine_tune_iterations": further.iterations,
        "start": start,
    }
    bind_or_end(parser, options.out, "classifier", record)
