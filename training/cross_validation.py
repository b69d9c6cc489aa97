"""Cross-validation by patient, every row of Tables 3 and 4: `python -m training.cross_validation --out runs`.

Two recipes:

- `paper` (default with a GPU): II-G to the letter. Every row, task and fold trains from scratch for up to 20,000
  iterations, validated every 500, with early stop and the best checkpoint.
- `painted` (default without a GPU): every row starts from the network trained on painted lesions and is fine-tuned for
  `TABLE_PLAN.iterations`, its first two blocks fixed, on patients and painted slices, half each. It ends within the
  hour on two cores. NTS-Net has a painted training of its own.

Each (row, task) leaves one file of predictions in `OUT/predictions`, from which `training.tables` makes the tables.
"""

import argparse
import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from groundglass.domain.class_names import CLASSES
from groundglass.method.classifier_network import SCALES, MultiScaleClassifier, classification_loss
from groundglass.method.precision import mixed_precision
from groundglass.method.weights import load_lung_network
from groundglass.presets import SHIPPED
from training.augmentation import augment_as_paper
from training.classifier import (
    PAINTED_PLAN,
    TUNED_PLAN,
    add_classifier_options,
    bind_recipe,
    find_suspects,
    fine_tune,
    half_and_half,
    painted_draw,
    patients_draw,
    predict,
    read_patients,
    train_painted,
)
from training.classifier_data import SliceSet, prepare_bases
from training.dataset import Patient, TrainingSet, split_patients
from training.loop import Draw, Plan, Validate, fit, once
from training.nts_net import NTSNet, nts_loss
from training.predictions import Predictions
from training.run_record import bind_or_end

TASKS: tuple[tuple[str, ...], ...] = (CLASSES, ("np", "cap"), ("np", "covid19"), ("cap", "covid19"))
TABLE_PLAN = replace(TUNED_PLAN, iterations=20, batch=12, learning_rate=2e-4)
NTS_PLAN = replace(PAINTED_PLAN, iterations=120, batch=12)
MASKED = SHIPPED.classification.hide_outside_lungs
"""The figures are of slices with the lungs alone, as app.yaml has it."""


@dataclass(frozen=True)
class Row:
    """One row of the tables.

    Attributes:
        name: as in `Predictions.row`.
        scales: the classifier's scales; none for the NTS-Net baseline.
        contrast: with contrast augmentation.
    """

    name: str
    scales: tuple[str, ...]
    contrast: bool = True


ROWS = (
    *(Row(scale, (scale,)) for scale in SCALES),
    Row("joint", SCALES),
    Row("nca", SCALES, contrast=False),
    Row("nts_net", ()),
)


class SingleScaleClassifier(nn.Module):
    """The classifier cut after one scale, with that scale's score map alone."""

    def __init__(self, network: MultiScaleClassifier, scale: str) -> None:
        super().__init__()
        level = SCALES.index(scale)
        self.blocks = nn.ModuleList(network.blocks[: level + 3])
        self.head = network.heads[level]

    def forward(self, images: Tensor) -> Tensor:
        """Scores `(batch, class)`."""
        features = images
        for level, block in enumerate(self.blocks):
            features = block(nn.functional.max_pool2d(features, 2) if level else features)
        scores: Tensor = self.head(features).amax(dim=(2, 3))
        return scores


CLASS_LAYERS = ("heads", "teacher", "raw", "scrutinizer")
"""Those of both networks that have an output for each class; the Navigator's three outputs are ratios of anchors."""


def keep_classes(network: nn.Module, task: Sequence[str]) -> nn.Module:
    """A copy of a three-way network that scores the classes of `task` only."""
    network = copy.deepcopy(network).requires_grad_(True)
    kept = [CLASSES.index(name) for name in task]
    for name, layer in network.named_modules():
        if name.split(".")[0] in CLASS_LAYERS and isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight = nn.Parameter(layer.weight.detach()[kept].clone())
            if layer.bias is not None:
                layer.bias = nn.Parameter(layer.bias.detach()[kept].clone())
            setattr(layer, "out_channels" if isinstance(layer, nn.Conv2d) else "out_features", len(kept))
    return network


def build(row: Row, task: Sequence[str], pretrained: nn.Module | None) -> nn.Module:
    """The network of a row: from `pretrained`, or from scratch."""
    if not row.scales:
        return NTSNet(len(task)) if pretrained is None else keep_classes(pretrained, task)
    network = MultiScaleClassifier(len(task)) if pretrained is None else keep_classes(pretrained, task)
    return network if row.scales == SCALES else SingleScaleClassifier(network, row.scales[0])  # type: ignore[arg-type]


def loss_of(row: Row, class_weight: Tensor) -> Callable[..., Tensor]:
    """Eq. 1, or NTS-Net's own loss."""
    if not row.scales:
        return lambda output, target: nts_loss(output, target, class_weight.to(target.device))
    return lambda scores, target: classification_loss(scores.float(), target, class_weight.to(target.device))


def paper_setup(
    patients: Sequence[Patient], task: Sequence[str], contrast: bool, seed: int
) -> tuple[Draw, Validate, Tensor]:
    """II-G's data: every slice with its patient's label, drawn evenly, and w_c the inverse class frequency.

    Validation takes a patient of each class away from training where every class has three or more, else every fifth
    slice of each patient: those figures choose a checkpoint and are never reported.
    """
    labels = [CLASSES.index(name) for name in task]
    of_class = [[patient for patient in patients if patient.label == label] for label in labels]
    spare = min(map(len, of_class)) >= 3
    train: list[tuple[Patient, int]] = []
    held_out: list[tuple[Patient, int]] = []
    for group in of_class:
        for place, patient in enumerate(group):
            for number in range(len(patient.slices.hu)):
                validates = place == 0 if spare else number % 5 == 2
                (held_out if validates else train).append((patient, number))
    counts = np.bincount([labels.index(patient.label) for patient, _ in train], minlength=len(labels))
    class_weight = torch.tensor(len(train) / (len(labels) * counts), dtype=torch.float32)

    def draw(iteration: int, n: int) -> tuple[np.ndarray, int]:
        rng = np.random.default_rng((seed, iteration, n))
        patient, number = train[rng.integers(len(train))]
        image = augment_as_paper(patient.slices.image(number, MASKED), rng, contrast)
        return image[None], labels.index(patient.label)

    @torch.inference_mode()
    def validate(network: nn.Module) -> tuple[float, float]:
        device = next(network.parameters()).device
        loss, right = 0.0, 0
        for first in range(0, len(held_out), 16):
            part = held_out[first : first + 16]
            images = torch.from_numpy(np.stack([patient.slices.image(number, MASKED) for patient, number in part]))
            target = torch.tensor([labels.index(patient.label) for patient, _ in part], device=device)
            with mixed_precision(device):
                scores = network(images[:, None].to(device).contiguous(memory_format=torch.channels_last)).float()
            loss += float(classification_loss(scores, target, class_weight.to(device))) * len(part)
            right += int((scores.argmax(1) == target).sum())
        return loss / len(held_out), right / len(held_out)

    return draw, validate, class_weight


def train_fold(
    out: Path,
    row: Row,
    task: tuple[str, ...],
    patients: Sequence[Patient],
    painted: tuple[nn.Module, dict[str, np.ndarray], SliceSet] | None,
    plan: Plan,
    seed: int,
) -> nn.Module:
    """Train one row on one task without the patients of one fold.

    Args:
        out: folder of this training.
        row, task: what to train.
        patients: those of the other folds.
        painted: the row's own pretrained network, the suspicious slices of `patients`, and healthy slices; None for
            `paper`.
        plan: length.
        seed: of everything random.
    """
    torch.manual_seed(seed)
    if painted is None:
        of_task = [patient for patient in patients if CLASSES[patient.label] in task]
        draw, validate, class_weight = paper_setup(of_task, task, row.contrast, seed)
        return fit(out, build(row, task, None), draw, loss_of(row, class_weight), plan, validate, out.name)
    pretrained, suspects, bases = painted
    labels = [CLASSES.index(name) for name in task]
    real = patients_draw(patients, suspects, seed, labels, row.contrast)
    draw = half_and_half(real, painted_draw(bases, seed + 1, labels, contrast=row.contrast))
    network = build(row, task, pretrained)
    if row.scales:
        nn.ModuleList(network.get_submodule("blocks")[:2]).requires_grad_(False)  # type: ignore[index]
    return fit(out, network, draw, loss_of(row, torch.ones(len(task))), plan, description=out.name)


def predict_patients(
    network: nn.Module, row: str, task: tuple[str, ...], fold: int, patients: Sequence[Patient]
) -> Predictions:
    """Predict every slice of a fold's patients."""
    tested = [patient for patient in patients if CLASSES[patient.label] in task]
    sizes = [len(patient.slices.hu) for patient in tested]
    counted = [
        patient.infected if patient.label and patient.infected is not None else np.ones(size, dtype=bool)
        for patient, size in zip(tested, sizes, strict=True)
    ]
    return Predictions(
        row,
        task,
        np.full(sum(sizes), fold),
        np.repeat([patient.name for patient in tested], sizes),
        np.concatenate([patient.slices.index for patient in tested]),
        np.repeat([task.index(CLASSES[patient.label]) for patient in tested], sizes),
        np.concatenate([predict(network, patient.slices, MASKED) for patient in tested]),
        np.concatenate(counted),
    )


def join_folds(parts: Sequence[Predictions]) -> Predictions:
    """The folds of one row and task as one."""
    fields = ("fold", "patient", "slice_index", "label", "probabilities", "counted")
    joined: dict[str, Any] = {field: np.concatenate([getattr(part, field) for part in parts]) for field in fields}
    return replace(parts[0], **joined)


def cross_validate(
    out: Path, training_set: TrainingSet, train: Callable[[Path, Sequence[Patient]], nn.Module], row: str,
    task: tuple[str, ...],
) -> None:  # fmt: skip
    """Train and test every fold of one row and task; done once, its predictions stay in `out/predictions`."""
    target = out / "predictions" / f"{row}.{'-'.join(task)}.npz"
    if target.exists():
        return
    parts = []
    for number, tested in enumerate(split_patients(training_set.patients)):
        kept = [patient for patient in training_set.patients if patient.name not in tested]
        fold = [patient for patient in training_set.patients if patient.name in tested]
        network = train(out / "folds" / f"{row}.{'-'.join(task)}.{number + 1}", kept)
        parts.append(predict_patients(network, row, task, number, fold))
    once(lambda: join_folds(parts).save(target))


def main(arguments: list[str] | None = None) -> int:
    """Train and test every row, task and fold, resuming where an earlier call stopped."""
    parser = argparse.ArgumentParser(
        prog="python -m training.cross_validation",
        description=__doc__,
        epilog="example: python -m training.cross_validation --out runs --rows joint conv3 --recipe painted",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_classifier_options(parser)
    recipe = "paper" if torch.cuda.is_available() else "painted"
    parser.add_argument("--recipe", choices=("paper", "painted"), default=recipe, help=f"default here: {recipe}")
    names = [row.name for row in ROWS]
    parser.add_argument("--rows", nargs="+", choices=names, default=names, help="default: all")
    parser.add_argument("--iterations", type=int, help="of each fold (default: the recipe's)")
    options = parser.parse_args(arguments)
    lungs = load_lung_network(options.lungs)
    training_set = read_patients(parser, options, lungs)
    plan = Plan() if options.recipe == "paper" else TABLE_PLAN
    if options.iterations:
        plan = replace(plan, iterations=options.iterations)
    record = {
        "fingerprint": training_set.fingerprint,
        "source": training_set.source,
        "recipe": options.recipe,
        "seed": options.seed,
        "iterations": plan.iterations,
    }
    bind_recipe(parser, options, training_set, PAINTED_PLAN, TUNED_PLAN)
    bind_or_end(parser, options.out, "cross_validation", record)
    present = {CLASSES[patient.label] for patient in training_set.patients}
    tasks = [task for task in TASKS if present.issuperset(task)]
    # What ships is scored with every recipe: the painted network, and the one tuned with the other folds' patients.
    bases = prepare_bases(options.data, options.out / "slices", lungs)
    finder = train_painted(options.out, bases, PAINTED_PLAN, options.seed)

    def train_shipped(out: Path, patients: Sequence[Patient]) -> nn.Module:
        fold = options.out / f"fold{out.name[-1]}"
        return keep_classes(fine_tune(fold, finder, patients, bases, TUNED_PLAN, options.seed), tasks[0])

    # The painted network saw no patient: it is the same in every fold.
    cross_validate(options.out, training_set, lambda out, patients: keep_classes(finder, tasks[0]), "painted", tasks[0])
    cross_validate(options.out, training_set, train_shipped, "shipped", tasks[0])
    suspects: dict[tuple[str, ...], dict[str, np.ndarray]] = {}
    for row in (row for row in ROWS if row.name in options.rows):
        pretrained: nn.Module | None = None
        if options.recipe == "painted":
            pretrained = finder if row.scales else _train_nts(options.out, row, bases, options.seed)
        for task in tasks:

            def train(
                out: Path,
                patients: Sequence[Patient],
                row: Row = row,
                task: tuple[str, ...] = task,
                pretrained: nn.Module | None = pretrained,
            ) -> nn.Module:
                if pretrained is None:
                    return train_fold(out, row, task, patients, None, plan, options.seed)
                names = tuple(patient.name for patient in patients)
                if names not in suspects:
                    suspects[names] = find_suspects(finder, patients)
                painted = pretrained, suspects[names], bases
                return train_fold(out, row, task, patients, painted, plan, options.seed)

            cross_validate(options.out, training_set, train, row.name, task)
    return 0


def _train_nts(out: Path, row: Row, bases: SliceSet, seed: int) -> nn.Module:
    """The baseline's own painted training."""
    torch.manual_seed(seed)
    labels = range(len(CLASSES))
    draw = painted_draw(bases, seed, labels)
    return fit(
        out / "nts_painted",
        build(row, CLASSES, None),
        draw,
        loss_of(row, torch.ones(len(CLASSES))),
        NTS_PLAN,
        description="NTS-Net, painted",
    )


if __name__ == "__main__":
    raise SystemExit(main())
