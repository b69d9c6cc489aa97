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

from method.classifier_network import INPUT_SIZE, MultiScaleClassifier, classification_loss
from method.lung_network import LungUNet
from method.types import CLASSES
from method.weights import load_classifier, load_lung_network
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

PAINTED_PLAN = Plan(
    iterations=2200, batch=18, learning_rate=6e-4, cosine=True, average_decay=0.99, validate_every=10**9
)
"""The last part of the painted training runs at full size, the first at `SMALL_SIZE`: 2.5 times as fast."""
SMALL_SIZE = 144
SMALL_PART = 0.68
TUNED_PLAN = replace(PAINTED_PLAN, iterations=120, learning_rate=2e-4)
TUNED_SIZE = 176
"""Fine-tuning sees smaller inputs than the application: disease is then larger when it counts. Measured on the two
folds: AUC of infected slices against normal001 .950, inside P001 .925; tuned at 224: .914 and .861."""
HEALTHY_PART = 0.95
FEWEST_SUSPECTS = 10
SUSPECT_PART = 0.5
"""At most this part of a diseased patient's slices carries his label in fine-tuning, those that look most diseased."""


@torch.inference_mode()
def predict(network: nn.Module, slices: SliceSet, masked: bool) -> np.ndarray:
    """Probabilities `(slice, class)`, the mean of each slice and its mirror image."""
    network.eval()
    rows = []
    for first in range(0, len(slices.hu), 16):
        numbers = range(first, min(first + 16, len(slices.hu)))
        images = torch.from_numpy(np.stack([slices.image(number, masked) for number in numbers]))[:, None]
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            both = network(images).float().softmax(1) + network(images.flip(3)).float().softmax(1)
        rows.append(both.numpy() / 2)
    return np.concatenate(rows)


def equal_class_loss(scores: Tensor, target: Tensor) -> Tensor:
    """Eq. 1 where classes are drawn equally often, so that the inverse class frequencies are equal."""
    return classification_loss(scores.float(), target, torch.ones(scores.shape[1], device=scores.device))


def painted_draw(
    bases: SliceSet,
    seed: int,
    labels: Sequence[int],
    plan: Plan | None = None,
    contrast: bool = True,
    faint: bool = False,
    full_size: int = INPUT_SIZE,
) -> Draw:
    """Draw painted slices, `labels` in turn.

    Neighbours in a batch share their base slice: the disease is the only lasting difference between them.

    Args:
        bases: healthy slices.
        seed: of all random choices.
        labels: class indices to paint; a sample's target is its position among them.
        plan: if given, its first `SMALL_PART` is drawn at `SMALL_SIZE`.
        contrast: with contrast augmentation.
        faint: paint faint disease too.
        full_size: rows and columns of what is not drawn at `SMALL_SIZE`.
    """

    def draw(iteration: int, n: int) -> tuple[np.ndarray, int]:
        size = SMALL_SIZE if plan and iteration < SMALL_PART * plan.iterations else full_size
        for attempt in range(20):
            shared = np.random.default_rng((seed, iteration, n // len(labels), attempt))
            number, label = int(shared.integers(len(bases.hu))), labels[n % len(labels)]
            rng = np.random.default_rng((seed, iteration, n, attempt))
            image, painted = draw_painted(bases, number, label, rng, size, contrast, faint)
            if painted in labels:  # a slice too small for its disease is healthy, which no label may stand for
                break
        return image[None], labels.index(painted)

    return draw


def patients_draw(
    patients: Sequence[Patient],
    suspects: dict[str, np.ndarray],
    seed: int,
    labels: Sequence[int],
    contrast: bool = True,
    size: int = TUNED_SIZE,
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
        return draw_real(patient.slices, number, rng, size, contrast)[None], position

    return draw


def find_suspects(network: MultiScaleClassifier, patients: Sequence[Patient]) -> dict[str, np.ndarray]:
    """The slices that carry their patient's label: all of a healthy one, the most suspicious of a diseased one.

    Suspicious is what looks more diseased to `network` than `HEALTHY_PART` of the healthy patients' slices.
    """
    disease = {patient.name: 1 - predict(network, patient.slices, masked=True)[:, 0] for patient in patients}
    healthy = [disease[patient.name] for patient in patients if patient.label == 0]
    bar = float(np.quantile(np.concatenate(healthy), HEALTHY_PART)) if healthy else 0.5
    suspects = {}
    for patient in patients:
        found = disease[patient.name]
        count = min(max(int((found > bar).sum()), FEWEST_SUSPECTS), int(SUSPECT_PART * len(found)))
        suspects[patient.name] = np.argsort(-found, kind="stable")[:count] if patient.label else np.arange(len(found))
    return suspects


def add_healthy(bases: SliceSet, patients: Sequence[Patient]) -> SliceSet:
    """The slices to paint disease into, and those of the healthy training patients, about a quarter of all.

    With them, disease is painted into slices of the patients' own scanners. Measured on the two folds, with ground
    glass painted no fainter than the default: AUC of infected slices against normal002 .950, inside P001 .925; with
    faint ground glass .944 and .892 (120 iterations at 176 x 176).
    """
    own = [patient.slices for patient in patients if patient.label == 0]
    count = sum(len(slices.hu) for slices in own)
    repeats = max(1, len(bases.hu) // 2 // count) if count else 0
    sets = [bases, *own * repeats]
    return SliceSet(*(np.concatenate([getattr(item, field) for item in sets]) for field in SliceSet.__annotations__))


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
        draw = painted_draw(bases, seed, range(len(CLASSES)), plan, faint=True)
        network = fit(out / "painted", MultiScaleClassifier(), draw, equal_class_loss, plan, description="painted")
        once(lambda: export_weights(network, weights))
    return load_classifier(weights)


def fine_tune(
    out: Path, pretrained: MultiScaleClassifier, patients: Sequence[Patient], bases: SliceSet, plan: Plan, seed: int
) -> MultiScaleClassifier:
    """The painted network, trained further on `patients` and on painted slices, half each."""
    weights = out.with_suffix(".safetensors")
    if not weights.exists():
        labels = range(len(CLASSES))
        real = patients_draw(patients, find_suspects(pretrained, patients), seed, labels)
        painted = painted_draw(add_healthy(bases, patients), seed + 1, labels, full_size=TUNED_SIZE)
        draw = half_and_half(real, painted)
        network = copy.deepcopy(pretrained).requires_grad_(True)
        tuned = fit(out, network, draw, equal_class_loss, plan, description=out.name)
        once(lambda: export_weights(tuned, weights))
    return load_classifier(weights)


def read_patients(parser: argparse.ArgumentParser, options: argparse.Namespace, lungs: LungUNet) -> TrainingSet:
    """The hospital's own training set where one is named, else the six public patients; ends with what is wrong."""
    cache = options.out / "slices"
    if options.training_set is not None:
        try:
            return read_training_set(options.training_set, cache, lungs)
        except TrainingSetError as error:
            parser.error(str(error))
    return read_covid_ct_md(options.data, cache, lungs)


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
    plan = replace(PAINTED_PLAN, iterations=options.iterations)
    pretrained = train_painted(options.out, bases, plan, options.seed)
    training_set = read_patients(parser, options, lungs)
    plan = replace(TUNED_PLAN, iterations=options.fine_tune_iterations)
    runs = {"all": training_set.patients}
    for number, tested in enumerate(split_patients(training_set.patients)):
        runs[f"fold{number + 1}"] = tuple(item for item in training_set.patients if item.name not in tested)
    for name, patients in runs.items():
        fine_tune(options.out / name, pretrained, patients, bases, plan, options.seed)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
