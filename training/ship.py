"""Ship a training run: weights into models/, their SHA-256 into app.yaml, and the model cards from the run's reports.

Every figure in a card comes from a report that a training command wrote.
"""

import argparse
import json
import re
import shutil
from pathlib import Path
from typing import Any

from method.weights import sha256_of
from training.classifier_data import PATIENT_CLASS
from training.evaluate import as_markdown

REPOSITORY = Path(__file__).resolve().parent.parent

_INTENDED_USE = """## Intended use

Research. Not for clinical decisions, not a medical device, not validated prospectively.
"""

_LUNGS = """# Lungs: multi-view U-Net with sequential attention

SHA-256 `{sha256}`, {size_mb:.1f} MB, float16.

## Figures

Dice of lung segmentation on patients held out of training, axial planes, both sliding windows, all slices of a patient
taken together. The shipped weights are the moving average after the last iteration: no checkpoint was chosen by these
patients.

| source | patients | mean Dice | worst patient |
| --- | --- | --- | --- |
{rows}
| all | {patients} | {mean_dice:.4f} | |

## Data

| source | patients trained on | labels | licence |
| --- | --- | --- | --- |
| "Finding lungs in CT" (Kaggle), one slice a patient | 157 | lungs | none stated |
| "COVID-19 CT scans" (20-case set) | 3 | lungs only; its lesion masks are never read in training | CC BY 4.0 |
| COVID-CT-MD sample, patients normal001 and normal002 | 2 | lungs by a threshold, right where aerated | none stated |

Synthetic consolidations and pneumonia patterns are painted into more than half of the samples in HU.

## Known failures

Heavily destroyed lungs (bronchiectasis with dense consolidation, patient cap001) lose parts of the dense disease that
reaches the pleura. The wall between the main bronchi and the lung is a matter of convention. One patient decides the
figure of the 20-case set.

{intended_use}
## Reproduce

`make train`, or `python -m training.lungs --data DIR --out runs/lungs --iterations {iterations}`.
"""

_CLASSIFIER = """# Classifier: multi-scale VGG-like network, NP / CAP / COVID-19

SHA-256 `{sha256}`, {size_mb:.1f} MB, float16. Shipped: {shipped}.

## Figures

{tables}
"AUC" is of 1 − P(NP) on slices; the radiologists' slice labels score and never train. Two patients a class: these
figures say little about other hospitals. Telling CAP from COVID-19 rests on painted patterns and two patients each.

## Data

| source | patients | role | licence |
| --- | --- | --- | --- |
| LUNA16 / LIDC-IDRI slices | 375 | healthy bases for painted lesions | CC BY |
| "Finding lungs in CT" (Kaggle) | 197 | healthy bases for painted lesions | none stated |
| Lung-PET-CT-Dx A0001 | 1 | bases for painted lesions | CC BY 4.0 |
| COVID-CT-MD sample | 6 | fine-tuning with the patient's label on the slices that look most diseased | none stated |

No lesion mask was used to train. The lungs come from the shipped lung network.

{intended_use}
## Reproduce

`make train`, then `make evaluate`.
"""


def ship(name: str, weights: Path) -> dict[str, Any]:
    """Copy one weight file into models/ and its SHA-256 into app.yaml; returns what the card says of the file."""
    target = REPOSITORY / "models" / name / f"{name}.safetensors"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(weights, target)
    target.chmod(0o644)
    sha256 = sha256_of(target)
    settings = REPOSITORY / "app.yaml"
    pattern = rf"(file: {name}/{name}\.safetensors\n\s+sha256: )\S+"
    text, count = re.subn(pattern, rf'\g<1>"{sha256}"', settings.read_text(encoding="utf-8"))
    if count != 1:
        raise ValueError(f"app.yaml names the weight file {name}/{name}.safetensors {count} times, not once.")
    settings.write_text(text, encoding="utf-8")
    return {"sha256": sha256, "size_mb": target.stat().st_size / 1e6, "intended_use": _INTENDED_USE}


def readme_figures(lungs: dict[str, Any], classifier: dict[str, Any]) -> str:
    """The lines README shows, from the reports."""
    fold = classifier["two-fold, lungs alone"]
    painted = classifier["painted lesions, lungs alone"]
    against, *_ = painted["auc"].values()
    studies = len(fold["studies"])
    return (
        f"- Lungs: mean Dice {lungs['mean_dice']:.3f} on {lungs['patients']} patients held out of training.\n"
        f"- Infected slices against a healthy patient's: AUC {against:.2f}, {len(PATIENT_CLASS) - 1} patients, by a "
        "network that saw painted lesions only.\n"
        f"- NP / CAP / COVID-19, two folds by patient: slice accuracy {fold['slice_accuracy']:.2f}, "
        f"{fold['studies_right']} of {studies} patients right.\n"
    )


def write_readme(figures: str) -> None:
    """Put the figures between the two markers of README.md."""
    readme = REPOSITORY / "README.md"
    text = readme.read_text(encoding="utf-8")
    start, end = "<!-- figures -->\n", "<!-- end of figures -->"
    before, rest = text.split(start)
    readme.write_text(before + start + figures + end + rest.split(end)[1], encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Ship both networks; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m training.ship", description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("runs"), help="folder of training.train (default runs)")
    parser.add_argument(
        "--classifier",
        choices=("painted", "all"),
        default="all",
        help="which network ships: painted lesions only, or fine-tuned with all six patients (default all)",
    )
    options = parser.parse_args(arguments)
    cards = REPOSITORY / "model_cards"
    report = json.loads((options.run / "lungs" / "report.json").read_text(encoding="utf-8"))
    rows = "\n".join(
        f"| {source} | {item['patients']} | {item['mean']:.4f} | {item['worst']:.4f} |"
        for source, item in report["held_out_dice"].items()
    )
    card = ship("lungs", options.run / "lungs" / "lungs.safetensors")
    (cards / "lungs.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (cards / "lungs.md").write_text(_LUNGS.format(rows=rows, **report, **card), encoding="utf-8")

    report = json.loads((options.run / "classifier" / "report.json").read_text(encoding="utf-8"))
    card = ship("classifier", options.run / "classifier" / f"{options.classifier}.safetensors")
    shipped = {
        "painted": "the network trained on painted lesions only, which saw none of the six patients",
        "all": "the network fine-tuned with all six patients; the two-fold rows tell how it does on others",
    }[options.classifier]
    (cards / "classifier.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    text = _CLASSIFIER.format(tables=as_markdown(report), shipped=shipped, **card)
    (cards / "classifier.md").write_text(text, encoding="utf-8")
    lung_report = json.loads((cards / "lungs.json").read_text(encoding="utf-8"))
    write_readme(readme_figures(lung_report, report))
    print("Shipped. Commit models/, app.yaml, model_cards/ and README.md together.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
