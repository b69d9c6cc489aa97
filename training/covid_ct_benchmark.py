"""The published COVID-CT benchmark: `python -m training.covid_ct_benchmark --train DIR --val DIR --out DIR`.

Each DIR holds the folders COVID and NonCOVID (He et al. 2020, official split by patient): figures cut from preprints,
with other lung disease among NonCOVID. Rows:

- plain: the paper's network, from scratch with the augmentation of II-G. Its checkpoint is the one that val liked best,
  as II-G has it: its val figures choose.
- machine: a support vector machine on what the network that ships, which no figure trained, sees in them
  (`training.networks.frozen_features`). Its form is chosen by cross-validation inside train
  (`training.engine.form_choice`).
- imagenet: EfficientNet-Lite0 from ImageNet's weights, as the published rows; five networks, one of each fold inside
  train, answer together.
- best: machine and imagenet together (`training.engine.covid_ct_answers`).

Of the last three val and, where given, test are scored once at the end and choose nothing.

The images carry no licence: weights trained on them stay in --out and are never shipped.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from groundglass.domain.software import sha256_of
from groundglass.locations import MODEL_FOLDER
from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.method.weights import WeightsRefused, load_classifier, load_lung_network
from training.data.augmentation import augment_strongly
from training.data.covid_ct_figures import BENCHMARK_CLASSES, VIEWS, Split, UnusableBenchmark, read_split
from training.data.pictures import PictureRefused
from training.engine.covid_ct_answers import Answers, join
from training.engine.covid_ct_training import PLAN, TUNED_PLAN, predict_covid, train_plain, tune_folds
from training.engine.form_choice import Form, areas_of_folds, choose_form, deal_folds
from training.engine.run_record import RunMismatch
from training.networks.frozen_features import COPIES, CopiesMachine, features_of_copies
from training.networks.imagenet_network import NoBackbone, imagenet_network
from training.reports.covid_ct_benchmark import PUBLISHED, PUBLISHED_TEST_IMAGES, as_markdown, score

MODELS = MODEL_FOLDER
ROWS = ("plain", "machine", "imagenet", "best")


def main(arguments: list[str] | None = None) -> int:
    """Write benchmark.json and benchmark.md, and print the table; 2 where a folder or file can't be used."""
    parser = argparse.ArgumentParser(prog="python -m training.covid_ct_benchmark", description=__doc__)
    parser.add_argument("--train", type=Path, required=True, help="folder with COVID and NonCOVID")
    parser.add_argument("--val", type=Path, required=True, help="chooses the plain row's checkpoint")
    parser.add_argument("--test", type=Path, help="scored at the end, never chooses")
    parser.add_argument("--out", type=Path, required=True, help="outside the model folder: checkpoints, log, report")
    parser.add_argument("--pretrained", type=Path, default=MODELS / "classifier" / "classifier.safetensors")
    parser.add_argument("--lungs", type=Path, default=MODELS / "lungs" / "lungs.safetensors", help="lung network")
    parser.add_argument("--iterations", type=int, default=PLAN.iterations, help=f"plain row, default {PLAN.iterations}")
    parser.add_argument("--batch", type=int, default=PLAN.batch, help=f"plain row, default {PLAN.batch}")
    parser.add_argument("--validate-every", type=int, default=PLAN.validate_every, help="plain row, iterations")
    parser.add_argument("--tuned-iterations", type=int, default=TUNED_PLAN.iterations, help="imagenet row, each fold")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS, help="default: all; best comes with its parts")
    parser.add_argument("--repeats", type=int, default=2000, help="bootstrap draws (default 2000)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same run (default 0)")
    options = parser.parse_args(arguments)
    try:
        report = run(options)
    except (UnusableBenchmark, PictureRefused, WeightsRefused, RunMismatch, NoBackbone) as error:
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
    parts = {"machine", "imagenet"} if "best" in options.rows else set(options.rows)
    if "imagenet" in parts:
        imagenet_network()  # says at once where its packages are missing
    folders = {"train": options.train, "val": options.val} | ({"test": options.test} if options.test else {})
    lungs = load_lung_network(options.lungs)
    splits = {name: read_split(folder, options.out / "images", lungs) for name, folder in folders.items()}
    if len({split.fingerprint for split in splits.values()}) < len(splits):
        raise UnusableBenchmark("Two of the splits are the same images: training and scoring need images of their own.")
    plan = replace(PLAN, iterations=options.iterations, batch=options.batch, validate_every=options.validate_every)
    train, asked = splits["train"], {name: split for name, split in splits.items() if name != "train"}
    rows: dict[str, dict[str, Any]] = {}
    found: dict[str, Mapping[str, np.ndarray]] = {}
    answers: dict[str, Answers] = {}
    if "plain" in options.rows:
        network = train_plain(train, splits["val"], options.out / "plain0", plan, options.seed)
        title = f"paper's network, from scratch, II-G, {plan.iterations} iterations"
        rows["plain"] = {"title": title, "chosen_by": ["val"]}
        found["plain"] = {name: predict_covid(network, split.images()) for name, split in asked.items()}
    if "machine" in parts:
        form, choice, answers["machine"] = judge_frozen(splits, load_classifier(options.pretrained), options.seed)
        title = f"support vector machine on the shipped network's layers, {COPIES} augmented copies, {form.title}"
        rows["machine"] = {"title": title, "choice": choice, "pretrained_sha256": sha256_of(options.pretrained)}
    if "imagenet" in parts:
        tuned = replace(TUNED_PLAN, iterations=options.tuned_iterations, batch=options.batch)
        answers["imagenet"] = tune_folds(train, asked, options.out / "imagenet", tuned, options.seed)
        title = f"EfficientNet-Lite0, ImageNet pretraining, a network of {tuned.iterations} iterations for each fold"
        rows["imagenet"] = {"title": title}
    if "best" in options.rows:
        answers["best"] = join([answers["machine"], answers["imagenet"]])
        rows["best"] = {"title": "both together: mean of their logits"}
    folds = deal_folds(train.label, train.group, options.seed) if answers else ()
    for row, answer in answers.items():
        areas = areas_of_folds(answer.of_train, train.label, folds)
        rows[row] |= {"chosen_by": [], "folds": {"mean": float(np.mean(areas)), "folds": areas}}
        found[row] = answer.of_asked
    for row, covid_of in found.items():
        rows[row]["splits"] = {
            name: score(splits[name].label, covid, options.repeats, options.seed) for name, covid in covid_of.items()
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


def judge_frozen(
    splits: Mapping[str, Split], network: MultiScaleClassifier, seed: int
) -> tuple[Form, dict[str, Any], Answers]:
    """The form chosen inside train, how, and what machines of that form say."""

    def features(name: str, views: Sequence[str]) -> dict[str, list[np.ndarray]]:
        return {view: features_of_copies(network, splits[name].images(view), augment_strongly, seed) for view in views}

    learned, label = features("train", VIEWS), splits["train"].label
    form, choice, of_train = choose_form(learned, label, splits["train"].group, seed=seed)
    machine = CopiesMachine(form.penalty).fit(form.select(learned), label)
    asked = [name for name in splits if name != "train"]
    of_asked = {name: machine.predict(form.select(features(name, form.views))) for name in asked}
    return form, choice, Answers(of_train, of_asked)


def rows_of_earlier_call(out: Path, splits: dict[str, Any]) -> dict[str, Any]:
    """Rows that an earlier call left in `out`, where it scored the very same images."""
    path = out / "benchmark.json"
    if not path.exists():
        return {}
    report = json.loads(path.read_text(encoding="utf-8"))
    return dict(report["rows"]) if report["splits"] == splits else {}


if __name__ == "__main__":
    raise SystemExit(main())
