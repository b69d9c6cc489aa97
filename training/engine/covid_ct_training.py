"""Networks that the COVID-CT benchmark's figures train: the paper's from scratch, and one that ImageNet trained."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import expit

from groundglass.method.classifier_network import MultiScaleClassifier, classification_loss
from groundglass.method.precision import mixed_precision
from training.data.augmentation import augment_as_paper, augment_strongly
from training.data.covid_ct_figures import BENCHMARK_CLASSES, VIEWS, Split
from training.data.drawing import Draw
from training.engine.checkpoint import export_weights
from training.engine.covid_ct_answers import Answers
from training.engine.form_choice import deal_folds
from training.engine.loop import Plan, fit
from training.engine.run_record import bind_run
from training.networks.frozen_features import Augment
from training.networks.imagenet_network import imagenet_network

PLAN = Plan(iterations=1000, validate_every=100, patience=10**9, save_every=50)
"""The plain row learns as II-G has it, about twenty minutes on two cores."""
TUNED_PLAN = Plan(
    iterations=400, learning_rate=2e-4, betas=(0.9, 0.999), cosine=True, average_decay=0.98, save_every=50
)
"""Of each fold's ImageNet network. Its rate was chosen inside train, on two of the folds: mean AUC .838, and .807 with
5e-4."""


def make_draw(images: Sequence[np.ndarray], label: np.ndarray, augment: Augment, seed: int) -> Draw:
    """Samples with the classes in turn; the same seed, iteration and number give the same sample."""
    pools = [np.nonzero(label == index)[0] for index in range(len(BENCHMARK_CLASSES))]

    def draw(iteration: int, number: int) -> tuple[np.ndarray, Any]:
        rng = np.random.default_rng((seed, iteration, number))
        target = number % len(pools)
        return augment(images[rng.choice(pools[target])], rng)[None], np.int64(target)

    return draw


def train_plain(train: Split, val: Split, out: Path, plan: Plan, seed: int) -> torch.nn.Module:
    """The paper's network from scratch, resuming from `out`."""
    asked = val.images()
    loss_weight = torch.ones(len(BENCHMARK_CLASSES))  # classes are drawn in turn, so inverse frequencies are equal

    def loss_of(scores: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return classification_loss(scores.float(), target, loss_weight.to(scores.device))

    def validate(network: torch.nn.Module) -> tuple[float, float]:
        covid = predict_covid(network, asked)
        of_truth = np.clip(np.where(val.label == 1, covid, 1 - covid), 1e-7, 1.0)
        return float(-np.log(of_truth).mean()), float((of_truth >= 0.5).mean())

    torch.manual_seed(seed)
    draw = make_draw(train.images(), train.label, augment_as_paper, seed)
    record = {"training data": train.fingerprint, "validation data": val.fingerprint, "seed": seed}
    bind_run(out, "run", record | {"iterations": plan.iterations, "batch": plan.batch})
    network = fit(out, MultiScaleClassifier(classes=2), draw, loss_of, plan, validate, "benchmark, plain")
    export_weights(network, out / "weights.safetensors")
    return network


def predict_covid(network: torch.nn.Module, images: Sequence[np.ndarray]) -> np.ndarray:
    """Probability of COVID, `(image,)`."""
    return _scores(network, images).softmax(dim=1)[:, 1].numpy()


def tune_folds(train: Split, asked: Mapping[str, Split], out: Path, plan: Plan, seed: int) -> Answers:
    """EfficientNet-Lite0 from ImageNet's weights, one network for each fold inside train, resuming from `out`.

    Both views of a figure train it, strongly augmented, and both are asked, each with its mirror image.

    Args:
        train: the folds are dealt inside it.
        asked: other splits; the networks of all folds answer together, by the mean of their scores.
        out: a folder for each fold.
        plan: of each network.
        seed: of folds and samples.

    Raises:
        NoBackbone: the packages of the extra `imagenet` are not installed.
    """
    record = {"training data": train.fingerprint, "seed": seed, "iterations": plan.iterations, "batch": plan.batch}
    bind_run(out, "run", record)
    of_train = np.empty(len(train.label))
    of_asked = {name: np.zeros(len(split.label)) for name, split in asked.items()}
    folds = deal_folds(train.label, train.group, seed)
    views = [train.images(view) for view in VIEWS]
    asked_views = {name: [split.images(view) for view in VIEWS] for name, split in asked.items()}
    for number, (learned, left) in enumerate(folds, start=1):
        images = [view[image] for view in views for image in learned]
        draw = make_draw(images, np.tile(train.label[learned], len(views)), augment_strongly, seed)
        network = fit(out / f"fold{number}", imagenet_network(2), draw, _tuned_loss, plan, description=f"fold {number}")
        of_train[left] = _margin(network, [[view[image] for image in left] for view in views])
        for name, views_asked in asked_views.items():
            of_asked[name] += _margin(network, views_asked) / len(folds)
    return Answers(expit(of_train), {name: expit(margin) for name, margin in of_asked.items()})


def _tuned_loss(scores: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(scores.float()[:, 0], target, label_smoothing=0.1)


def _margin(network: torch.nn.Module, views: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Score of COVID above that of none, the mean over views and mirror images, `(image,)`."""
    seen = [image for view in views for image in view]
    scores = _scores(network, [*seen, *(image[:, ::-1] for image in seen)])
    return (scores[:, 1] - scores[:, 0]).reshape(2 * len(views), -1).mean(dim=0).numpy()


@torch.inference_mode()
def _scores(network: torch.nn.Module, images: Sequence[np.ndarray]) -> torch.Tensor:
    """What a network says of the images, float32 `(image, class)` on the CPU."""
    network.eval()
    device = next(network.parameters()).device
    found: list[torch.Tensor] = []
    for first in range(0, len(images), 16):
        batch = torch.from_numpy(np.stack(images[first : first + 16]))[:, None].to(device)
        with mixed_precision(device):
            scores = network(batch.contiguous(memory_format=torch.channels_last))
        found.append(scores.float().flatten(1).cpu())
    return torch.cat(found)
