"""Command line of the phantom: `python -m groundglass.phantom --preset covid19 --out DIR`."""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from groundglass.phantom.study import STORED_AXES, PhantomFolderError, require_empty, write_study, write_truth
from groundglass.phantom.thorax import PRESETS, make_thorax

EXAMPLE = """example:
  python -m groundglass.phantom --preset covid19 --out phantom/dicom --truth phantom/truth --seed 7
      writes IM0001.dcm to IM0120.dcm, and truth.npz and truth.json into a folder of their own
"""


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """The command line's options; `--help` explains them."""
    parser = argparse.ArgumentParser(
        prog="python -m groundglass.phantom",
        description="Write a synthetic chest CT as a DICOM study whose lungs and lesions are known voxel by voxel.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--preset", choices=list(PRESETS), required=True, help="what the chest shows")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="empty or new folder for the DICOM files"
    )
    parser.add_argument("--truth", type=Path, metavar="DIR", help="empty or new folder for the truth, apart from --out")
    parser.add_argument("--slices", type=int, default=120, help="slices over 300 mm (default %(default)s)")
    parser.add_argument("--size", type=int, default=512, help="rows and columns over 369 mm (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="chooses the patient and the noise (default %(default)s)")
    parser.add_argument(
        "--patient-position", choices=list(STORED_AXES), default="HFS", help="how the images are stored (default HFS)"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns 0, or 2 where the arguments can't be used."""
    options = parse_arguments(arguments)
    try:
        require_empty(options.out)
        if options.truth is not None:
            require_empty(options.truth)
            if options.truth.resolve().is_relative_to(options.out.resolve()):
                raise PhantomFolderError("The truth must not lie among the DICOM files: name a folder outside --out.")
        with tqdm(total=2 * options.slices, unit="slice", desc=f"phantom {options.preset}") as bar:

            def advance() -> None:
                bar.update()

            volume, truth = make_thorax(
                options.preset, slices=options.slices, size=options.size, seed=options.seed, on_slice=advance
            )
            paths = write_study(
                volume,
                options.out,
                preset=options.preset,
                seed=options.seed,
                patient_position=options.patient_position,
                on_slice=advance,
            )
        if options.truth is not None:
            write_truth(truth, volume, options.truth, preset=options.preset, seed=options.seed)
    except (PhantomFolderError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{len(paths)} DICOM files written to {options.out}; lungs {truth.right_ml + truth.left_ml:.0f} ml.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
