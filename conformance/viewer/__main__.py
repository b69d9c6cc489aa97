"""`make viewer`: the outputs in cornerstone3D, which OHIF and other viewers are built on, and a picture of its screen.

A phantom goes through the application. Headless Chromium, which needs no GPU, shows slices of it with the Segmentation
and the report's boxes over them, a coronal section, and the key images. What is on its screen is compared with the
files, pixel by pixel and box by box.
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from conformance.tools import ToolMissing
from conformance.viewer.browser import ViewerFailed, show
from conformance.viewer.screen import Case, compare
from groundglass.demo import run_application, write_phantom
from groundglass.locations import ROOT
from groundglass.phantom.thorax import PRESETS

_EXAMPLES = """examples:
  python -m conformance.viewer                                 a phantom; the picture is docs/viewer.png
  python -m conformance.viewer --preset cap --out cap.png      another phantom
  python -m conformance.viewer --results DIR --study DIR --out mine.png
                                                              the results of a real run, and what it read

exit codes: 0 the screen shows what the files hold; 1 it does not; 2 a program is missing, or the command line can't be
used; others are those of the application
"""


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m conformance.viewer",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--preset", choices=sorted(PRESETS), default="covid19", help="which phantom (default covid19)")
    parser.add_argument("--slices", type=int, default=60, help="slices of the phantom (default 60)")
    parser.add_argument("--results", type=Path, metavar="DIR", help="show this folder of results instead")
    parser.add_argument("--study", type=Path, metavar="DIR", help="what --results was made of")
    parser.add_argument("--case", default="case-001", help="which of --results (default case-001)")
    parser.add_argument("--out", type=Path, metavar="PNG", help="the picture (a phantom's: default docs/viewer.png)")
    options = parser.parse_args(arguments)
    if (options.results is None) != (options.study is None):
        parser.error("--results and --study belong together: the results, and the images that they were made of.")
    if options.results is not None and options.out is None:
        parser.error("Say with --out where the picture goes: it may show a patient, so it has no place of its own.")
    if options.results is not None and not (options.results / f"{options.case}.seg.dcm").is_file():
        parser.error(f"{options.results} has no {options.case}.seg.dcm.")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Make or take results, show them, compare, print what was found; returns the exit code."""
    options = _parse(arguments)
    picture = options.out or ROOT / "docs" / "viewer.png"
    with TemporaryDirectory(prefix="groundglass-viewer-") as folder:
        study, results = options.study or Path(folder, "study"), options.results or Path(folder, "results")
        if options.results is None:
            write_phantom(options.preset, options.slices, study)
            code = run_application(study, results, output={"saliency_map": True})
            if code:
                return code
        case = Case.read(study, results, options.case)
        try:
            measured = show(case.files, case.job, picture)
        except (ToolMissing, ViewerFailed) as error:
            print(error, file=sys.stderr)
            return 2 if isinstance(error, ToolMissing) else 1
        lines = list(compare(case, measured))
    for what, held, shown, differing in lines:
        print(f"{what:<44} {held:>8} in the file  {shown:>8} on the screen  {differing:>6} differ")
    print(f"Look at {picture}")
    return 1 if any(line.differing for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
