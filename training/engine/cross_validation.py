"""Training and testing a row of Tables 3 and 4 by patient, fold by fold."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from groundglass.domain.class_names import CLASSES
from groundglass.method.classifier_network import classification_loss
from groundglass.method.precision import mixed_precision
from groundglass.presets import SHIPPED
from training.data.augmentation import augment_as_paper
from training.data.drawing import Draw, half_and_half, painted_draw, patients_draw
from training.data.patients import Patient, TrainingSet, split_patients
from training.data.slices import SliceSet
from training.engine.inference import predict
from training.engine.loop import Plan, Validate, fit, once
from training.engine.predictions import Predictions
from training.networks.table_rows import Row, build, loss_of

TABLE_PLAN = Plan(iterations=20, batch=12, learning_rate=2e-4, cosine=True, average_decay=0.99, validate_every=10**9)
NTS_PLAN = replace(TABLE_PLAN, iterations=120, learning_rate=6e-4)
MASKED = SHIPPED.classification.hide_outside_lungs
"""The figures are of slices with the lungs alone, as app.yaml has it."""


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


def train_nts_net(out: Path, row: Row, bases: SliceSet, seed: int) -> nn.Module:
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
