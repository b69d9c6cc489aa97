"""Ship a run on the public patients: `python -m training.ship --run runs --tables runs/tables`.

Weights go into models/, their SHA-256 and the operating points into app.yaml, what they rest on (predictions of the
cross-validation, networks of the two folds) into model_cards/evidence, and the model cards and README's figures are
written from the reports of `training.lungs` and `training.evaluate`: every figure in them comes from such a report.

A run without `lungs/` ships the classifier alone: the lung network, its report and its ablation stay as they are.
"""

import argparse
import json
import re
import shutil
from pathlib import Path

from groundglass.domain.software import sha256_of
from groundglass.locations import ROOT
from groundglass.method.weights import load_classifier
from training.data.normalisation import NORMALISATIONS
from training.data.slices import PATIENT_CLASS
from training.engine.checkpoint import export_weights
from training.reports.calibration import fold_temperature, kept_temperature
from training.reports.cards import write_cards
from training.reports.chosen_points import POINTS
from training.reports.readme import readme_figures, write_readme
from training.reports.shipped import CARDS, EVIDENCE, read_report

PICTURES = ("roc*.png", "confusion*.png", "calibration*.png")


def main(arguments: list[str] | None = None) -> int:
    """Ship both networks; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m training.ship", description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("runs"), help="folder of training.train (default runs)")
    parser.add_argument("--tables", type=Path, default=Path("runs/tables"), help="folder of training.evaluate")
    parser.add_argument(
        "--benchmark", type=Path, help="folder of training.covid_ct_benchmark (default: the card keeps its figures)"
    )
    parser.add_argument("--cards", action="store_true", help="write the cards and README's figures again, ship nothing")
    options = parser.parse_args(arguments)
    if options.cards:
        write_texts()
        return 0
    if set(read_classifier_patients(options.tables)) != set(PATIENT_CLASS):
        parser.error(
            "the tables are of other patients than the public ones, of whom cards and README tell. Weights of your own "
            "need no shipping: name them and their SHA-256 in your copy of app.yaml, and write a card of your own"
        )
    lungs = options.run / "lungs" / "lungs.safetensors"
    if not lungs.exists():
        lungs = ROOT / "models" / "lungs" / "lungs.safetensors"
        print(f"{options.run} has no lungs/: the lung network stays as it is.")
    told = json.loads((options.tables / "lungs_tables.json").read_text(encoding="utf-8"))["shipped_sha256"]
    if told != sha256_of(lungs):
        parser.error(
            f"{options.tables}/lungs_tables.json is of other weights than {lungs}: run training.evaluate again"
        )
    if lungs.is_relative_to(options.run):
        shutil.copyfile(lungs.with_name("report.json"), CARDS / "lungs.json")
        ship_weights("lungs", lungs)
    for name in ("classifier", "lungs_tables"):
        shutil.copyfile(options.tables / f"{name}.json", CARDS / f"{name}.json")
    if options.benchmark:
        shutil.copyfile(options.benchmark / "benchmark.json", CARDS / "covid_ct_benchmark.json")
    shutil.rmtree(CARDS / "pictures", ignore_errors=True)
    (CARDS / "pictures").mkdir()
    for pattern in PICTURES:
        for path in options.tables.glob(pattern):
            shutil.copyfile(path, CARDS / "pictures" / path.name)
    found = read_report("classifier")["folds"]
    temperature = kept_temperature(found["calibration"]["shipped"])
    calibrated = options.run / "classifier" / "calibrated.safetensors"
    export_weights(
        fold_temperature(load_classifier(options.run / "classifier" / "all.safetensors"), temperature), calibrated
    )
    ship_weights("classifier", calibrated)
    for name in POINTS:
        write_setting(rf"\n  {name}: ", str(found["operating_points"]["shipped"][name]))
    ship_evidence(options.run, options.tables)
    write_texts()
    print(
        "Shipped. Write docs/settings.md again (python -m deploy.settings_page), and commit it with models/, app.yaml, "
        "model_cards/ and README.md."
    )
    return 0


def write_texts() -> None:
    """The cards and README's figures, from the reports and the weights that are shipped."""
    write_cards()
    write_readme("figures", readme_figures(*map(read_report, ("lungs_tables", "classifier"))))


def ship_weights(name: str, weights: Path) -> None:
    """Copy one weight file into models/ and its SHA-256 into app.yaml."""
    target = ROOT / "models" / name / f"{name}.safetensors"
    target.parent.mkdir(parents=True, exist_ok=True)
    if weights.resolve() != target:
        shutil.copyfile(weights, target)
    target.chmod(0o644)
    write_setting(rf"file: {name}/{name}\.safetensors\n\s+sha256: ", f'"{sha256_of(target)}"')


def write_setting(before: str, value: str) -> None:
    """Put a value in the place of the one that follows a pattern in app.yaml; comments and columns stay.

    Raises:
        ValueError: the pattern is there more than once, or not at all.
    """
    settings = ROOT / "app.yaml"
    text, count = re.subn(
        rf"({before})(\S+(?:[ \t]+(?=#))?)",
        lambda found: found[1] + value.ljust(len(found[2])),
        settings.read_text(encoding="utf-8"),
    )
    if count != 1:
        raise ValueError(f"app.yaml has the place after '{before}' {count} times, not once.")
    settings.write_text(text, encoding="utf-8")


def ship_evidence(run: Path, tables: Path) -> None:
    """Copy what the tables rest on: predictions and scores, the folds' networks, and those of the lungs' ablation.

    Of a run without lungs the ablation that is there stays, and so do the networks that all training may go on from.
    """
    for path in EVIDENCE.glob("*"):
        if path.name not in ("lungs", "start"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    EVIDENCE.mkdir(parents=True, exist_ok=True)
    networks = (run / "classifier").glob("fold*.safetensors")
    records = (run / "classifier" / name for name in ("classifier.json", "cross_validation.json"))
    for path in (*networks, *records):
        shutil.copyfile(path, EVIDENCE / path.name)
    shutil.copytree(run / "classifier" / "predictions", EVIDENCE / "predictions")
    shutil.copytree(tables / "scores", EVIDENCE / "scores")
    for name in NORMALISATIONS:
        for path in (run / "lungs" / name).glob("lungs.safetensors"):
            target = EVIDENCE / "lungs" / name
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / path.name)
            shutil.copyfile(path.with_name("report.json"), target / "report.json")


def read_classifier_patients(tables: Path) -> list[str]:
    """The patients of a report of `training.evaluate`."""
    report = json.loads((tables / "classifier.json").read_text(encoding="utf-8"))
    return list(report.get("folds", {}).get("studies", {}).get("shipped", ()))


if __name__ == "__main__":
    raise SystemExit(main())
