"""Cohorts: core seconds of a study, two workers against one, what archives take: `python -m benchmarks.cohort`.

Runs with one worker and with two follow one another in turns, each in a process of its own. What two workers do on two
free cores follows from the core's time that a study takes with one and with two at work: they slow each other down by
what they share, caches and memory. The time that passes says so too where nothing else computes; a machine is rarely
idle, so both are told. Writes benchmarks/results/cohort.json and the figures of docs/scaling.md; `--write-only` writes
the page again.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine, machine_in_words
from groundglass.changed_settings import write_changed_settings
from groundglass.cohort.cluster import RemoteWorker, analyse_on_cluster
from groundglass.cohort.demo import QUICK
from groundglass.cohort.local import analyse_here
from groundglass.cohort.queue import Queue
from groundglass.cohort.results import Results, Study, name_study
from groundglass.cohort.worker import Job
from groundglass.locations import ROOT

RESULTS = ROOT / "benchmarks" / "results" / "cohort.json"
PAGE = ROOT / "docs" / "scaling.md"

SMALL, FULL = (31, 128), (60, 512)
"""Slices, and rows and columns, of the studies."""
MODES = {"one worker": 1, "two workers": 2}
"""Workers, each on one core."""
EURO_A_CORE_HOUR = 0.05
"""Assumed: about what a rented core costs with its memory; a hospital's own is cheaper, if it is there anyway."""
STUDY_FILES, STUDY_MB = FULL[0], round(FULL[0] * FULL[1] ** 2 * 2 / 1e6)
"""Of the study of full size, uncompressed."""
LINK_MB_S = 110
"""Assumed: what a gigabit link carries."""
ARCHIVES = (10_000, 1_000_000)
CLUSTERS = (2, 64, 1_024)
"""Cores."""


def find(archive: Path) -> list[Study]:
    """The studies of an archive."""
    from groundglass.dicomio.reading.scan import find_studies

    found = find_studies(archive)
    return [Study(name_study(uid), files, found.digests[uid]) for uid, files in found.studies.items()]


class TimedWorker(RemoteWorker):
    """Notes the core's time that each study takes, in all threads of its process."""

    def analyse(self, study: Study) -> str:
        """As `Worker.analyse`."""
        start = time.process_time()
        status = super().analyse(study)
        with (self._job.output / "core-seconds").open("a") as file:
            file.write(f"{os.getpid()} {time.process_time() - start}\n")
        return status


def measure(mode: str, archive: Path, settings: Path, output: Path) -> dict[str, Any]:
    """All studies of an archive in one mode: studies an hour, and core seconds of one, after each worker's first."""
    job = Job(archive, output, ROOT / "models", settings, cores=1)
    queue = Queue(find(archive), attempts=1)
    if MODES[mode] > 1:
        outcomes = analyse_on_cluster("local", job, queue, 0, False, TimedWorker)
    else:
        outcomes = analyse_here(job, queue, make_worker=lambda its_job, _: TimedWorker(its_job))
    ended = []
    for outcome in outcomes:
        if outcome.status != "SUCCESS":
            raise SystemExit(f"A study could not be analysed: {outcome}")
        ended.append(time.monotonic())
    by_worker: dict[str, list[float]] = {}
    for line in (output / "core-seconds").read_text(encoding="utf-8").splitlines():
        by_worker.setdefault(line.split()[0], []).append(float(line.split()[1]))
    workers = len(by_worker)
    if workers != MODES[mode]:
        raise SystemExit(f"{workers} workers took part, not {MODES[mode]}: this machine has too few cores.")
    # From the mean of the workers' first ends to the very last end: a worker that is idle at the end counts.
    hours = (ended[-1] - statistics.mean(ended[:workers])) / 3600
    return {
        "mode": mode,
        "studies_an_hour": (len(ended) - workers) / hours,
        "core_seconds": statistics.mean(seconds for first, *others in by_worker.values() for seconds in others),
    }


def run_apart(mode: str, archive: Path, settings: Path) -> dict[str, Any]:
    """`measure` in a process of its own."""
    with tempfile.TemporaryDirectory() as output:
        command = [sys.executable, "-m", "benchmarks.cohort", "--mode", mode, "--archive", str(archive)]
        command += ["--settings", str(settings), "--output", output]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
        load = os.getloadavg()[0]
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{mode}: {figures['studies_an_hour']:.0f} studies an hour, {figures['core_seconds']:.1f} s of a core each")
    return figures | {"load_before": load}


def measure_ends(archive: Path, results: Path) -> dict[str, float]:
    """What a cohort does besides: headers read in a second, results put into tables in a second, megabytes written."""
    from groundglass.cohort.tables import write_tables

    start = time.monotonic()
    files = sum(len(study.files) for study in find(archive))
    files_a_second = files / (time.monotonic() - start)
    source = next(Results(results).finished())
    sizes = [path.stat().st_size for path in source.iterdir()]
    with tempfile.TemporaryDirectory() as folder:
        copies = Results(Path(folder))
        for number in range(500):
            place = copies.place(name_study(str(number)))
            place.mkdir(parents=True)
            shutil.copyfile(source / "result.json", place / "result.json")
        start = time.monotonic()
        write_tables(copies)
        tabled_a_second = 500 / (time.monotonic() - start)
    return {"files_a_second": files_a_second, "tabled_a_second": tabled_a_second, "written_mb": sum(sizes) / 1e6}


def write_phantoms(folder: Path, studies: int, slices: int, size: int) -> Path:
    """An archive of diseased phantoms that differ in their identity alone: each takes the same time."""
    from groundglass.phantom.study import write_study
    from groundglass.phantom.thorax import make_thorax

    volume, _ = make_thorax("covid19", slices=slices, size=size)
    for seed in range(studies):
        write_study(volume, folder / str(seed), preset="covid19", seed=seed)
    return folder


def measure_everything(options: argparse.Namespace) -> dict[str, Any]:
    """The turns on small studies, one study of full size with the shipped settings, and the ends."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_changed_settings(folder / "quick.yaml", **QUICK)
        small = write_phantoms(folder / "small", options.studies, *SMALL)
        turns = [[run_apart(mode, small, folder / "quick.yaml") for mode in MODES] for _ in range(options.turns)]
        full = write_phantoms(folder / "full", 1, *FULL)
        results = folder / "full-results"
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        command = [
            sys.executable,
            "-m",
            "groundglass.cohort",
            "--input",
            str(full),
            "--output",
            str(results),
            "--cores",
            "1",
        ]
        load, start = os.getloadavg()[0], time.monotonic()
        process = subprocess.Popen(command, cwd=ROOT, env=environment)
        _, code, used = os.wait4(process.pid, 0)
        if code:
            raise SystemExit("The study of full size could not be analysed.")
        case = json.loads((next(Results(results).finished()) / "result.json").read_text(encoding="utf-8"))["cases"][0]
        return {
            "turns": turns,
            "full": {
                "slices": FULL[0],
                "explained": sum(item["explained"] for item in case["slices"]),
                "seconds": sum(case["timings_s"].values()),
                "process_seconds": time.monotonic() - start,
                "cpu_seconds": used.ru_utime + used.ru_stime,
                "peak_mib": used.ru_maxrss / 1024,
                "load_before": load,
            },
            "ends": measure_ends(small, results),
            "machine": describe_machine(),
        }


# The page


def ratios(report: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Two workers' throughput over one's, turn by turn: on free cores, and in the time that passed."""
    free, passed = [], []
    for turn in report["turns"]:
        one, two = (next(run for run in turn if run["mode"] == mode) for mode in MODES)
        free.append(2 * one["core_seconds"] / two["core_seconds"])
        passed.append(two["studies_an_hour"] / one["studies_an_hour"])
    return free, passed


def to_measured(report: dict[str, Any]) -> str:
    """What was measured."""
    full, ends, machine = report["full"], report["ends"], report["machine"]
    runs = [run for turn in report["turns"] for run in turn]
    loads = [run["load_before"] for run in runs]
    slices, size = SMALL
    title = f"{slices} slices of {size} x {size}, 2 explained, lungs in one view"
    lines = [f"| {title} | core seconds of a study, by turn | studies an hour, by turn |", "| --- | --- | --- |"]
    for mode in MODES:
        seconds = ", ".join(f"{run['core_seconds']:.1f}" for run in runs if run["mode"] == mode)
        rates = ", ".join(f"{run['studies_an_hour']:.0f}" for run in runs if run["mode"] == mode)
        lines.append(f"| {mode} | {seconds} | {rates} |")
    free, passed = (f"{statistics.median(values):.2f}" for values in ratios(report))
    lines.append(f"| **two workers over one** | **{free}** by core seconds | {passed} by what passed |")
    return "\n".join(
        [
            *lines,
            "",
            f"- A study of {full['slices']} slices of 512 x 512 with the shipped settings, {full['explained']} slices "
            f"explained: {full['cpu_seconds']:.0f} s of one core, imports and weights included; "
            f"{full['seconds']:.0f} s passed in the stages. Peak memory {full['peak_mib']:.0f} MiB.",
            f"- It writes {ends['written_mb']:.1f} MB. Headers: {ends['files_a_second']:.0f} files a second, from the "
            f"cache of a local disk. Tables: {ends['tabled_a_second']:.0f} studies a second.",
            f"- Machine: {machine_in_words(machine)}, no GPU, load average {min(loads):.1f} to "
            f"{max(loads):.1f} before the runs: above 0, others computed too, and seconds that passed are longer than "
            "they need be. Core seconds suffer little.",
        ]
    )


def to_plan(report: dict[str, Any]) -> str:
    """What large archives take, from the core seconds of the study of full size."""
    core_hours = report["full"]["cpu_seconds"] / 3600
    written_mb = report["ends"]["written_mb"]
    lines = [f"| | {' | '.join(f'{studies:,} studies' for studies in ARCHIVES)} |", "| --- | --- | --- |"]

    def row(title: str, value: Any) -> None:
        lines.append(f"| {title} | {' | '.join(value(studies) for studies in ARCHIVES)} |")

    row("core hours", lambda studies: f"{studies * core_hours:,.0f}")
    row(
        f"cost at {EURO_A_CORE_HOUR} EUR a core hour",
        lambda studies: f"{studies * core_hours * EURO_A_CORE_HOUR:,.0f} EUR",
    )
    for cores in CLUSTERS:
        row(f"time on {cores:,} cores", lambda studies, cores=cores: _days(studies * core_hours / cores))
    row(f"images read, {STUDY_MB} MB a study", lambda studies: f"{studies * STUDY_MB / 1e6:,.1f} TB")
    row("results written", lambda studies: f"{studies * written_mb / 1e6:,.2f} TB")
    row(f"reading over one link of {LINK_MB_S} MB/s", lambda studies: _days(studies * STUDY_MB / LINK_MB_S / 3600))
    row("headers read once at each start", lambda studies: _days(_headers_h(report, studies)))
    row("tables at the end", lambda studies: _days(studies / report["ends"]["tabled_a_second"] / 3600))
    busy = STUDY_MB / LINK_MB_S
    enough = report["full"]["cpu_seconds"] / busy
    lines += ["", f"A link of {LINK_MB_S} MB/s feeds {enough:,.0f} cores; with more, it is the bound."]
    return "\n".join(lines)


def _headers_h(report: dict[str, Any], studies: int) -> float:
    return float(studies * STUDY_FILES / report["ends"]["files_a_second"] / 3600)


def _days(hours: float) -> str:
    if hours < 1 / 30:
        return f"{3600 * hours:,.0f} s"
    if hours < 1:
        return f"{60 * hours:,.0f} min"
    return f"{hours:,.1f} h" if hours < 48 else f"{hours / 24:,.0f} days"


def write_page(report: dict[str, Any]) -> None:
    """Put both between their markers."""
    text = PAGE.read_text(encoding="utf-8")
    for section, lines in (("measured", to_measured(report)), ("plan", to_plan(report))):
        start, end = f"<!-- {section} -->\n", f"<!-- end of {section} -->"
        before, rest = text.split(start)
        text = before + start + lines + "\n" + end + rest.split(end)[1]
    PAGE.write_text(text, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Measure and write; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cohort", description=__doc__)
    parser.add_argument("--turns", type=int, default=3, help="runs of each mode (default 3)")
    parser.add_argument("--studies", type=int, default=6, help="in each run (default 6)")
    parser.add_argument("--write-only", action="store_true", help="write the page from the last report")
    for name in ("mode", "archive", "settings", "output"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.mode:
        paths = (Path(options.archive), Path(options.settings), Path(options.output))
        print(json.dumps(measure(options.mode, *paths)))
        return 0
    if not options.write_only:
        RESULTS.write_text(json.dumps(measure_everything(options), indent=2) + "\n", encoding="utf-8")
    write_page(json.loads(RESULTS.read_text(encoding="utf-8")))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
