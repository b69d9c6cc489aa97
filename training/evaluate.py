"""Every table of a model card, from what a run left behind: `make evaluate`, or `python -m training.evaluate`.

The evidence is the predictions of the cross-validation and the networks of the two folds; without a run it is that of
the shipped weights, in `model_cards/evidence`. Every figure comes from classifiers that never saw the patient they
score; the lung network, whose mask they look through, is one for all. Radiologists' slice labels and lesion masks only
score.
"""

import argparse
import json
from pathlib import Path

from groundglass.method.weights import load_classifier, load_lung_network
from training.data.slices import PAINTING_BASES, prepare_bases, prepare_slices
from training.engine.classifier_run import read_patients
from training.engine.options import add_data_option
from training.reports.classifier import as_markdown, patients_of_folds, score_classifier, shipped_of
from training.reports.lung_report import write_lung_report
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
    parser.add_argument("--only", choices=("lungs", "classifier"), help="one of the two (default: both)")
    add_data_option(parser)
    options = parser.parse_args(arguments)
    if not options.data.is_dir():
        parser.error(f"the data folder '{options.data}' does not exist: name it with --data or GROUNDGLASS_DATA")
    options.out.mkdir(parents=True, exist_ok=True)
    predictions = [] if options.only == "lungs" else read_predictions(options.run)
    shipped = shipped_of(predictions)
    if predictions and shipped is None:
        print(
            "The run has no three classes: Tables 3 and 4 and their curves are all there is to tell of its classifier."
        )
        try:
            print(write_tables(options.run, options.out))
        except UnusablePredictions as error:
            parser.error(str(error))
    elif shipped is not None:
        lungs = load_lung_network(options.lungs)
        training_set = read_patients(parser, options, lungs)
        if {patient.name for patient in training_set.patients} != set(map(str, shipped.patient)):
            parser.error(
                f"the run in '{options.run}' is of other patients than these {training_set.source}: its networks may "
                "have seen those that they would be scored on. Name its own data with --training-set, as it was then"
            )
        cache = options.out / "slices"
        sources = prepare_slices(options.data, cache, lungs, (*PAINTING_BASES[:2], "normal001", "normal002"))
        report = score_classifier(
            predictions,
            patients_of_folds(shipped),
            [load_classifier(fold) for fold in sorted(options.run.glob("fold*.safetensors"))],
            training_set,
            sources,
            prepare_bases(options.data, cache, lungs),
            read_data_set(options.run),
            options.out,
        )
        (options.out / "classifier.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        markdown = as_markdown(report)
        (options.out / "classifier.md").write_text(markdown, encoding="utf-8")
        print(markdown)
    if options.only != "classifier":
        run = options.lungs_run or options.run / "lungs"
        print(write_lung_report(run, options.lungs, options.data, options.out))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
