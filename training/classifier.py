"""Train the multi-scale classifier (II-D to II-G): `python -m training.classifier --data DIR --out DIR`.

First on disease painted into healthy slices, then fine-tuned with real patients: once with all of them for the shipped
weights, and once for each fold by patient (`training.cross_validation` trains the folds of the tables). A patient's
label goes to those of his slices that look most diseased to the painted-only network; lesion masks and radiologists'
slice labels never train.
"""

import argparse
import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from groundglass.domain.class_names import CLASSES
from groundglass.method.classifier_network import MultiScaleClassifier, classification_loss
from groundglass.method.lung_network import LungUNet
from groundglass.method.precision import mixed_precision
from groundglass.method.weights import load_classifier, load_lung_network
from training.checkpoint import export_weights
from training.classifier_data import SliceSet, draw_painted, draw_real, prepare_bases
from training.dataset import (
    Patient,
    TrainingSet,
    TrainingSetError,
    read_covid_ct_md,
    read_training_set,
    split_patients,
)
from training.loop import Draw, Plan, fit, once
from training.options import add_data_option
from training.run_record import bind_or_end

PAINTED_PLAN = Plan(
    iterations=1000, batch=16, learning_rate=6e-4, cosine=True, average_decay=0.99, validate_every=10**9
)
TUNED_PLAN = replace(PAINTED_PLAN, iterations=120, learning_rate=1.2e-4)
ATTEMPTS = 20
"""Base slices tried until one takes the disease."""
SUSPECT_PART = 0.4
"""Part of a diseased patient's slices that carry his label in fine-tuning: those that look most diseased."""


@torch.inference_mode()
def predict(network: nn.Module, slices: SliceSet, masked: bool) -> np.ndarray:
    """Probabilities `(slice, class)`, the mean of each slice and its mirror image."""
    network.eval()
    rows = []
    for first in range(0, len(slices.hu), 16):
        numbers = range(first, min(first + 16, len(slices.hu)))
        images = torch.from_numpy(np.stack([slices.image(number, masked) for number in numbers]))[:, None]
        images = images.contiguous(memory_format=torch.channels_last)
        with mixed_precision(images.device):
            both = network(images).float().softmax(1) + network(images.flip(3)).float().softmax(1)
        rows.append(both.numpy() / 2)
    return np.concatenate(rows)


def equal_class_loss(scores: Tensor, target: Tensor) -> Tensor:
    """Eq. 1 where classes are drawn equally often, so that the inverse class frequencies are equal."""
    return classification_loss(scores.float(), target, torch.ones(scores.shape[1], device=scores.device))


def painted_draw(bases: SliceSet, seed: int, labels: Sequence[int], contrast: bool = True) -> Draw:
    """Draw painted slices, `labels` in turn.

    Args:
        bases: healthy slices.
        seed: of all random choices.
        labels: class indices to paint; a sample's target is its position among them.
        contrast: with contrast augmentation.
    """

    def draw(iteration: int, n: int) -> tuple[np.ndarray, int]:
        for attempt in range(ATTEMPTS):
            rng = np.random.default_rng((seed, iteration, n, attempt))
            number, label = int(rng.integers(len(bases.hu))), labels[n % len(labels)]
            image, painted = draw_painted(bases, number, label, rng, contrast)
            if painted in labels:  # a slice too small for its disease is healthy, which no label may stand for
                return image[None], labels.index(painted)
        raise RuntimeError(f"{ATTEMPTS} healthy slices in turn were too small for a lesion: use larger bases.")

    return draw


def patients_draw(
    patients: Sequence[Patient],
    suspects: dict[str, np.ndarray],
    seed: int,
    labels: Sequence[int],
    contrast: bool = True,
) -> Draw:
    """Draw slices of real patients, `labels` in turn; `suspects` are the slices of each patient that may be drawn."""
    pool = {
        label: [(patient, int(number)) for patient in patients if patient.label == label
                for number in suspects[patient.name]]
        for label in labels
    }  # fmt: skip

    def draw(iteration: int, n: int) -> tuple[np.ndarray, int]:
        rng = np.random.default_rng((seed, iteration, n, 1))
        position = n % len(labels)
        patient, number = pool[labels[position]][rng.integers(len(pool[labels[position]]))]
        return draw_real(patient.slices, number, rng, contrast)[None], position

    return draw


def find_suspects(network: MultiScaleClassifier, patients: Sequence[Patient]) -> dict[str, np.ndarray]:
    """The slices that carry their patient's label: all of a healthy one, the most suspicious of a diseased one."""
    suspects = {}
    for patient in patients:
        numbers = np.arange(len(patient.slices.hu))
        if patient.label:
            disease = 1 - predict(network, patient.slices, masked=True)[:, 0]
            numbers = np.argsort(-disease, kind="stable")[: max(int(SUSPECT_PART * len(disease)), 1)]
        suspects[patient.name] = numbers
    return suspects


def half_and_half(real: Draw, painted: Draw) -> Draw:
    """Every second sample from each: every batch holds both."""

    def draw(iteration: int, n: int) -> tuple[np.ndarray, int]:
        return real(iteration, n // 2) if n % 2 else painted(iteration, n // 2)

    return draw


def train_painted(out: Path, bases: SliceSet, plan: Plan, seed: int) -> MultiScaleClassifier:
    """The network that saw painted lesions only; trained once, read from its file afterwards."""
    weights = out / "painted.safetensors"
    if not weights.exists():
        torch.manual_seed(seed)
        draw = painted_draw(bases, seed, range(len(CLASSES)))
        network = fit(out / "painted", MultiScaleClassifier(), draw, equal_class_loss, plan, description="painted")
        once(lambda: export_weights(network, weights))
    return load_classifier(weights)


def fine_tune(
    out: Path, pretrained: MultiScaleClassifier, patients: Sequence[Patient], bases: SliceSet, plan: Plan, seed: int
) -> MultiScaleClassifier:
    """The painted network, trained further on `patients`, of two classes or three, and on painted slices, half each."""
    weights = out.with_suffix(".safetensors")
    if not weights.exists():
        present = sorted({patient.label for patient in patients})
        of_present = patients_draw(patients, find_suspects(pretrained, patients), seed, present)

        def real(iteration: int, n: int) -> tuple[np.ndarray, int]:
            image, position = of_present(iteration, n)
            return image, present[position]

        draw = half_and_half(real, painted_draw(bases, seed + 1, range(len(CLASSES))))
        network = copy.deepcopy(pretrained).requires_grad_(True)
        tuned = fit(out, network, draw, equal_class_loss, plan, description=out.name)
        once(lambda: export_weights(tuned, weights))
    return load_classifier(weights)


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


def add_classifier_options(parser: argparse.ArgumentParser) -> None:
    """What training and cross-validating the classifier share."""
    add_data_option(parser)
    parser.add_argument("--training-set", type=Path, help="folder class/patient/*.dcm (default: the public patients)")
    parser.add_argument("--lungs", type=Path, default=Path("models/lungs/lungs.safetensors"), help="lung network")
    parser.add_argument("--out", type=Path, required=True, help="folder for slices, checkpoints, logs and weights")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same run (default 0)")


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
