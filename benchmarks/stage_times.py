"""One run of the application in a process of its own: seconds of each stage, and memory."""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from groundglass.locations import ROOT

STAGES = ("start", "scan", "headers", "volume", "lungs", "classification", "saliency", "writing", "end", "total")
"""`start` is all until the scan begins, `end` all after the last stage."""
BUT_NETWORKS = "everything but the networks"
"""Core seconds of a run, as a node with a GPU has them whatever its card."""


def measure(study: Path, results: Path, settings: Path) -> dict[str, float]:
    """One run in a process of its own.

    Returns:
        Seconds by stage, `peak MiB`, `GPU MiB`, and the slices explained; and core seconds without those of the
        networks, by stage (`cores: lungs` and so on) and of the whole run (BUT_NETWORKS).

    Raises:
        RuntimeError: the application did not end with exit code 0.
    """
    began, before = time.time(), _cores_of_children()
    command = [sys.executable, "-m", "benchmarks.measured_run", str(began), str(study), str(results), str(settings)]
    told = json.loads(run_apart(command).splitlines()[-1])
    total, cores = time.time() - began, _cores_of_children() - before
    if told["code"] != 0:
        raise RuntimeError(f"The application ended with exit code {told['code']}.")
    case = json.loads((results / "result.json").read_text(encoding="utf-8"))["cases"][0]
    stages = {**told["marks"], **case["timings_s"]}
    explained = sum(item["explained"] for item in case["slices"])
    end = total - sum(stages.values())
    memory = {"peak MiB": told["peak_mib"], "GPU MiB": told["gpu_mib"]}
    but_networks = cores - told["networks"]
    of_stages = {**told["cores"], "end": but_networks - sum(told["cores"].values())}
    own = {f"cores: {stage}": seconds for stage, seconds in of_stages.items()} | {BUT_NETWORKS: but_networks}
    return {**stages, "end": end, "total": total, **memory, "explained": explained, **own}


def _cores_of_children() -> float:
    """Core seconds of the processes that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """By stage."""
    return {stage: statistics.median(run[stage] for run in runs) for stage in runs[0]}


def run_apart(command: list[str]) -> str:
    """What a command prints, in a process of its own, whose modules are compiled once, as where it is installed.

    Raises:
        RuntimeError: it failed; with the end of its messages.
    """
    compiles_once = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    run = subprocess.run(command, cwd=ROOT, env=compiles_once, capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(f"{command[1:3]} ended with exit code {run.returncode}: {run.stderr[-2000:]}")
    return run.stdout.strip()
