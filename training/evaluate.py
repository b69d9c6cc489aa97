"""Every table of a model card, from what a run left behind: `make evaluate`, or `python -m training.evaluate`.

The evidence is the predictions of the cross-validation and the networks of the folds; without a run it is that of the
shipped weights, in `model_cards/evidence`. Every figure comes from classifiers that never saw the patient they score,
but where a table says otherwise; the lung network, whose mask they look through, is one for all. Radiologists' slice
labels and lesion masks only score. The network that ships, which saw all of the run's patients, is scored on those of
other hospitals.

Scores are kept in OUT/scores, prepared slices in the run's folder: what is there is not computed again.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from groundglass.locations import MODEL_FOLDER
from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.method.decision import DecisionRule
from groundglass.method.weights import load_classifier, load_lung_network
from training.data.classifier_data import ClassifierData, read_classifier_data
from training.data.marked_lesions import read_marked_lesions
from training.data.patients import TrainingSetError
from training.data.public_slices import NoPictures
from training.data.slices import PAINTING_BASES, prepare_slices
from training.data.sources import count_sources
from training.engine.options import add_data_option, require_data
from training.engine.slice_scores import SliceScores, score_folds, tested_sets
from training.reports import folds
from training.reports.calibration import fold_temperature, kept_temperature
from training.reports.chosen_points import POINTS
from training.reports.classifier import as_markdown, patients_of_folds, score_classifier, shipped_of
from training.reports.lung_report import write_lung_report
from training.reports.other_hospitals import score_other_hospitals
from training.reports.prediction_levels import UnusablePredictions, read_data_set, read_predictions
from training.reports.shipped import EVIDENCE
from training.reports.table_files import write_tables


def main(arguments: list[str] | None = None) -> int:
    """Write classifier.json/.md, lungs_tables.json/.md and the pictures, and print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate",
        description=__doc__,
        epilog="example: python -m training.evaluate --run runs/classifier --out runs/tables",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--run", type=Path, default=EVIDENCE, help="default: the evidence of the shipped weights")
    parser.add_argument("--lungs-run", type=Path, help="folder of the ablation's networks (default: lungs/ of --run)")
    parser.add_argument("--training-set", type=Path, help="folder class/patient/*.dcm the run was trained on")
    parser.add_argument("--lungs", type=Path, default=Path("models/lungs/lungs.safetensors"), help="lung network")
    parser.add_argument("--out", type=Path, default=Path("runs/tables"), help="folder for tables and pictures")
    parser.add_argument(
        "--only",
        choices=("lungs", "classifier", "folds"),
        help="one part (default: lungs and classifier); folds: of the classifier, without the paper's tables",
    )
    add_data_option(parser)
    options = parser.parse_args(arguments)
    require_data(parser, options.data)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.only == "folds":
        data = _read_data(parser, options)
        report = score_run(options.run, options.out, data, data.folds)
        _write(report, folds.as_markdown(report), options.out / "folds")
    elif options.only != "lungs":
        _evaluate_classifier(parser, options)
    if options.only in (None, "lungs"):
        run = options.lungs_run or options.run / "lungs"
        print(write_lung_report(run, options.lungs, options.data, options.out))
    return 0


def _evaluate_classifier(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    predictions = read_predictions(options.run)
    shipped = shipped_of(predictions)
    if shipped is None:
        print(
            "The run has no three classes: Tables 3 and 4 and their curves are all there is to tell of its classifier."
        )
        try:
            print(write_tables(options.run, options.out))
        except UnusablePredictions as error:
            parser.error(str(error))
        return
    data = _read_data(parser, options)
    if {patient.name for patient in data.patients.patients} != set(map(str, shipped.patient)):
        parser.error(
            f"the run in '{options.run}' is of other patients than these {data.patients.source}: its networks may "
            "have seen those that they would be scored on. Name its own data with --training-set, as it was then"
        )
    tested = patients_of_folds(shipped)
    lungs = load_lung_network(options.lungs)
    cache = _cache(options)
    sources = prepare_slices(options.data, cache, lungs, (*PAINTING_BASES[:2], "normal001", "normal002"))
    report = score_classifier(
        predictions,
        tested,
        [load_classifier(network) for network in sorted(options.run.glob("fold*.safetensors"))],
        data.patients,
        sources,
        data.bases,
        read_data_set(options.run),
        options.out,
    )
    report["data"] = count_sources(data, prepare_slices(options.data, cache, lungs, PAINTING_BASES))
    report["folds"] = score_run(options.run, options.out, data, tested)
    marked = read_marked_lesions(options.data, cache, lungs)
    network = _network_that_ships(options.run, kept_temperature(report["folds"]["calibration"]["shipped"]))
    if marked and network is not None:
        points = report["folds"]["operating_points"]["shipped"]
        rule = DecisionRule(**{name: points[name] for name in POINTS})
        report["other_hospitals"] = score_other_hospitals(network, marked, rule, folds.RULES.study_rule)
    _write(report, as_markdown(report), options.out / "classifier")


def _read_data(parser: argparse.ArgumentParser, options: argparse.Namespace) -> ClassifierData:
    """The run's patients, and all pictures that the data folder has, whatever the run was trained on."""
    lungs = load_lung_network(options.lungs)
    mosmed = (options.data / "mosmed_slices").is_dir()
    try:
        return read_classifier_data(options.data, _cache(options), lungs, options.training_set, mosmed)
    except (TrainingSetError, NoPictures) as error:
        parser.error(str(error))


def _network_that_ships(run: Path, temperature: float) -> MultiScaleClassifier | None:
    """The one that saw every patient of the run, where there is one; the shipped weights have their temperature."""
    if run == EVIDENCE:
        return load_classifier(MODEL_FOLDER / "classifier" / "classifier.safetensors")
    file = run / "all.safetensors"
    return fold_temperature(load_classifier(file), temperature) if file.exists() else None


def _cache(options: argparse.Namespace) -> Path:
    """Where prepared slices are kept: with the run, but never beside the shipped evidence."""
    folder: Path = options.out if options.run == EVIDENCE else options.run
    return folder / "slices"


def score_run(run: Path, out: Path, data: ClassifierData, tested: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Figures of the networks of a run's folds, and of those beside them: see `training.reports.folds`.

    Args:
        run: has `classifier.json` and `fold*.safetensors`, and where they were trained `base.safetensors` and
            `without_mosmed/`, else `scores`. Those of `training.imagenet_row` are always in `scores`.
        out: for the scores and the reliability diagram.
        data: everything to score.
        tested: the names of the patients that each fold tests.
    """
    base = run / "base.safetensors"
    networks = {
        "shipped": sorted(run.glob("fold*.safetensors")),
        "without_mosmed": sorted((run / "without_mosmed").glob("fold*.safetensors")),
        "base": [base] * len(tested) if base.exists() else [],
        "imagenet": [],  # scored where it was trained, which needs packages of its own
    }
    sets = tested_sets(data, tested)
    rows: dict[str, dict[str, SliceScores]] = {}
    for row in folds.ROWS:
        for name, (slices, place) in sets.items():
            file, kept = out / "scores" / f"{row}.{name}.npz", run / "scores" / f"{row}.{name}.npz"
            if kept.exists() and not (networks[row] and file.exists()):
                file.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(kept, file)
            if networks[row] or file.exists():
                rows.setdefault(row, {})[name] = score_folds(file, networks[row], slices, place)
    record = json.loads((run / "classifier.json").read_text(encoding="utf-8"))
    return folds.score_folds_report(rows, data.iq_oth, data.mosmed, out, started=bool(record["start"]))


def _write(report: dict[str, Any], markdown: str, path: Path) -> None:
    """`path` with .json and .md, and the tables to look at."""
    path.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(markdown, encoding="utf-8")
    print(markdown)


if __name__ == "__main__":
    raise SystemExit(main())
