"""`make demo`: a synthetic study through the whole application, and what came out beside what is true."""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from scipy import ndimage
from tqdm import tqdm

from dicomio.files import write_text
from method.types import CTVolume
from validation.changed_settings import write_changed_settings
from validation.demo_folder import make_anew
from validation.phantom.study import PhantomFolderError, write_study
from validation.phantom.thorax import PRESETS, Truth, make_thorax

REPOSITORY = Path(__file__).resolve().parent.parent
STEPS = 3
EXPLAINED_SLICES = 8
"""Of the demonstration: explaining a slice takes 3 s on two cores without bfloat16, and it has a minute for all."""
_NAMES = {"np": "no pneumonia (NP)", "cap": "community-acquired pneumonia (CAP)", "covid19": "COVID-19"}


def count_hits(boxes: list[dict[str, Any]], lesions: np.ndarray) -> int:
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


def count_lesions(lesions: np.ndarray) -> int:
    """Separate true lesions: connected in three dimensions."""
    return int(ndimage.label(lesions > 0, structure=np.ones((3, 3, 3)))[1])


def run_application(study: Path, results: Path, level: str = "WARN", **changes: Any) -> int:
    """The application as a user starts it, with settings changed by section of app.yaml; returns its exit code."""
    with TemporaryDirectory() as folder:
        settings = write_changed_settings(Path(folder) / "app.yaml", **changes)
        folders = ["-i", str(study), "-o", str(results), "-m", str(REPOSITORY / "models")]
        command = [sys.executable, "-m", "app", *folders, "--settings", str(settings), "-l", level]
        return subprocess.run(command, cwd=REPOSITORY, check=False).returncode


def print_table(result: dict[str, Any], truth: Truth, results: Path) -> None:
    """What was found beside what is true."""
    case = result["cases"][0]
    lungs, boxes = case["lungs"], case["boxes"]
    probabilities = case["prediction"]["probabilities"]
    explained = sum(item["explained"] for item in case["slices"])
    rows = [
        ("label", _NAMES[case["prediction"]["label"]], _NAMES[truth.label]),
        ("probabilities", "  ".join(f"{name} {value:.2f}" for name, value in probabilities.items()), ""),
        *(
            (f"{side} lung", f"{lungs[f'{side}_ml']:.0f} ml", f"{true:.0f} ml ({lungs[f'{side}_ml'] / true - 1:+.1%})")
            for side, true in (("right", truth.right_ml), ("left", truth.left_ml))
        ),
        ("slices", f"{len(case['slices'])} classified, {explained} explained", ""),
        ("boxes", f"{len(boxes)}", f"{count_hits(boxes, truth.lesions)} of them on a lesion"),
        ("lesions", f"{len(case['lesions'])}", f"{count_lesions(truth.lesions)}"),
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
    with tqdm(total=2 * slices, desc="making slices", unit="slice") as bar:
        volume, truth = make_thorax(preset, slices=slices, size=size, on_slice=bar.update)
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
    parser = argparse.ArgumentParser(
        prog="python -m validation.demo",
        description=__doc__,
        epilog="example: python -m validation.demo --preset cap --slices 120 --size 512 --all --out demo",
    )
    parser.add_argument("--preset", choices=sorted(PRESETS), default="covid19", help="which phantom (default covid19)")
    parser.add_argument("--slices", type=int, default=60, help="slices of the phantom (default 60)")
    parser.add_argument("--size", type=int, default=384, help="its rows and columns (default 384)")
    parser.add_argument("--all", action="store_true", help=f"explain every diseased slice, not {EXPLAINED_SLICES}")
    parser.add_argument(
        "--out", type=Path, default=REPOSITORY / "demo", help="folder for study and results (default demo)"
    )
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
    explained = "every diseased slice" if options.all else f"the {EXPLAINED_SLICES} most diseased slices"
    with step(2, f"Analysing it as a hospital's CT is, but that {explained} are explained"):
        changes = {} if options.all else {"saliency": {"maximum_slices": EXPLAINED_SLICES}}
        code = run_application(study, results, "INFO", **changes)
    if code == 0:
        print(f"\n{STEPS}/{STEPS}  What was found, beside what is true")
        print_table(json.loads((results / "result.json").read_text(encoding="utf-8")), truth, results)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
