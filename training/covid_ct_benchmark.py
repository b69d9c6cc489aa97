"""The published COVID-CT benchmark: `python -m training.covid_ct_benchmark --train DIR --val DIR --out DIR`.

Each DIR holds the folders COVID and NonCOVID (He et al. 2020, official split by patient): figures cut from preprints,
with other lung disease among NonCOVID. Two rows: the paper's network plain, from scratch with the augmentation of II-G;
and the best, a support vector machine on what the network trained on painted lesions sees in the figures
(`training.networks.frozen_features`): 425 figures are too few to train a network on. The test split, where given, is
scored once at the end and chooses nothing.

The images carry no licence: weights trained on them stay in --out and are never shipped.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from groundglass.locations import MODEL_FOLDER
from groundglass.method.weights import WeightsRefused, load_classifier, load_lung_network
from training.data.augmentation import augment_strongly
from training.data.covid_ct_figures import BENCHMARK_CLASSES, UnusableBenchmark, read_split
from training.data.pictures import PictureRefused
from training.engine.covid_ct_training import PLAN, predict_covid, train_plain
from training.engine.run_record import RunMismatch
from training.networks.frozen_features import COPIES, FrozenFeatureClassifier
from training.reports.covid_ct_benchmark import PUBLISHED, PUBLISHED_TEST_IMAGES, as_markdown, score

MODELS = MODEL_FOLDER
ROWS = ("plain", "best")


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
