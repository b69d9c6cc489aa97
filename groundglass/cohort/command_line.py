"""The command line of a cohort: find the studies, leave out the finished ones, analyse the others, write the tables."""

import argparse
import logging
import os
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from tqdm import tqdm

from groundglass.command.analyse import tell_unlisted
from groundglass.command.folders import lies_in
from groundglass.command.logs import exit_with, set_up_logging
from groundglass.command.options import Parser, positive
from groundglass.domain.errors import UsageError
from groundglass.domain.software import NAME, VERSION
from groundglass.exit_codes import ExitCode
from groundglass.interruption import end_cleanly_when_asked
from groundglass.locations import SETTINGS_FILE

if TYPE_CHECKING:  # the help answers at once
    from groundglass.cohort.queue import Outcome, Queue
    from groundglass.cohort.results import Results

LOG = logging.getLogger("groundglass")

_EXAMPLES = """
examples:
  python -m groundglass.cohort --input archive/ --output cohort/
      on this machine, one study after another
  python -m groundglass.cohort --input archive/ --output cohort/ --ray local --cores 1
      on this machine, one worker for each core
  ray start --head   # and on the others: ray start --address HEAD:6379
  python -m groundglass.cohort --input /data/archive --output /data/cohort --ray auto
      on a cluster; archive, results, models and program lie at the same paths on every machine

The same command goes on where a run was stopped or killed, and takes up studies that are new or have other images.

exit codes:
  0    every study has its results, also those that are refused or have nothing to analyse
  1    a defect of the software
  2    command line, settings, weights, packages or a folder can't be used, or the disk is full
  3    no DICOM study in the archive
  5    some studies have no results, or files can't be opened: the log tells, the same command tries again
  130, 143  stopped by SIGINT or SIGTERM
"""

_WHAT_REMAINS = "results of finished studies are whole, and the same command goes on with the others."


class CohortError(UsageError):
    """The call can't be carried out as it is."""


def main(arguments: list[str] | None = None) -> ExitCode:
    """Run a cohort; every problem becomes a sentence on standard error and an exit code."""
    options = _parser().parse_args(arguments)
    set_up_logging("INFO")
    if not options.ray:  # the processes of a cluster that is started here must not inherit what this does to signals
        end_cleanly_when_asked(_WHAT_REMAINS)
    if missing := [name for name in ("pyarrow", *(["ray"] if options.ray else [])) if find_spec(name) is None]:
        LOG.error(
            "The package %s is not installed, which only cohorts need: pip install -r requirements-cohort.txt",
            " and ".join(missing),
        )
        return ExitCode.USAGE
    # Imported only now, so that the help answers at once.
    from groundglass.cohort.cluster import ClusterError
    from groundglass.cohort.results import Results, ResultsError
    from groundglass.cohort.worker import CohortStopped
    from groundglass.domain.errors import OutputFailed

    try:
        _check_folders(options.input, options.output)
        results = Results(options.output.absolute())
        with results.alone():
            return run(options, results)
    except (ClusterError, CohortStopped, ResultsError, UsageError) as error:
        LOG.error("%s", error)
    except OutputFailed as failure:
        LOG.error("%s", failure.reason)
    return ExitCode.USAGE


def run(options: argparse.Namespace, results: "Results") -> ExitCode:
    """Analyse every study under `options.input` that has no results yet; raises what `main` turns into sentences."""
    from groundglass.cohort.page import write_page
    from groundglass.cohort.queue import Queue
    from groundglass.cohort.results import Study, name_study
    from groundglass.cohort.tables import write_tables
    from groundglass.dicomio.reading.scan import find_studies
    from groundglass.result import SCHEMA_VERSION
    from groundglass.settings import load_settings

    settings = load_settings(options.settings)
    content = yaml.safe_load(options.settings.read_text(encoding="utf-8"))
    package = content.pop("package")
    results.bind({"version": VERSION, "schema_version": SCHEMA_VERSION, "settings": content})

    with tqdm(desc="reading headers", unit=" files", disable=None) as bar:
        try:
            archive = find_studies(options.input, on_file=bar.update)
        except OSError as error:
            raise CohortError(tell_unlisted(error, options.input, "archive")) from error
    LOG.info("%d studies; %d files belong to no study.", len(archive.studies), len(archive.ignored))
    if not archive.studies:
        return ExitCode.NO_ELIGIBLE_SERIES
    studies = [Study(name_study(uid), files, archive.digests[uid]) for uid, files in archive.studies.items()]
    # Last come the studies that were under way when a run was killed: one that kills its worker keeps none waiting.
    leftovers = results.take_leftovers()
    waiting = sorted(
        (study for study in studies if not results.is_finished(study)), key=lambda study: study.name in leftovers
    )
    outdated = {study.name for study in waiting if results.is_outdated(study)}
    if archive.unopened:
        LOG.error(
            "%d files can't be opened, and any study may lack them. Studies with results keep these. Check the files' "
            "permissions and the mount, and give the same command again.",
            archive.unopened,
        )
        waiting = [study for study in waiting if study.name not in outdated]
    elif outdated:
        LOG.info(
            "Studies whose images have changed since their last results: %d. They are analysed again.", len(outdated)
        )
    finished = len(studies) - len(waiting)
    if finished:
        LOG.info("Studies that have their results already: %d. They are not analysed again.", finished)

    use_gpus = settings.device != "cpu"
    timeout_s = package["timeout_s"]
    outcomes = (
        _analyse(options, Queue(waiting, options.attempts), package["cpus"], timeout_s, use_gpus) if waiting else []
    )
    counts: Counter[str] = Counter()
    with tqdm(total=len(studies), initial=finished, desc="studies", unit="study", smoothing=0.05) as bar:
        for outcome in outcomes:
            counts[outcome.status or "without results"] += 1
            if outcome.status is None:
                LOG.error("Study %s has no results of its images: %s.", outcome.study, outcome.reason)
            told = ", ".join(f"{count} {status.lower().replace('_', ' ')}" for status, count in sorted(counts.items()))
            bar.set_postfix_str(told, refresh=False)
            bar.update()
    write_tables(results)
    write_page(results, options.pictures)
    LOG.info("Tables and page are in the results folder: cases.parquet, regions.parquet, boxes.parquet, index.html.")
    return ExitCode.PARTIAL if counts["without results"] or archive.unopened else ExitCode.SUCCESS


def _check_folders(archive: Path, output: Path) -> None:
    if not archive.is_dir():
        raise CohortError("The archive does not exist or is no folder. Give it with --input.")
    try:
        if lies_in(output, archive):
            LOG.warning("The results folder lies in the archive, so that the next run looks at results as well.")
    except OSError as error:
        raise CohortError(
            f"The results folder can't be used ({error.strerror}). Give another with --output."
        ) from error


def _analyse(
    options: argparse.Namespace, queue: "Queue", package_cores: int, timeout_s: float, use_gpus: bool
) -> Iterator["Outcome"]:
    from groundglass.cohort.cluster import analyse_on_cluster
    from groundglass.cohort.local import analyse_here
    from groundglass.cohort.worker import Job

    cores = options.cores or (package_cores if options.ray else len(os.sched_getaffinity(0)))
    # Absolute: workers have a working folder of their own.
    archive, output, models, settings = (
        path.absolute() for path in (options.input, options.output, options.model, options.settings)
    )
    job = Job(archive, output, models, settings, cores)
    if options.ray:
        return analyse_on_cluster(options.ray, job, queue, timeout_s, use_gpus)
    return analyse_here(job, queue, timeout_s)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m groundglass.cohort",
        description=f"{NAME} {VERSION} on a retrospective archive: every study under a folder is analysed; tables "
        "(Parquet) and a page with pictures follow. Research use only; not for clinical decisions.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--input", type=Path, required=True, metavar="DIR", help="folder with DICOM files, any nesting")
    add("--output", type=Path, required=True, metavar="DIR", help="folder for the results; of an earlier run: go on")
    add("--model", type=Path, default=SETTINGS_FILE.parent / "models", metavar="DIR", help="folder with the weights")
    add("--settings", type=Path, default=SETTINGS_FILE, metavar="FILE", help="settings file (default app.yaml)")
    add("--ray", metavar="ADDRESS", help="Ray cluster: HOST:PORT, auto, or local (default: this process alone)")
    add("--cores", type=positive, help="cores for a worker (default: package.cpus of the settings; without Ray all)")
    add("--attempts", type=positive, default=3, help="how often a study is tried that ends its worker (default 3)")
    add("--pictures", type=int, default=24, help="studies on the page, the most diseased first (default 24)")
    return parser


def run_and_exit() -> None:
    """Leave the process with the exit code."""
    exit_with(main, starts_processes=True, what_remains=_WHAT_REMAINS)
