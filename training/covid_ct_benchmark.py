"""The published COVID-CT benchmark: `python -m training.covid_ct_benchmark --train DIR --val DIR --out DIR`.

Each DIR holds the folders COVID and NonCOVID (He et al. 2020, official split by patient): figures cut from preprints,
with other lung disease among NonCOVID. Two rows: the paper's network plain, from scratch with the augmentation of II-G;
and the best, a support vector machine on what the network trained on painted lesions sees in the figures
(`training.frozen_features`): 425 figures are too few to train a network on. The test split, where given, is scored once
at the end and chooses nothing.

The images carry no licence: weights trained on them stay in --out and are never shipped.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from tqdm import tqdm

from groundglass.locations import MODEL_FOLDER
from groundglass.method.classifier_network import INPUT_SIZE, MultiScaleClassifier, classification_loss
from groundglass.method.lung_network import LungUNet
from groundglass.method.precision import mixed_precision
from groundglass.method.weights import WeightsRefused, load_classifier, load_lung_network
from training.augmentation import augment_as_paper, turn, warp
from training.checkpoint import export_weights
from training.classifier_data import SliceSet
from training.frozen_features import COPIES, Augment, FrozenFeatureClassifier
from training.image_slices import PictureRefused, gather_pictures, prepare_views, read_picture
from training.loop import Draw, Plan, fit
from training.metrics import area_under_curve
from training.run_record import RunMismatch, bind_run

MODELS = MODEL_FOLDER
BENCHMARK_CLASSES = ("NonCOVID", "COVID")
"""Folders, in the order of the network's two scores."""
ROWS = ("plain", "best")
PLAN = Plan(iterations=1000, validate_every=100, patience=10**9, save_every=50)
"""The plain row learns as II-G has it, about twenty minutes on two cores."""
PUBLISHED = {
    "DenseNet-169, ImageNet pretraining (He et al. 2020)": {"ACC": 0.847, "F1": 0.854, "AUC": 0.919},
    "Self-Trans, ImageNet pretraining (He et al. 2020)": {"ACC": None, "F1": 0.85, "AUC": 0.94},
}
"""As their authors state them, on the official test split."""
PUBLISHED_TEST_IMAGES = 203


class UnusableBenchmark(ValueError):
    """A folder of the benchmark, or the output folder, can't be used."""


@dataclass(frozen=True)
class Split:
    """One split of the benchmark.

    Attributes:
        slices: its figures.
        label: index into BENCHMARK_CLASSES, `(image,)`.
        without_lungs: images on which no lungs were found.
        fingerprint: SHA-256 of the files and their labels.
    """

    slices: SliceSet
    label: np.ndarray
    without_lungs: int
    fingerprint: str

    def images(self) -> list[np.ndarray]:
        """The inputs, each float32 `(224, 224)` in [0, 1], nothing hidden."""
        return [self.slices.image(number, masked=False) for number in range(len(self.label))]


def read_split(folder: Path, cache: Path, lungs: LungUNet) -> Split:
    """Read and prepare a split; what is prepared is kept in `cache` under the split's fingerprint.

    Raises:
        UnusableBenchmark: a class folder is missing or has no images.
        PictureRefused: an image can't be read.
    """
    files: list[tuple[Path, int]] = []
    digest = hashlib.sha256()
    for label, name in enumerate(BENCHMARK_CLASSES):
        names = sorted(path for path in folder.glob(f"{name}/*") if path.suffix.lower() in (".png", ".jpg", ".jpeg"))
        if not names:
            raise UnusableBenchmark(f"There are no images in {folder / name}: a split holds COVID and NonCOVID.")
        for path in names:
            digest.update(f"{label} {path.name} ".encode() + path.read_bytes())
            files.append((path, label))
    fingerprint = digest.hexdigest()
    stored, marks = cache / f"{fingerprint[:16]}-whole.npz", cache / f"{fingerprint[:16]}.json"
    if not marks.exists():
        figures = (read_picture(path) for path, _ in tqdm(files, desc=folder.name, unit="image"))
        slices, found = gather_pictures(prepare_views(lungs, figure)["whole"] for figure in figures)
        slices.save(stored)
        marks.write_text(json.dumps({"without_lungs": int((~found).sum())}) + "\n", encoding="utf-8")
    return Split(
        SliceSet.load(stored),
        np.array([label for _, label in files]),
        json.loads(marks.read_text(encoding="utf-8"))["without_lungs"],
        fingerprint,
    )


def augment_strongly(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For few figures of every quality: free crops, contrast, gamma, blur, noise, and a piece cut out."""
    crop = rng.uniform(0.7, 1.0)
    matrix = turn(rng.uniform(-15.0, 15.0), crop) * rng.uniform(0.9, 1.1, (2, 1))
    if rng.random() < 0.5:
        matrix[0] *= -1
    result = warp(image[None], matrix, rng.uniform(crop - 1, 1 - crop, (2, 1)), INPUT_SIZE)[0]
    result = np.clip(result, 0, 1) ** np.float32(rng.uniform(0.8, 1.25))
    result = (result - np.float32(0.4)) * np.float32(rng.uniform(0.75, 1.25)) + np.float32(rng.uniform(0.35, 0.45))
    if rng.random() < 0.2:
        result = ndimage.gaussian_filter(result, rng.uniform(0.3, 1.2))
    if rng.random() < 0.2:
        result = result + rng.standard_normal(result.shape, dtype=np.float32) * np.float32(rng.uniform(0.0, 0.04))
    if rng.random() < 0.3:
        height, width = rng.integers(INPUT_SIZE // 16, INPUT_SIZE // 4, 2)
        row, column = rng.integers(0, INPUT_SIZE - height), rng.integers(0, INPUT_SIZE - width)
        result[row : row + height, column : column + width] = rng.uniform(0.0, 1.0)
    return np.clip(result, 0.0, 1.0).astype(np.float32)


def make_draw(images: Sequence[np.ndarray], label: np.ndarray, augment: Augment, seed: int) -> Draw:
    """Samples with the classes in turn; the same seed, iteration and number give the same sample."""
    pools = [np.nonzero(label == index)[0] for index in range(len(BENCHMARK_CLASSES))]

    def draw(iteration: int, number: int) -> tuple[np.ndarray, Any]:
        rng = np.random.default_rng((seed, iteration, number))
        target = number % len(pools)
        return augment(images[rng.choice(pools[target])], rng)[None], np.int64(target)

    return draw


@torch.inference_mode()
def predict_covid(network: torch.nn.Module, images: Sequence[np.ndarray]) -> np.ndarray:
    """Probability of COVID, `(image,)`."""
    network.eval()
    device = next(network.parameters()).device
    found: list[np.ndarray] = []
    for first in range(0, len(images), 16):
        batch = torch.from_numpy(np.stack(images[first : first + 16]))[:, None].to(device)
        with mixed_precision(device):
            scores = network(batch.contiguous(memory_format=torch.channels_last))
        found.append(scores.float().softmax(dim=1)[:, 1].cpu().numpy())
    return np.concatenate(found)


def figures_of(label: np.ndarray, covid: np.ndarray) -> dict[str, float]:
    """ACC, F1 of COVID, and AUC; a probability of a half or more is a COVID answer."""
    answer = covid >= 0.5
    right = int((answer & (label == 1)).sum())
    return {
        "ACC": float((answer == (label == 1)).mean()),
        "F1": 2 * right / max(int(answer.sum() + (label == 1).sum()), 1),
        "AUC": area_under_curve(covid[label == 1], covid[label == 0]),
    }


def score(label: np.ndarray, covid: np.ndarray, repeats: int, seed: int) -> dict[str, Any]:
    """Figures of one row on one split, with 95 % intervals by bootstrap over images, class by class."""
    rng = np.random.default_rng(seed)
    groups = [np.nonzero(label == index)[0] for index in range(len(BENCHMARK_CLASSES))]
    draws = []
    for _ in range(repeats):
        rows = np.concatenate([rng.choice(group, len(group)) for group in groups])
        draws.append(figures_of(label[rows], covid[rows]))
    return {
        "images": {name: len(group) for name, group in zip(BENCHMARK_CLASSES, groups, strict=True)},
        "figures": {
            name: {"value": value, "interval": np.percentile([draw[name] for draw in draws], (2.5, 97.5)).tolist()}
            for name, value in figures_of(label, covid).items()
        },
    }


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


def as_markdown(report: dict[str, Any]) -> str:
    """The report as a table."""
    counts = "; ".join(
        f"{name} {sum(split['images'].values())} images ({', '.join(f'{n} {c}' for c, n in split['images'].items())}; "
        f"no lungs found on {split['without_lungs']}), fingerprint `{split['fingerprint'][:16]}`"
        for name, split in report["splits"].items()
    )
    lines = [
        f"COVID-CT benchmark (He et al. 2020), official split by patient: {counts}. The data do not say how many "
        "patients. The best row starts from this project's own weights, no row from ImageNet. The val images chose the "
        "plain row's checkpoint and the best row's form, so that their val figures are on the bright side; the test "
        "split chose nothing. How a preprint was printed may tell its figures apart beside the disease. In brackets: "
        "95 % intervals by bootstrap over images. Published rows: on the TEST split, as their authors state them, not "
        "recomputed.",
        "",
        "| row | split | images | ACC | F1 | AUC |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in report["rows"].items():
        for split, scored in row["splits"].items():
            cells = [
                f"{figure['value']:.3f} [{figure['interval'][0]:.3f}, {figure['interval'][1]:.3f}]"
                for figure in scored["figures"].values()
            ]
            lines.append(
                f"| {row['title']} ({name}) | {split} | {sum(scored['images'].values())} | {' | '.join(cells)} |"
            )
    for title, published in report["published"].items():
        cells = ["–" if value is None else f"{value:.3f}" for value in published.values()]
        lines.append(f"| {title} | test, published | {report['published_images']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write benchmark.json and benchmark.md, and print the table; 2 where a folder or file can't be used."""
    parser = argparse.ArgumentParser(prog="python -m training.covid_ct_benchmark", description=__doc__)
    parser.add_argument("--train", type=Path, required=True, help="folder with COVID and NonCOVID")
    parser.add_argument("--val", type=Path, required=True, help="chooses the checkpoint")
    parser.add_argument("--test", type=Path, help="scored at the end, never chooses")
    parser.add_argument("--out", type=Path, required=True, help="outside the model folder: checkpoints, log, report")
    parser.add_argument("--pretrained", type=Path, default=MODELS / "classifier" / "classifier.safetensors")
    parser.add_argument("--lungs", type=Path, default=MODELS / "lungs" / "lungs.safetensors", help="lung network")
    parser.add_argument("--iterations", type=int, default=PLAN.iterations, help=f"plain row, default {PLAN.iterations}")
    parser.add_argument("--batch", type=int, default=PLAN.batch, help=f"plain row, default {PLAN.batch}")
    parser.add_argument("--validate-every", type=int, default=PLAN.validate_every, help="plain row, iterations")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS, help="default: both")
    parser.add_argument("--repeats", type=int, default=2000, help="bootstrap draws (default 2000)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same run (default 0)")
    options = parser.parse_args(arguments)
    try:
        report = run(options)
    except (UnusableBenchmark, PictureRefused, WeightsRefused, RunMismatch) as error:
        print(error, file=sys.stderr)
        return 2
    (options.out / "benchmark.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    markdown = as_markdown(report)
    (options.out / "benchmark.md").write_text(markdown, encoding="utf-8")
    print(markdown)
    return 0


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Train and score the rows; returns the report."""
    if options.out.resolve().is_relative_to(MODELS):
        raise UnusableBenchmark("The output folder lies in models/, but weights of this benchmark are never shipped.")
    folders = {"train": options.train, "val": options.val} | ({"test": options.test} if options.test else {})
    lungs = load_lung_network(options.lungs)
    splits = {name: read_split(folder, options.out / "images", lungs) for name, folder in folders.items()}
    if len({split.fingerprint for split in splits.values()}) < len(splits):
        raise UnusableBenchmark("Two of the splits are the same images: training and scoring need images of their own.")
    images = {name: split.images() for name, split in splits.items()}
    plan = replace(PLAN, iterations=options.iterations, batch=options.batch, validate_every=options.validate_every)
    predict: dict[str, Callable[[Sequence[np.ndarray]], np.ndarray]] = {}
    titles = {
        "plain": f"paper's network, from scratch, II-G, {plan.iterations} iterations",
        "best": f"support vector machine on the painted network's layers, {COPIES} augmented copies",
    }
    if "plain" in options.rows:
        network = train_plain(splits["train"], splits["val"], options.out / "plain0", plan, options.seed)
        predict["plain"] = partial(predict_covid, network)
    if "best" in options.rows:
        machine = FrozenFeatureClassifier(load_classifier(options.pretrained), augment_strongly, options.seed)
        machine.fit(images["train"], splits["train"].label)
        predict["best"] = machine.predict
    rows = {
        row: {
            "title": titles[row],
            "splits": {
                name: score(splits[name].label, covid_of(images[name]), options.repeats, options.seed)
                for name in folders
                if name != "train"
            },
        }
        for row, covid_of in predict.items()
    }
    described = {
        name: {
            "images": {title: int((split.label == index).sum()) for index, title in enumerate(BENCHMARK_CLASSES)},
            "without_lungs": split.without_lungs,
            "fingerprint": split.fingerprint,
        }
        for name, split in splits.items()
    }
    rows = rows_of_earlier_call(options.out, described) | rows
    rows = {row: rows[row] for row in ROWS if row in rows}
    return {"splits": described, "rows": rows, "published": PUBLISHED, "published_images": PUBLISHED_TEST_IMAGES}


def rows_of_earlier_call(out: Path, splits: dict[str, Any]) -> dict[str, Any]:
    """Rows that an earlier call left in `out`, where it scored the very same images."""
    path = out / "benchmark.json"
    if not path.exists():
        return {}
    report = json.loads(path.read_text(encoding="utf-8"))
    return dict(report["rows"]) if report["splits"] == splits else {}


if __name__ == "__main__":
    raise SystemExit(main())
