"""What the bridge of the PACS loop adds to a case, and its own peak memory, with a real Orthanc.

The application analyses the study once, beforehand. In the bridge a program takes its place that copies those results,
so that what is left of the time is the bridge's and Orthanc's. The clock starts with Orthanc's change that calls the
study stable, and ends when Orthanc has the last series of the results.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pyorthanc import Orthanc as Client

from benchmarks.machine import describe_machine, machine_in_words
from benchmarks.memory import status_mib
from conformance import orthanc
from deploy.orthanc.settings import ROOT
from deploy.orthanc.trial import TrialBridge
from groundglass.changed_settings import ONE_SLICE_EXPLAINED, write_changed_settings
from groundglass.phantom.study import write_study
from groundglass.phantom.thorax import make_thorax

OUT = Path(__file__).with_name("results") / "pacs_loop.md"
GOAL_S = 2.0
_LOOK_S = 0.02
_COPY = "import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2], dirs_exist_ok=True)"
_STAGES = ("fetch", "application", "store")


def analyse(study: Path, results: Path, settings_file: Path) -> None:
    """The application, on a coarse grid and with one slice explained: the results have their usual size all the same.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    write_changed_settings(settings_file, **ONE_SLICE_EXPLAINED)
    folders = ["-i", str(study), "-o", str(results), "-m", "models", "--settings", str(settings_file), "-l", "ERROR"]
    subprocess.run([sys.executable, "-m", "app", *folders], cwd=ROOT, check=True)


def measure(archive: orthanc.Orthanc, files: list[Path], results: Path, folder: Path) -> dict[str, float]:
    """One case: seconds of the bridge's stages, in all, and its peak memory in MiB.

    Raises:
        RuntimeError: the study could not be sent.
    """
    client = Client(archive.url, trust_env=False)
    command = {"command": ["{python}", "-c", _COPY, str(results), "{output}"]}
    bridge = TrialBridge(folder, archive.url, application=command, changes={"poll_s": 0.5})
    bridge.start()
    try:
        since = client.get_changes(params={"last": ""})["Last"]
        if errors := archive.store(files):
            raise RuntimeError(errors[0])
        (study,) = client.get_studies()
        stable = ("StableStudy", study)
        while not any((each["ChangeType"], each["ID"]) == stable for each in _changes(client, since)):
            time.sleep(_LOOK_S)
        start = time.perf_counter()
        expected = 1 + len(list(results.glob("*.dcm")))
        while len(client.get_studies_id_series(study)) < expected:
            time.sleep(_LOOK_S)
        seconds = time.perf_counter() - start
        bridge.wait_until(lambda: bridge.events("analysed"), 30)
        metrics = bridge.metrics()
        stages = {stage: metrics[f'groundglass_bridge_stage_seconds_sum{{stage="{stage}"}}'] for stage in _STAGES}
        peak = status_mib("VmHWM", bridge.pid)
        client.delete_studies_id(study)
    finally:
        bridge.stop()
    return {**stages, "in all": seconds, "peak MiB": peak}


def _changes(client: Client, since: int) -> list[dict]:
    changes: list[dict] = client.get_changes(params={"since": since, "limit": 100_000})["Changes"]
    return changes


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and write the page; the exit code is 1 where the goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pacs_loop", description=__doc__)
    parser.add_argument("--slices", type=int, default=300, help="slices of 512 x 512 (default 300)")
    parser.add_argument("--repeat", type=int, default=3, help="cases; the median counts (default 3)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="groundglass-") as name:
        folder = Path(name)
        volume, _ = make_thorax("covid19", slices=options.slices)
        files = write_study(volume, folder / "study", preset="covid19")
        analyse(folder / "study", folder / "results", folder / "app.yaml")
        size_mb = sum(path.stat().st_size for path in files) / 1e6
        result_mb = sum(path.stat().st_size for path in (folder / "results").glob("*.dcm")) / 1e6
        with orthanc.running(StableAge=2) as archive:
            cases = [
                measure(archive, files, folder / "results", folder / f"bridge-{number}")
                for number in range(options.repeat)
            ]
    median = {key: statistics.median(case[key] for case in cases) for key in cases[0]}
    added_s = median["in all"] - median["application"]
    rows = "\n".join(f"| {key} | {value:.2f} |" for key, value in median.items())
    machine = machine_in_words(describe_machine())
    page = f"""# What the bridge adds to a case

Written by `python -m benchmarks.pacs_loop`. {options.slices} slices of 512 x 512 ({size_mb:.0f} MB), results of
{result_mb:.0f} MB, Orthanc on the same machine, `poll_s` 0.5; {machine}; median of {options.repeat} cases, seconds from
Orthanc's stable event to the last result in Orthanc. A program that copies ready results stands for the application.

| | |
| --- | --- |
{rows}

**Added to the application's own time: {added_s:.2f} s** (goal: less than {GOAL_S:g} s).
"""
    OUT.write_text(page, encoding="utf-8")
    print(page)
    return 0 if added_s < GOAL_S else 1


if __name__ == "__main__":
    raise SystemExit(main())
