"""`make demo`: a synthetic study through the whole application, and what came out beside what is true."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from scipy import ndimage
from tqdm import tqdm

from groundglass.changed_settings import write_changed_settings
from groundglass.command.analyse import analyse
from groundglass.command.logs import set_up_logging
from groundglass.command.options import Parser
from groundglass.demo_folder import make_anew
from groundglass.dicomio.writing.files import write_text
from groundglass.domain.arrays import LabelMap
from groundglass.domain.class_names import LONG_CLASS_NAMES
from groundglass.domain.volume import CTVolume
from groundglass.locations import MODEL_FOLDER
from groundglass.phantom.study import PhantomFolderError, write_study
from groundglass.phantom.thorax import PRESETS, Truth, make_thorax

STEPS = 3
QUICKER: dict[str, dict[str, object]] = {
    "lungs": {"windows_hu": [[1400, 20]], "grid_mm": 2.5},
    "saliency": {"maximum_slices": 6},
}
"""Changed settings of the demonstration, which has a minute on two cores without bfloat16. There a slice takes 3 s to
explain. One window on coarser cubes finds the phantom's lungs as well (Dice .983, shipped .985); one view in place of
three does not (.973, and gas of the stomach among them)."""


def count_hits(boxes: list[dict[str, Any]], lesions: LabelMap) -> int:
    """How many boxes hold a voxel of a true lesion.

    Args:
        boxes: as in result.json.
        lesions: `(slice, row, col)`, non-zero in a lesion.
    """
    return sum(
        bool(
            lesions[
                box["slice_index"],
                box["row_min"] : box["row_max"] + 1,
                box["column_min"] : box["column_max"] + 1,
            ].any()
        )
        for box in boxes
    )


def count_lesions(lesions: LabelMap) -> int:
    """Separate true lesions: connected in three dimensions."""
    return int(ndimage.label(lesions > 0, structure=np.ones((3, 3, 3)))[1])


def run_application(study: Path, results: Path, level: str = "WARN", **changes: Any) -> int:
    """`groundglass analyse` in this process, with settings changed by section of app.yaml; returns its exit code."""
    set_up_logging(level)
    with TemporaryDirectory() as folder:
        settings = write_changed_settings(Path(folder) / "app.yaml", **changes)
        return int(analyse(study, results, MODEL_FOLDER, settings))


def print_table(result: dict[str, Any], truth: Truth, results: Path) -> None:
    """What was found beside what is true."""
    case = result["cases"][0]
    lungs, boxes = case["lungs"], case["boxes"]
    probabilities = case["prediction"]["probabilities"]
    explained = sum(item["explained"] for item in case["slices"])
    rows = [
        ("result", " ".join(case["prediction"]["statement"][:-1]), LONG_CLASS_NAMES[truth.label]),
        ("probabilities", "  ".join(f"{name} {value:.2f}" for name, value in probabilities.items()), ""),
        *(
            (f"{side} lung", f"{lungs[f'{side}_ml']:.0f} ml", f"{true:.0f} ml ({lungs[f'{side}_ml'] / true - 1:+.1%})")
            for side, true in (("right", truth.right_ml), ("left", truth.left_ml))
        ),
        ("slices", f"{len(case['slices'])} classified, {explained} explained", ""),
        ("boxes", f"{len(boxes)}", f"{count_hits(boxes, truth.lesions)} of them on a lesion"),
        (
            "regions",
            f"{len(case['regions'])} listed, {case['unlisted_regions']} more",
            f"{count_lesions(truth.lesions)} lesions",
        ),
        ("time", "  ".join(f"{stage} {seconds:.1f} s" for stage, seconds in case["timings_s"].items()), ""),
    ]
    print(f"\n{'':<14} {'found':<72} true")
    for name, found, true in rows:
        print(f"{name:<14} {found:<72} {true}")
    print()
    for path in sorted(results.iterdir()):
        print(f"{path.stat().st_size / 1e6:8.2f} MB  {path}")
    print(f"\nResearch use only; not for clinical decisions. Look at {results / (case['case'] + '.preview.png')}")


def write_phantom(preset: str, slices: int, folder: Path, size: int = 512) -> tuple[CTVolume, Truth]:
    """A phantom study of `slices` images of `size` x `size` pixels in `folder`, which is empty or new."""
    with tqdm(total=slices, desc="making slices", unit="slice") as bar:
        volume, truth = make_thorax(preset, slices=slices, size=size, on_slice=bar.update)
    with tqdm(total=slices, desc="writing images", unit="image") as bar:
        write_study(volume, folder, preset=preset, on_slice=bar.update)
    return volume, truth


@contextmanager
def step(number: int, what: str) -> Iterator[None]:
    """Say what a step does, and afterwards how long it took."""
    print(f"\n{number}/{STEPS}  {what}", flush=True)
    start = time.monotonic()
    yield
    print(f"{number}/{STEPS}  done in {time.monotonic() - start:.0f} s", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Make the phantom, analyse it, print the table; returns the application's exit code."""
    parser = Parser(
        prog="groundglass demo",
        description=__doc__,
        epilog="example: groundglass demo --preset cap --slices 120 --size 512 --all --out demo",
    )
    parser.add_argument("--preset", choices=sorted(PRESETS), default="covid19", help="which phantom (default covid19)")
    parser.add_argument("--slices", type=int, default=40, help="slices of the phantom (default 40)")
    parser.add_argument("--size", type=int, default=384, help="its rows and columns (default 384)")
    parser.add_argument(
        "--all",
        action="store_true",
        help="a hospital's settings: the lungs on a fine grid, every diseased slice explained",
    )
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for study and results (default demo)")
    options = parser.parse_args(arguments)
    study, results = options.out / "study", options.out / "results"
    try:
        make_anew(options.out)
    except PhantomFolderError as error:
        parser.error(str(error))
    size = f"{options.slices} slices of {options.size} x {options.size} pixels, preset {options.preset}"
    with step(1, f"Making a synthetic chest CT, {size}, in {study}"):
        _, truth = write_phantom(options.preset, options.slices, study, options.size)
        write_text(
            json.dumps({"label": truth.label, "right_ml": truth.right_ml, "left_ml": truth.left_ml}),
            options.out / "truth.json",
        )
    how = "as a hospital's CT" if options.all else "with the lungs on a coarser grid, and six slices explained"
    with step(2, f"Analysing it, {how}"):
        code = run_application(study, results, "INFO", **({} if options.all else QUICKER))
    if code == 0:
        print(f"\n{STEPS}/{STEPS}  What was found, beside what is true")
        print_table(json.loads((results / "result.json").read_text(encoding="utf-8")), truth, results)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
