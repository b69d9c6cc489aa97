"""Attention-based multiple-instance learning over a patient's slices: the study-level model of the paper's section IV.

A study is a bag of slices with one label. Gated attention (Ilse, Tomczak, Welling: Attention-based Deep Multiple
Instance Learning, ICML 2018, Eq. 9) weighs the slices, and the weighted mean of their features gives the study's class.
The features are the frozen classifier's; `compare` sets the model against the study rule of the application.
"""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm, trange

from groundglass.domain.class_names import CLASSES
from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.presets import SHIPPED
from training.classifier import predict
from training.classifier_data import SliceSet, draw_painted
from training.dataset import Patient, TrainingSet
from training.metrics import area_under_curve
from training.shortcuts import FEATURES, features_of_images, penultimate_features
from training.tables import patient_probabilities

Bag = tuple[np.ndarray, int]
"""Features of a study's slices, float32 `(slice, 640)`, and the study's class index."""
BAG_SLICES = (16, 48)
"""Fewest and most slices of a bag in training; a smaller study gives all it has."""


class AttentionMIL(nn.Module):
    """Slices' features to attention weights and study scores.

    Args:
        features: of each slice.
        hidden: of the slices' embedding; small, because patients are few.
        classes: K.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, features: int = FEATURES, hidden: int = 16, classes: int = len(CLASSES)) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("spread", torch.ones(features))
        self.embed = nn.Sequential(nn.Linear(features, hidden), nn.ReLU())
        self.content = nn.Linear(hidden, hidden)
        self.gate = nn.Linear(hidden, hidden)
        self.weigh = nn.Linear(hidden, 1, bias=False)
        self.head = nn.Linear(hidden, classes)

    def standardise(self, bags: Sequence[Bag]) -> None:
        """Take the mean and the spread of the features from the training bags."""
        rows = torch.from_numpy(np.concatenate([features for features, _ in bags])).float()
        self.mean.copy_(rows.mean(dim=0))
        self.spread.copy_(rows.std(dim=0, correction=0) + 1e-3)  # a feature that never fires stays near zero

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """`(slice, feature)` to the study's scores `(class,)` and the slices' attention `(slice,)`, together 1."""
        slices = self.embed((features - self.mean) / self.spread)
        gated = torch.tanh(self.content(slices)) * torch.sigmoid(self.gate(slices))
        attention = self.weigh(gated)[:, 0].softmax(dim=0)
        return self.head(attention @ slices), attention


def train_study_model(
    bags: Sequence[Bag],
    seed: int,
    iterations: int,
    start: AttentionMIL | None = None,
    batch: int = 8,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.05,
) -> AttentionMIL:
    """Train on random subsets of the bags (bag dropout), classes equally often.

    Args:
        bags: one for each study, or painted ones.
        seed: the same seed gives the same model.
        iterations: of `batch` subsets each.
        start: model to go on from, which stays as it is; its standardisation of the features is kept.
        batch: subsets an iteration.
        learning_rate, weight_decay: AdamW's.

    Returns:
        The model in evaluation mode.

    Raises:
        ValueError: there are no bags.
    """
    if not bags:
        raise ValueError("The study model needs at least one bag of slices to train on.")
    if start is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = AttentionMIL(features=bags[0][0].shape[1])
        model.standardise(bags)
    else:
        model = copy.deepcopy(start)
    model.train()
    tensors = [torch.from_numpy(features).float() for features, _ in bags]
    by_class = [[number for number, bag in enumerate(bags) if bag[1] == label] for label in range(len(CLASSES))]
    present = [label for label, numbers in enumerate(by_class) if numbers]
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    for iteration in range(iterations):
        rng = np.random.default_rng((seed, iteration))
        scores, target = [], []
        for _ in range(batch):
            label = int(rng.choice(present))
            features = tensors[rng.choice(by_class[label])]
            count = min(int(rng.integers(BAG_SLICES[0], BAG_SLICES[1] + 1)), len(features))
            scores.append(model(features[torch.from_numpy(rng.permutation(len(features))[:count])])[0])
            target.append(label)
        loss = nn.functional.cross_entropy(torch.stack(scores), torch.tensor(target))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


@torch.inference_mode()
def predict_study(model: AttentionMIL, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A study's probabilities `(class,)` and its slices' attention `(slice,)`."""
    scores, attention = model(torch.from_numpy(features).float())
    return scores.softmax(dim=0).numpy(), attention.numpy()


def painted_bags(
    network: MultiScaleClassifier, bases: SliceSet, number: int, seed: int, size: int = 48, drawn: int = 128
) -> list[Bag]:
    """Bags of healthy slices, in two thirds of which a part of the slices is painted with one disease.

    Features of `drawn` slices of each class are computed once, and bags are drawn from them: attention knows no order,
    so it does not matter that the slices of a bag come from different patients, except that a real study varies less.

    Args:
        network: whose features the bags hold.
        bases: healthy slices.
        number: of bags; the classes come in turn.
        seed: the same seed gives the same bags.
        size: slices of a bag.
        drawn: painted slices of each class.
    """
    pools: list[list[np.ndarray]] = [[] for _ in CLASSES]
    for draw in trange(drawn, desc="painted bags", unit="draw"):
        for wanted in range(len(CLASSES)):
            rng = np.random.default_rng((seed, draw, wanted))
            image, label = draw_painted(bases, int(rng.integers(len(bases.hu))), wanted, rng)
            pools[label].append(image)
    features = [features_of_images(network, images) if images else None for images in pools]
    healthy = features[0]
    bags = []
    for bag in range(number):
        rng = np.random.default_rng((seed, drawn, bag))
        label, diseased = bag % len(CLASSES), features[bag % len(CLASSES)]
        if diseased is None or healthy is None:
            continue  # nothing of this disease fitted into the bases
        ill = int(rng.integers(max(size // 8, 1), size + 1)) if label else 0
        rows = [healthy[rng.integers(len(healthy), size=size - ill)], diseased[rng.integers(len(diseased), size=ill)]]
        bags.append((np.concatenate(rows), label))
    return bags


def compare(
    networks_by_fold: Sequence[MultiScaleClassifier],
    training_set: TrainingSet,
    folds: Sequence[Sequence[str]],
    bases: SliceSet | None = None,
    masked: bool = True,
    seed: int = 0,
    iterations: int = 400,
) -> dict[str, Any]:
    """The application's study rule against attention, on patients that neither network nor study model trained on.

    Args:
        networks_by_fold: each trained without its fold's patients.
        training_set: every patient.
        folds: names of the patients tested in each fold.
        bases: healthy slices to paint bags from; without them the two painted models are left out.
        masked: whether pixels outside the lungs are hidden.
        seed: of the study models.
        iterations: of each training.

    Returns:
        `patients`, their number, and `models` by name: `right`, `log_loss` (mean over the patients), `studies` by
        patient (`true`, `label`, `probabilities`) and `infected_auc` by diseased patient whose slices are marked: how
        well attention (for the rule, 1 - P(NP)) ranks the infected slices before the others.
    """
    patients = {patient.name: patient for patient in training_set.patients}
    studies: dict[str, dict[str, dict[str, Any]]] = {}
    curves: dict[str, dict[str, float]] = {}

    def note(model: str, patient: Patient, probabilities: np.ndarray, slice_scores: np.ndarray) -> None:
        studies.setdefault(model, {})[patient.name] = {
            "true": CLASSES[patient.label],
            "label": CLASSES[int(probabilities.argmax())],
            "probabilities": [float(value) for value in probabilities],
        }
        infected = patient.infected
        if patient.label and infected is not None and 0 < np.count_nonzero(infected) < len(infected):
            area = area_under_curve(slice_scores[infected], slice_scores[~infected])
            curves.setdefault(model, {})[patient.name] = area

    for network, tested in zip(networks_by_fold, folds, strict=True):
        seen = tqdm(patients.items(), desc="features", unit="patient")
        features = {name: penultimate_features(network, patient.slices, masked) for name, patient in seen}
        bags = [(features[name], patient.label) for name, patient in patients.items() if name not in tested]
        models = {"attention": train_study_model(bags, seed, iterations)}
        if bases is not None:
            painted = train_study_model(painted_bags(network, bases, 96, seed), seed, iterations)
            models["attention, painted bags only"] = painted
            models["attention, painted bags first"] = train_study_model(bags, seed, iterations, painted)
        for patient in (patients[name] for name in tested):
            rows = predict(network, patient.slices, masked)
            probabilities = patient_probabilities(rows, CLASSES, SHIPPED.classification.study_rule)
            note("study rule", patient, probabilities, 1 - rows[:, 0])
            for title, model in models.items():
                note(title, patient, *predict_study(model, features[patient.name]))
    return {
        "patients": sum(map(len, folds)),
        "models": {
            title: {
                "right": sum(study["label"] == study["true"] for study in found.values()),
                "log_loss": float(np.mean([_log_loss(study) for study in found.values()])),
                "studies": found,
                "infected_auc": curves.get(title, {}),
            }
            for title, found in studies.items()
        },
    }


def _log_loss(study: dict[str, Any]) -> float:
    return -float(np.log(max(study["probabilities"][CLASSES.index(study["true"])], 1e-12)))


def as_markdown(report: dict[str, Any]) -> str:
    """The comparison as two tables."""
    models = report["models"]
    marked = list(dict.fromkeys(name for figures in models.values() for name in figures["infected_auc"]))
    lines = [
        f"Study level, {report['patients']} patients, each judged by a network and a study model that never trained on "
        "him."
        + (
            " Columns `inside`: area under the curve of attention (for the rule: of 1 - P(NP)), infected slices "
            "against the patient's others."
            if marked
            else ""
        ),
        "",
        "| " + " | ".join(["model", "right", "log loss", *(f"inside {name}" for name in marked)]) + " |",
        "| --- |" + " --- |" * (len(marked) + 2),
    ]
    for title, figures in models.items():
        areas = "".join(f" {figures['infected_auc'][name]:.3f} |" for name in marked)
        lines.append(f"| {title} | {figures['right']} of {report['patients']} | {figures['log_loss']:.3f} |{areas}")
    lines += ["", "| patient | true | " + " | ".join(models) + " |", "| --- | --- |" + " --- |" * len(models)]
    for name, study in next(iter(models.values()))["studies"].items():
        answers = [figures["studies"][name] for figures in models.values()]
        cells = [f"{each['label']} ({', '.join(f'{p:.2f}' for p in each['probabilities'])})" for each in answers]
        lines.append(f"| {name} | {study['true']} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", "Label and probabilities (NP, CAP, COVID-19) of each patient."]) + "\n"
