"""What a study costs with a process of its own, and by a worker that stays: `python -m benchmarks.warm_worker`.

The same small study again and again, with few planes and one slice explained, so that start and end are what differs:
in turns, by `groundglass analyse`, by the application with its graph, and by one `groundglass worker`.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.machine import describe_machine, machine_in_words
from groundglass.changed_settings import ONE_SLICE_EXPLAINED, write_changed_settings
from groundglass.locations import ROOT
from groundglass.phantom.study import write_study
from groundglass.phantom.thorax import make_thorax
from groundglass.worker.held import HeldWorker, Limits

OUT = ROOT / "benchmarks" / "results" / "warm_worker.md"
ROWS = {
    "app": "a process for each study, with the graph (`python -m app`)",
    "analyse": "a process for each study, without it (`groundglass analyse`)",
    "worker": "a worker that stays, after its first study (`groundglass worker`)",
}


def _cores_of(process: int) -> float:
    """Core seconds of a process that is running."""
    ticks = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[11:15]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def _cores_of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def measure(study: Path, folder: Path, repeat: int) -> dict[str, tuple[float, float]]:
    """Median seconds and core seconds of a study, by row.

    Raises:
        RuntimeError: a study could not be analysed.
    """
    settings = write_changed_settings(folder / "app.yaml", **ONE_SLICE_EXPLAINED)
    own = ["--settings", str(settings), "-l", "error"]
    held = HeldWorker([sys.executable, "-m", "groundglass", "worker", *own], Limits(10_000, 1 << 20), ROOT)
    out, log = folder / "out", folder / "log"

    def apart(*words: str) -> Callable[[], float]:
        def once() -> float:
            before = _cores_of_children()
            subprocess.run([sys.executable, "-m", *words], cwd=ROOT, check=True)
            return _cores_of_children() - before

        return once

    def kept() -> float:
        before = _cores_of(held.process_id) if held.process_id else 0.0
        if held.analyse({"input": str(study), "output": str(out)}, log, timeout_s=0) or held.process_id is None:
            raise RuntimeError(log.read_text(encoding="utf-8"))
        return _cores_of(held.process_id) - before

    ways = {
        "app": apart("app", "-i", str(study), "-o", str(out), "--settings", str(settings), "-l", "ERROR"),
        "analyse": apart("groundglass", "analyse", str(study), str(out), *own),
        "worker": kept,
    }
    kept()  # the first study starts the worker
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(repeat):
        for name, way in ways.items():
            start = time.perf_counter()
            cores = way()
            found[name].append((time.perf_counter() - start, cores))
    held.close()
    return {
        name: (statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs))
        for name, pairs in found.items()
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.warm_worker", description=__doc__)
    parser.add_argument("--slices", type=int, default=40, help="of the study (default 40)")
    parser.add_argument("--repeat", type=int, default=3, help="turns; the median counts (default 3)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="groundglass-") as name:
        folder = Path(name)
        write_study(make_thorax("covid19", slices=options.slices, size=256)[0], folder / "study", preset="covid19")
        found = measure(folder / "study", folder, options.repeat)
    rows = "\n".join(f"| {ROWS[way]} | {seconds:.1f} | {cores:.1f} |" for way, (seconds, cores) in found.items())
    spared = found["app"][1] - found["worker"][1]
    page = f"""# A worker that stays

Written by `python -m benchmarks.warm_worker`. One study of {options.slices} slices of 256 x 256 with few planes and one
slice explained, in turns; {machine_in_words(describe_machine())}; median of {options.repeat}.

| | seconds a study | core seconds |
| --- | ---: | ---: |
{rows}

**A worker that stays spares {spared:.1f} core seconds a study**: imports, weights and the end of a process.
"""
    OUT.write_text(page, encoding="utf-8")
    print(page)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
