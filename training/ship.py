"""Ship a run on the public patients: `python -m training.ship --run runs --tables runs/tables`.

Weights go into models/, their SHA-256 into app.yaml, what they rest on (predictions of the cross-validation, networks
of the two folds) into model_cards/evidence, and the model cards and README's figures are written from the reports of
`training.lungs` and `training.evaluate`: every figure in them comes from such a report.
"""

import argparse
import json
import re
import shutil
from pathlib import Path
from typing import Any

from groundglass.domain.class_names import CLASSES
from groundglass.domain.software import sha256_of
from groundglass.locations import ROOT
from groundglass.method.weights import load_classifier
from training import covid_ct_benchmark, evaluate, lung_tables
from training.calibration import fold_temperature
from training.checkpoint import export_weights
from training.classifier_data import PAINTING_BASES, PATIENT_CLASS
from training.cross_validation import TABLE_PLAN
from training.lung_data import NORMALISATIONS

CARDS = ROOT / "model_cards"
PICTURES = ("roc*.png", "confusion*.png", "calibration*.png")

_INTENDED_USE = """## Intended use

Research. Not for clinical decisions, not a medical device, not validated prospectively.
"""

_LUNGS = """# Lungs: multi-view U-Net with sequential attention

SHA-256 `{sha256}`, {size_mb:.1f} MB, float16.

{intended_use}
## Data

| source | patients trained on | labels | licence |
| --- | --- | --- | --- |
| "Finding lungs in CT" (Kaggle), one slice a patient | 157 | lungs | none stated |
| "COVID-19 CT scans" (20-case set) | 3 | lungs only; its lesion masks are never read in training | CC BY 4.0 |
| COVID-CT-MD sample, patients normal001 and normal002 | 2 | lungs by a threshold, right where aerated | none stated |

Synthetic consolidations and pneumonia patterns are painted into more than half of the samples in HU. `lesion_volumes`
(CC BY-NC-SA 3.0) scores and never trains.

## Protocol

Dice and cross-entropy, Adam, batch 8, {iterations} iterations, learning rate falling along a cosine. The weights are
the moving average after the last iteration: no checkpoint was chosen by the patients below.

## Figures

{tables}
## Known failures

Heavily destroyed lungs (bronchiectasis with dense consolidation, patient cap001) lose parts of the dense disease that
reaches the pleura. Gas that a wall encloses is taken out; a little of the colon's below the left diaphragm stays in
normal002. Straight edges cut the hilum in some volumes. The wall between the main bronchi and the lung is a matter of
convention. Where a source holds one patient, he decides its figure.

## Reproduce

`make train`, or `python -m training.lungs --data DIR --out runs/lungs --iterations {iterations}`; the tables of what
ships: `make evaluate`.
"""

_CLASSIFIER = """# Classifier: multi-scale VGG-like network, NP / CAP / COVID-19

SHA-256 `{sha256}`, {size_mb:.1f} MB, float16.

{intended_use}
## Data

| source | patients | role | licence |
| --- | --- | --- | --- |
| LUNA16 / LIDC-IDRI slices | {luna} of 375, with enough lung | healthy bases for painted lesions | CC BY |
| "Finding lungs in CT" (Kaggle) | {lung_slices} | healthy bases for painted lesions | none stated |
| Lung-PET-CT-Dx A0001 | 1 | bases for painted lesions | CC BY 4.0 |
| COVID-CT-MD sample | 6 | fine-tuning with the patient's label on the slices that look most diseased | none stated |

No lesion mask and no radiologist's slice label was used to train. The lungs come from the shipped lung network, which
was trained on normal001 and normal002, with the lungs that a threshold finds, and on none of the other four: the mask
through which the classifier sees the two healthy patients is at its best, in every fold. Every class is shown from the
same scanners: the painted ones by construction, the six patients by their source.

## Protocol

Painted lesions first (COVID-19-like and CAP-like patterns, `groundglass/phantom/painted_lesions.py`), then the patients
and painted slices, half each. The shipped network saw all six patients; the figures are those of networks that did not:
trained on painted lesions alone, or in two folds by patient. The study rule was chosen with these two folds in view:
its figures are on the bright side. {scaling}

{rows}

## Figures

{tables}
{pictures}
{benchmark}
## Tried and left out

Scored on the patients of the other fold, and by where the saliency lies (`benchmarks.localisation`):

- An attention-based study model, a temperature and class offsets: their figures are above, the plain rule and no
  scaling ship. Offsets get far more slices right, by the frequencies of these six patients' slices: COVID-19 is found
  more often, CAP hardly ever, and fewer patients are right.
- A slice's probabilities averaged with its neighbours': the areas under the curve against healthy patients rise, and
  that inside P001 falls, since infected and free slices blur into each other.
- More painting: fainter and smaller lesions with imitations of harmless findings, a pretraining of twice the length,
  and crops of 128 pixels about each lesion. Each made the network surer of painted lesions and less sure of real ones:
  the areas under the curve fell, and so did the saliency's precision.
- Imitations of the liver's dome, of the colon and of breathing, in every class alike: the areas under the curve fell
  far. A smooth dome in partial volume is too like ground glass.
- Suspects chosen by what 95 % of a healthy patient's slices stay below, and half of them laid over other patients'
  healthy lungs: higher against one healthy patient, the same against the other and inside patients; no more slices
  or patients right.
- Lesions along the pleura, patchy ground glass and thickened small airways, painted beside the patterns above: after
  as many iterations CAP is found far more often and P001's small lesions are lost; after 800 more these are mostly
  back, more slices are right than by what ships, and the areas inside P001 and P002 are lower still. Painted on every
  second slice from the start, up to the pleura and for 1800 iterations: in between. Either time the saliency misses
  lesions far more often than that of what ships, and COVID-CT's figures are told apart worse.
- A loss of each scale's own beside that of their sum, in painting: Conv5 alone tells disease from none then, which it
  doesn't in what ships, but Conv4 hardly does any more, and the areas inside P001 and P002 are lower.
- Pretraining without labels, on the bases and on the images of the 20-case set: a short one, restoring slices whose
  grey values, texture or parts were spoilt, as Models Genesis does (Zhou et al., MedIA 2021). Painted from there, the
  areas against healthy patients and inside P001 are lower than from scratch, that inside P002 is the same, that inside
  cap001 higher. A long one, or contrastive learning, was not tried.

## Known failures

- Telling CAP from COVID-19 rests on painted patterns and two real patients each: the table of patients shows how far
  that goes. Small basal infiltrates, as in cap002, look like COVID-19 or like nothing.
- Slices at the very apex and base, where lungs are small, are the least certain.
- Conv5 alone is worse than chance, and its class activation map shines beside the lesions (`benchmarks.localisation`):
  it has learned to balance the other two. The joint saliency takes the size of its gradients, which lies on the lesions
  nonetheless.
- Trained on adults' CT in lung window; children, contrast-filled effusions, post-operative lungs were never seen.

## Reproduce

`make train`, then `make evaluate EVALUATE_ARGS="--run runs/classifier --lungs-run runs/lungs --lungs
runs/lungs/lungs.safetensors"`. The evidence behind the tables, the predictions of every fold and the two folds'
networks, is in `model_cards/evidence`: `make evaluate` alone reads it. The benchmark: `python -m
training.covid_ct_benchmark --train DIR --val DIR --out DIR --iterations N`, with N as in the row's name.
"""


_ROWS = {
    "painted": f"""The other rows of the tables start from the painted network and are tuned for
{TABLE_PLAN.iterations} iterations alone, the first two blocks fixed; a row that is missing was not trained. So short a
tuning is unfair to single scales: in the painted network they only had to be right together.

This is not the paper's protocol: two patients a class don't carry it. `python -m training.cross_validation --recipe
paper` runs it, on `--training-set` of your own.""",
    "paper": """The other rows of the tables follow the paper's protocol (II-G), from scratch; a row that is missing was
not trained. Two patients a class don't carry it: `--training-set` takes your own.""",
}
"""How the rows that don't ship were trained, by the recipe of the cross-validation."""


def ship_weights(name: str, weights: Path) -> dict[str, Any]:
    """Copy one weight file into models/ and its SHA-256 into app.yaml; returns what the card says of the file."""
    target = ROOT / "models" / name / f"{name}.safetensors"
    target.parent.mkdir(parents=True, exist_ok=True)
    if weights.resolve() != target:
        shutil.copyfile(weights, target)
    target.chmod(0o644)
    sha256 = sha256_of(target)
    settings = ROOT / "app.yaml"
    pattern = rf"(file: {name}/{name}\.safetensors\n\s+sha256: )\S+"
    text, count = re.subn(pattern, rf'\g<1>"{sha256}"', settings.read_text(encoding="utf-8"))
    if count != 1:
        raise ValueError(f"app.yaml names the weight file {name}/{name}.safetensors {count} times, not once.")
    settings.write_text(text, encoding="utf-8")
    return {"sha256": sha256, "size_mb": target.stat().st_size / 1e6, "intended_use": _INTENDED_USE}


def ship_evidence(run: Path) -> None:
    """Copy what the tables rest on: predictions, the folds' networks, and those of the lungs' ablation."""
    shutil.rmtree(evaluate.EVIDENCE, ignore_errors=True)
    evaluate.EVIDENCE.mkdir(parents=True)
    for path in [*(run / "classifier").glob("fold*.safetensors"), run / "classifier" / "cross_validation.json"]:
        shutil.copyfile(path, evaluate.EVIDENCE / path.name)
    shutil.copytree(run / "classifier" / "predictions", evaluate.EVIDENCE / "predictions")
    for name in NORMALISATIONS:
        for path in (run / "lungs" / name).glob("lungs.safetensors"):
            target = evaluate.EVIDENCE / "lungs" / name
            target.mkdir(parents=True)
            shutil.copyfile(path, target / path.name)
            shutil.copyfile(path.with_name("report.json"), target / "report.json")


def kept_temperature(calibration: dict[str, Any]) -> float:
    """The temperature to ship: the one fitted on all folds where cross-fitted scaling lowered the log loss, else 1."""
    helps = calibration["after"]["log_loss"] < calibration["before"]["log_loss"]
    return float(calibration["temperature"]) if helps else 1.0


def describe_scaling(calibration: dict[str, Any]) -> str:
    """What became of the temperature, for the card."""
    temperature = kept_temperature(calibration)
    if temperature == 1.0:
        return "Its probabilities are not scaled: a temperature fitted on one fold did not lower the other's log loss."
    return f"Its probabilities are scaled by the temperature {temperature:.2f}, fitted on the folds' predictions."


def read_report(name: str) -> dict[str, Any]:
    """A report that is shipped."""
    report: dict[str, Any] = json.loads((CARDS / f"{name}.json").read_text(encoding="utf-8"))
    return report


def read_classifier_patients(tables: Path) -> list[str]:
    """The patients of a report of `training.evaluate`."""
    report = json.loads((tables / "classifier.json").read_text(encoding="utf-8"))
    return list(report.get("studies", {}).get("shipped", ()))


def _whole_lungs(report: dict[str, Any]) -> str:
    """Dice of the shipped network with all views, by set of volumes."""
    figures = report["dice"]["figures"]["shipped weights"]["multi-view voting"]
    return ", ".join(
        f"{found['dice']['mean']:.3f} on {name} (patients: {found['dice']['patients']}"
        f"{', the middle of the lungs alone' if name == 'lesion_masks' else ''})"
        for name, found in figures.items()
    )


def readme_figures(lungs: dict[str, Any], volumes: dict[str, Any], classifier: dict[str, Any]) -> str:
    """The lines README shows, from the reports."""
    curves = classifier["disease"]["painted"]
    against = curves["infected slices against healthy patients"]["normal002"]
    shipped = next(
        entry
        for entry in classifier["tables"]["entries"]
        if entry["row"] == "shipped" and tuple(entry["task"]) == CLASSES
    )
    studies = classifier["studies"]["shipped"].values()
    right = sum(study["label"] == study["true"] for study in studies)
    return (
        f"- Lungs, axial slices: mean Dice {lungs['mean_dice']:.3f} on {lungs['patients']} patients held out of "
        f"training; whole lungs, as the application does it: {_whole_lungs(volumes)}.\n"
        f"- Infected slices against a healthy patient's: AUC {against:.2f}, {len(curves['inside']) + 1} patients, by a "
        "network that saw painted lesions only.\n"
        f"- NP / CAP / COVID-19, two folds by patient: slice accuracy {shipped['slice']['pooled_accuracy']:.2f}, "
        f"{right} of {len(studies)} patients right, by a rule that was chosen on these patients.\n"
    )


def write_readme(section: str, lines: str) -> None:
    """Put lines between the two markers of a section of README.md."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    start, end = f"<!-- {section} -->\n", f"<!-- end of {section} -->"
    before, rest = text.split(start)
    readme.write_text(before + start + lines + end + rest.split(end)[1], encoding="utf-8")


def benchmark_section() -> str:
    """The published benchmark in the classifier's card; its weights never ship, for its images carry no licence."""
    table = covid_ct_benchmark.as_markdown(read_report("covid_ct_benchmark"))
    return f"### The COVID-CT benchmark\n\n{table}"


def write_cards(lungs: dict[str, Any], classifier: dict[str, Any]) -> None:
    """Both cards, from the reports in model_cards and what `ship_weights` returned."""
    report = read_report("lungs")
    tables = lung_tables.as_markdown(read_report("lungs_tables"), pictures=False)
    (CARDS / "lungs.md").write_text(_LUNGS.format(tables=tables, **report, **lungs), encoding="utf-8")
    report = read_report("classifier")
    pictures = "\n".join(f"![{path.stem}](pictures/{path.name})" for path in sorted((CARDS / "pictures").glob("*.png")))
    text = _CLASSIFIER.format(
        tables=evaluate.as_markdown(report),
        pictures=pictures + "\n",
        scaling=describe_scaling(report["calibration"]),
        rows=_ROWS[json.loads((evaluate.EVIDENCE / "cross_validation.json").read_text(encoding="utf-8"))["recipe"]],
        **{name: report["shortcuts"]["sources"]["patients"][name] for name in PAINTING_BASES[:2]},
        benchmark=benchmark_section(),
        **classifier,
    )
    (CARDS / "classifier.md").write_text(text, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Ship both networks; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m training.ship", description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("runs"), help="folder of training.train (default runs)")
    parser.add_argument("--tables", type=Path, default=Path("runs/tables"), help="folder of training.evaluate")
    parser.add_argument(
        "--benchmark", type=Path, help="folder of training.covid_ct_benchmark (default: the card keeps its figures)"
    )
    options = parser.parse_args(arguments)
    if set(read_classifier_patients(options.tables)) != set(PATIENT_CLASS):
        parser.error(
            "the tables are of other patients than the public ones, of whom cards and README tell. Weights of your own "
            "need no shipping: name them and their SHA-256 in your copy of app.yaml, and write a card of your own"
        )
    shutil.copyfile(options.run / "lungs" / "report.json", CARDS / "lungs.json")
    lungs = ship_weights("lungs", options.run / "lungs" / "lungs.safetensors")
    for name in ("classifier", "lungs_tables"):
        shutil.copyfile(options.tables / f"{name}.json", CARDS / f"{name}.json")
    if options.benchmark:
        shutil.copyfile(options.benchmark / "benchmark.json", CARDS / "covid_ct_benchmark.json")
    shutil.rmtree(CARDS / "pictures", ignore_errors=True)
    (CARDS / "pictures").mkdir()
    for pattern in PICTURES:
        for path in options.tables.glob(pattern):
            shutil.copyfile(path, CARDS / "pictures" / path.name)
    temperature = kept_temperature(read_report("classifier")["calibration"])
    calibrated = options.run / "classifier" / "calibrated.safetensors"
    export_weights(
        fold_temperature(load_classifier(options.run / "classifier" / "all.safetensors"), temperature), calibrated
    )
    classifier = ship_weights("classifier", calibrated)
    ship_evidence(options.run)
    write_cards(lungs, classifier)
    write_readme("figures", readme_figures(*map(read_report, ("lungs", "lungs_tables", "classifier"))))
    print("Shipped. Commit models/, app.yaml, model_cards/ and README.md together.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
