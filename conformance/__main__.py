"""`make conformance`: validators and readers of others look at every output, in every orientation.

Series of a phantom with known truth, stored in every orientation, and real series where there are any, go through the
application's reader and its writers. What those write is held against the standard, against the truth, and sent through
a real archive.
"""

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from tqdm import tqdm

from conformance import orthanc, validators
from conformance.checks import CHECKS, COLUMNS
from conformance.objects import OBJECTS, write_outputs
from conformance.series import FEW, ORIENTATIONS, read_real, write_phantom
from conformance.tools import ToolMissing
from groundglass.locations import ROOT
from groundglass.phantom.study import PhantomFolderError, require_empty
from groundglass.selftest.outputs import Output, read_outputs

STUDY = "study"
"""In the place of an object's name: the outputs and their sources together."""
_REAL = ("P001", "lung_dx_A0001")
_SHOWN_ERRORS = 5

_EXAMPLES = f"""examples:
  python -m conformance                                   everything
  python -m conformance --series oblique --objects SEG    one object of one series
  python -m conformance --checks dciodvfy --checks dcmqi --out DIR
                                                                     two checks; DIR keeps the files
  python -m conformance --few                             what continuous integration runs
  python -m conformance --results DIR --study DIR         the results of a real run, and what it read

series:  {", ".join(ORIENTATIONS)}, real
objects: {", ".join(OBJECTS)}, {STUDY}
checks:  {", ".join(COLUMNS)}

exit codes: 0 no error; 1 at least one error; 2 a program is missing, or the command line can't be used
"""

Cell = tuple[str, str, str]
"""Series, object and check."""
Errors = dict[Cell, list[str]]


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m conformance",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name in ("series", "objects", "checks"):
        parser.add_argument(f"--{name}", action="append", default=[], metavar="WORD", help="only those with this word")
    parser.add_argument("--few", action="store_true", help=f"only the series that differ most: {'; '.join(FEW)}")
    parser.add_argument("--out", type=Path, metavar="DIR", help="empty or new folder that keeps all files")
    parser.add_argument("--results", type=Path, metavar="DIR", help="check this folder of results instead")
    parser.add_argument(
        "--study", type=Path, metavar="DIR", help="what --results was made of, for dcentvfy and Orthanc"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="checks at a time (default %(default)s)")
    options = parser.parse_args(arguments)
    options.series += FEW if options.few else ()
    if options.results is not None and not (options.results / "result.json").is_file():
        parser.error(f"{options.results} has no result.json: it is not a folder of results of the application.")
    if options.study is not None and not options.study.is_dir():
        parser.error(f"{options.study} is not a folder.")
    return options


def selector(words: Sequence[str]) -> Callable[[str], bool]:
    """Whether a name holds one of the words; any name, without words."""
    return lambda name: not words or any(word.lower() in name.lower() for word in words)


def outputs_of(options: argparse.Namespace, folder: Path) -> Iterator[tuple[list[Path], list[Output]]]:
    """The source files and the outputs of each series."""
    wanted, wanted_object = selector(options.series), selector(options.objects)
    if options.objects and selector(options.objects)(STUDY):
        wanted_object = selector([])
    if options.results is not None:
        sources = sorted(path for path in options.study.rglob("*") if path.is_file()) if options.study else []
        yield sources, [output for output in read_outputs(options.results) if wanted_object(output.name)]
        return
    data = Path(os.environ.get("GROUNDGLASS_DATA") or ROOT.parent / "shared" / "data") / "dicom"
    real = [data / name for name in _REAL if wanted(f"real: {name}") and (data / name).is_dir()]
    phantoms = [name for name in ORIENTATIONS if wanted(name)]
    for name in tqdm(phantoms, desc="writing the phantom", unit="series", disable=None):
        place = folder / name.replace(" ", "-").replace(",", "")
        series = write_phantom(name, place / "source")
        yield list(series.files), list(write_outputs(series, place / "outputs", wanted_object))
    for path in real:
        for series in read_real(path):
            yield list(series.files), list(write_outputs(series, folder / f"real-{path.name}", wanted_object))


def check_all(made: list[tuple[list[Path], list[Output]]], options: argparse.Namespace) -> Errors:
    """Runs every wanted check, several at a time; a cell without errors has an empty list.

    Raises:
        ToolMissing: a program that a wanted check needs is not installed.
    """
    wanted, wanted_object = selector(options.checks), selector(options.objects)
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(max(1, options.jobs)))
        stack.callback(pool.shutdown, cancel_futures=True)
        archive = stack.enter_context(orthanc.running()) if wanted("Orthanc") else None
        futures: dict[Future[list[str] | None], Cell] = {}

        def submit(row: str, name: str, check: str, function: Callable[..., list[str] | None], *args: object) -> None:
            futures[pool.submit(guarded, function, *args)] = row, name, check

        for sources, outputs in made:
            if not outputs:
                continue
            row, paths = outputs[0].row, [output.path for output in outputs]
            if archive is not None:
                # Sources are there as in a real archive. That dcmsend takes none without UIDs in its file meta
                # information, as many archives export them, is no error of the outputs.
                archive.store(sources)
                for output in outputs:
                    submit(output.row, output.name, "Orthanc", archive.store_and_compare, output.path)
            for output in outputs:
                for check in CHECKS:
                    if wanted(check.name) and check.concerns(output) and wanted_object(output.name):
                        submit(output.row, output.name, check.name, check.judge, output)
            if wanted("dcentvfy"):
                submit(row, STUDY, "dcentvfy", _study_agrees, sources, paths)
        for future in tqdm(as_completed(futures), total=len(futures), desc="checking", unit="check", disable=None):
            future.result()
    results = {cell: future.result() for future, cell in futures.items()}
    return {cell: errors for cell, errors in results.items() if errors is not None}


def guarded(function: Callable[..., list[str] | None], *arguments: object) -> list[str] | None:
    """A check that falls over has found an error: its reader could not cope with the file."""
    try:
        return function(*arguments)
    except ToolMissing:
        raise
    except Exception as error:  # whatever it is, it stands in the table
        return [f"The check ended with {type(error).__name__}: {error}"]


def _study_agrees(sources: list[Path], outputs: list[Path]) -> list[str]:
    """What the sources contradict each other in is no error of the outputs."""
    before = set(validators.dcentvfy(sources)) if sources else set()
    return [error for error in validators.dcentvfy([*sources, *outputs]) if error not in before]


def table(errors: Errors) -> str:
    """A line for each object of each series, a column for each check: `ok`, the number of errors, or `-`."""
    rows: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for (series, name, check), found in errors.items():
        rows[series, name][check] = len(found)
    columns = [column for column in COLUMNS if any(column in cells for cells in rows.values())]
    places = {name: place for place, name in enumerate((*OBJECTS, STUDY))}
    series_order = list(dict.fromkeys(series for series, _ in rows))
    ordered = sorted(rows, key=lambda row: (series_order.index(row[0]), places.get(row[1], len(places)), row[1]))
    series_width = max(map(len, ("series", *series_order)))
    name_width = max(len(name) for _, name in (*rows, ("", "object")))
    lines = [f"{'series':<{series_width}}  {'object':<{name_width}}  " + "  ".join(columns)]
    shown = ""
    for series, name in ordered:
        cells = rows[series, name]
        marks = (
            "-" if column not in cells else "ok" if not cells[column] else f"{cells[column]} !" for column in columns
        )
        filled = "  ".join(f"{mark:<{len(column)}}" for mark, column in zip(marks, columns, strict=True))
        lines.append(f"{series if series != shown else '':<{series_width}}  {name:<{name_width}}  {filled}".rstrip())
        shown = series
    return "\n".join(lines)


def _details(errors: Errors) -> Iterator[str]:
    for (series, name, check), found in errors.items():
        for error in found[:_SHOWN_ERRORS]:
            yield f"{check} on the {name} of '{series}': {error}"
        if len(found) > _SHOWN_ERRORS:
            yield f"{check} on the {name} of '{series}': {len(found) - _SHOWN_ERRORS} more"


def main(arguments: list[str] | None = None) -> int:
    """Write, check, print the table; returns the exit code."""
    options = _parse(arguments)
    try:
        with ExitStack() as stack:
            folder = options.out or Path(stack.enter_context(TemporaryDirectory(prefix="groundglass-conformance-")))
            require_empty(folder)
            made = list(outputs_of(options, folder))
            errors = check_all(made, options)
    except (ToolMissing, PhantomFolderError) as error:
        print(error, file=sys.stderr)
        return 2
    except FileNotFoundError as error:
        print(f"result.json lists {Path(error.filename).name}, which is not there.", file=sys.stderr)
        return 1
    if not errors:
        print("Nothing was checked: no series, object and check has these words.", file=sys.stderr)
        return 2
    print(table(errors))
    lines = list(_details(errors))
    if not (options.series or options.objects or options.checks or options.results):
        lines += validators.unused_false_reports()
    for name, times in sorted(validators.seen_false_reports.items()):
        false = validators.FALSE_REPORTS[name]
        print(f"\nSet aside, {times} of {false.program}, {name}: {false.why}")
    print(f"\n{len(errors)} checks of {sum(len(outputs) for _, outputs in made)} objects: ", end="")
    print(f"{sum(map(len, errors.values()))} errors." if lines else "no error.")
    if lines:
        print("\n".join(lines))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
