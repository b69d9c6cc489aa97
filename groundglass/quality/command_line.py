"""The command line of the quality watch."""

import argparse
import logging
import sys
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

from groundglass.command.folders import why_unwritable
from groundglass.command.logs import exit_with
from groundglass.command.options import Parser, positive
from groundglass.domain.software import NAME, VERSION

if TYPE_CHECKING:  # the help answers at once
    from groundglass.quality.observations import Observations

LOG = logging.getLogger("groundglass")

_EXAMPLES = """
examples:
  python -m groundglass.quality --results validated/ --make-reference reference.json
      once, of the cases with which the site has validated the application
  python -m groundglass.quality --results results/ --reference reference.json --out /var/lib/node_exporter
      every night: groundglass-quality.prom for Prometheus, groundglass-quality.html to look at

exit codes:
  0  no drift, or too few cases to judge
  1  a defect of the software
  2  results, reference or a folder can't be used
  6  drift
"""


_READABLE_BY_ALL = 0o644
"""Nothing of a patient is in the report, and node_exporter is another user."""


class QualityCode(IntEnum):
    """What a timer acts on; none of them means another thing than it does for the application."""

    NO_DRIFT = 0
    DEFECT = 1
    USAGE = 2
    DRIFT = 6


def main(arguments: list[str] | None = None) -> QualityCode:
    """Read the results, write the reference or the report; every problem becomes a sentence on standard error."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level="INFO", format="%(levelname)s %(message)s")
    # Imported only now, so that the help answers at once.
    from groundglass.domain.errors import OutputFailed
    from groundglass.quality.observations import QualityError, read_results, write_reference

    try:
        observations = read_results(options.results)
        if options.make_reference:
            sample = write_reference(observations, options.make_reference)
            LOG.info("The reference holds %d cases, %d of them analysed.", *_sizes(sample.outcomes))
            return QualityCode.NO_DRIFT
        return _report(options, observations)
    except QualityError as error:
        LOG.error("%s", error)
    except OutputFailed as failure:
        LOG.error("%s", failure.reason)
    return QualityCode.USAGE


def _sizes(outcomes: dict[str, int]) -> tuple[int, int]:
    return sum(outcomes.values()), outcomes.get("analysed", 0)


def _report(options: argparse.Namespace, observations: "Observations") -> QualityCode:
    from groundglass.dicomio.writing.files import FileGroup
    from groundglass.quality.metrics import to_metrics
    from groundglass.quality.observations import QualityError, read_reference
    from groundglass.quality.page import to_html
    from groundglass.quality.report import make_report

    if observations.unreadable:
        LOG.warning("%d files named result.json can't be read, or are dated in the future.", observations.unreadable)
    reference = read_reference(options.reference) if options.reference else None
    report = make_report(observations, reference, options.days)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise QualityError(
            f"The folder for the report can't be made ({why_unwritable(error, options.out)}). Give another with --out."
        ) from error
    with FileGroup(options.out, _READABLE_BY_ALL) as files:
        files.write_text(to_metrics(report), "groundglass-quality.prom")
        files.write_text(to_html(report), "groundglass-quality.html")
    drifted = [item.name for item in report.comparisons if item.is_drift]
    judged = sum(item.is_judged for item in report.comparisons)
    LOG.info("%d days; %d of %d comparisons could be judged.", len(report.days), judged, len(report.comparisons))
    if drifted:
        LOG.warning("Drift in %s: see groundglass-quality.html.", ", ".join(drifted))
    return QualityCode.DRIFT if drifted else QualityCode.NO_DRIFT


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m groundglass.quality",
        description=f"{NAME} {VERSION}: what results say day by day, and whether it has drifted from a reference.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--results", type=Path, required=True, metavar="DIR", help="folder with result.json files, at any depth")
    add("--reference", type=Path, metavar="FILE", help="what the results are compared with")
    add("--days", type=positive, default=7, help="the recent days that are compared (default 7)")
    purpose = parser.add_mutually_exclusive_group(required=True)
    purpose.add_argument("--out", type=Path, metavar="DIR", help="folder for the report")
    purpose.add_argument("--make-reference", type=Path, metavar="FILE", help="write the reference, and nothing else")
    return parser


def run_and_exit() -> None:
    """Leave the process with the exit code."""
    exit_with(main, starts_processes=True)
