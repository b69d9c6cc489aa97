"""Training the study model, on bags of patients' slices or of painted ones."""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from tqdm import trange

from groundglass.domain.class_names import CLASSES
from groundglass.method.classifier_network import MultiScaleClassifier
from training.data.drawing import draw_painted
from training.data.slices import SliceSet
from training.networks.penultimate import features_of_images
from training.networks.study_model import AttentionMIL, Bag

BAG_SLICES = (16, 48)
"""Fewest and most slices of a bag in training; a smaller study gives all it has."""


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
