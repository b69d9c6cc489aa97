"""`make viewer`: the outputs in OHIF and in 3D Slicer's core, and whether these show what the files hold.

Phantoms go through the application: one with disease, a healthy one, and one with a gap, which is refused. OHIF opens
every object in headless Chromium, which needs no GPU, from an Orthanc that holds source and results. Slicer loads the
images and the Segmentation. What they show is compared with the files: no error in the browser's console, every voxel
of every segment, every pixel of every image, every region of the report on its slice.
"""

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

from tqdm import tqdm

from conformance.tools import ToolMissing
from conformance.viewer import ohif, slicer_core
from conformance.viewer.case import Case
from conformance.viewer.finding import Finding
from conformance.viewer.phantoms import PHANTOMS, UnexpectedEnd, make_cases
from groundglass.locations import ROOT

_VIEWERS = ("ohif", "slicer")
PICTURE = ROOT / "docs" / "viewer.png"
_IN_PICTURE = ("positive-*-tracked.png", "positive-seg.png")
"""What it shows: the first of these that there is."""

_EXAMPLES = f"""examples:
  python -m conformance.viewer                             phantoms; the picture is docs/viewer.png
  python -m conformance.viewer --few                       small phantoms, no picture: what continuous integration runs
  python -m conformance.viewer --case negative --viewer ohif --pictures DIR
  python -m conformance.viewer --results DIR --study DIR --pictures DIR
                                                           the results of a real run, and what it read

cases: {", ".join(PHANTOMS)}

exit codes: 0 the viewers show what the files hold; 1 they do not; 2 a program is missing, or the command line can't be
used
"""


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m conformance.viewer",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--few", action="store_true", help="small phantoms, few slices explained, and no picture")
    parser.add_argument("--case", action="append", choices=PHANTOMS, metavar="NAME", help="only this phantom")
    parser.add_argument("--viewer", action="append", choices=_VIEWERS, help="only this viewer")
    parser.add_argument("--results", type=Path, metavar="DIR", help="show this folder of results instead")
    parser.add_argument("--study", type=Path, metavar="DIR", help="what --results was made of")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="folder for a picture of each report in OHIF")
    options = parser.parse_args(arguments)
    if (options.results is None) != (options.study is None):
        parser.error("--results and --study belong together: the results, and the images that they were made of.")
    if options.results is not None and not (options.results / "result.json").is_file():
        parser.error(f"{options.results} has no result.json: it is not a folder of results of the application.")
    return options


def cases_of(options: argparse.Namespace, folder: Path) -> Iterator[Case]:
    """The cases to show: those of the results that were named, or else of phantoms, made in `folder`."""
    if options.results is not None:
        yield from Case.read_all(options.results.resolve().name, options.study, options.results)
        return
    for name in tqdm(options.case or PHANTOMS, desc="analysing", unit="phantom", disable=None):
        yield from make_cases(name, folder / name, options.few)


def look(cases: Sequence[Case], viewers: Sequence[str], pictures: Path | None) -> Iterator[Finding]:
    """What each viewer shows of the cases."""
    if "slicer" in viewers:
        yield from slicer_core.look(cases)
    if "ohif" in viewers:
        yield from ohif.look(cases, pictures)


def lines_of(findings: Sequence[Finding]) -> Iterator[str]:
    """The findings as a table, with the problems below what they belong to."""
    for (viewer, case), group in groupby(findings, key=lambda finding: finding[:2]):
        yield f"{viewer}, {case}"
        for finding in group:
            yield f"  {'  ok' if not finding.problem else 'FAIL'}  {finding.what}"
            yield from (f"          {line}" for line in finding.problem.splitlines())


def main(arguments: list[str] | None = None) -> int:
    """Make or take results, show them, compare, print what was found; returns the exit code."""
    options = _parse(arguments)
    with TemporaryDirectory(prefix="groundglass-viewer-") as name:
        folder = Path(name)
        pictures = options.pictures
        if pictures is None and not options.few and options.results is None:
            pictures = folder / "pictures"
        if pictures is not None:
            pictures.mkdir(parents=True, exist_ok=True)
        try:
            cases = list(cases_of(options, folder))
            findings = list(look(cases, options.viewer or _VIEWERS, pictures))
        except (ToolMissing, UnexpectedEnd, ohif.ViewerFailed, ValueError) as error:
            print(error, file=sys.stderr)
            return 2 if isinstance(error, ToolMissing) else 1
        except FileNotFoundError as error:
            print(f"result.json lists {Path(error.filename).name}, which is not there.", file=sys.stderr)
            return 1
        if pictures is not None and options.pictures is None:
            for picture in [found for pattern in _IN_PICTURE for found in sorted(pictures.glob(pattern))][:1]:
                shutil.copyfile(picture, PICTURE)
    print("\n".join(lines_of(findings)))
    problems = sum(bool(finding.problem) for finding in findings)
    print(f"\n{len(findings)} things were looked at, {problems or 'none'} of them wrong.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
