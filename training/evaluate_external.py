"""Score the shipped classifier on 8-bit slices from elsewhere: `python -m training.evaluate_external --images DIR`.

DIR holds `<class>/<prefix>_<patient>_<scan>_<slice>.png` (or .jpg), the classes named `covid-19`, `pneumonia` and
`normal`; one or two of them may be missing. Nothing is tuned to the folder: weights, masking and study rule are those
of app.yaml, and every picture is prepared alike (see `training.data.pictures`).
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from groundglass.command.folders import why_unwritable
from groundglass.domain.errors import UsageError
from groundglass.locations import SETTINGS_FILE
from groundglass.pipeline import Pipeline
from training.data.external_images import UnusableImages, class_folders, list_images
from training.reports.external import as_markdown, draw_confusion, predict_images, score, summarise


def main(arguments: list[str] | None = None) -> int:
    """Write external.json, external.md and external-confusion.png, and print the tables; 2 where it can't."""
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate_external",
        description=__doc__,
        epilog="example: python -m training.evaluate_external --images ../external --out runs/external",
    )
    parser.add_argument("--images", type=Path, required=True, help=f"folder that holds {class_folders()}")
    parser.add_argument("--models", type=Path, default=Path("models"), help="model folder (default: models)")
    parser.add_argument("--out", type=Path, default=Path("runs/external"), help="default: runs/external")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="the few figures that programs compare, and the states"
    )
    parser.add_argument("--repeats", type=int, default=1000, help="bootstrap draws (default 1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default 0)")
    options = parser.parse_args(arguments)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=options.out):
            pass  # scoring takes long: its figures must have a place to go
    except OSError as error:
        why = why_unwritable(error, options.out)
        print(f"The output folder can't be written ({why}). Give another with --out.", file=sys.stderr)
        return 2
    try:
        images = list_images(options.images)
        shipped = Pipeline.load(SETTINGS_FILE, options.models)
        probabilities, found, fingerprint = predict_images(images, shipped)
    except (UnusableImages, UsageError) as error:
        print(error, file=sys.stderr)
        return 2
    rules = shipped.settings.classification
    report = score(images, probabilities, found, rules.study_rule, options.repeats, options.seed)
    report |= {
        "fingerprint": fingerprint,
        "hide_outside_lungs": rules.hide_outside_lungs,
        "weights_sha256": shipped.software.weights_sha256,
    }
    (options.out / "external.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if options.json is not None:
        summary = summarise(images, probabilities, rules)
        options.json.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    markdown = as_markdown(report)
    (options.out / "external.md").write_text(markdown, encoding="utf-8")
    draw_confusion(report).savefig(options.out / "external-confusion.png", dpi=120)
    print(markdown)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
