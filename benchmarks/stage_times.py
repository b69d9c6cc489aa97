"""One run of the application in a process of its own: seconds of each stage, and memory."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from groundglass.locations import ROOT

STAGES = ("start", "scan", "headers", "volume", "lungs", "classification", "saliency", "writing", "end", "total")
"""`start` is all until the scan begins, `end` all after the last stage."""
_MEASURE = """
import json, sys, time
began, results = float(sys.argv[1]), sys.argv[3]
from app import command_line
from groundglass.dicomio.reading import scan
scan_folder = scan.scan_folder
marks = {}
def timed(*arguments, **named):
    marks["start"] = time.time() - began
    found = scan_folder(*arguments, **named)
    marks["scan"] = time.time() - began - marks["start"]
    return found
scan.scan_folder = timed
folders = ["-i", sys.argv[2], "-o", results, "-m", "models"]
code = int(command_line.main([*folders, "--settings", sys.argv[4], "-l", "ERROR"]))
from benchmarks.memory import status_mib
peak = status_mib("VmHWM")
import torch
gpu = torch.cuda.max_memory_reserved() / 2**20 if torch.cuda.is_available() else 0.0
print(json.dumps({"code": code, "marks": marks, "peak_mib": peak, "gpu_mib": gpu}))
"""


def measure(study: Path, results: Path, settings: Path) -> dict[str, float]:
    """One run in a process of its own: seconds by stage, `peak MiB`, `GPU MiB`, and the slices explained.

    Raises:
        RuntimeError: the application did not end with exit code 0.
    """
    began = time.time()
    command = [sys.executable, "-c", _MEASURE, str(began), str(study), str(results), str(settings)]
    told = json.loads(run_apart(command).splitlines()[-1])
    total = time.time() - began
    if told["code"] != 0:
        raise RuntimeError(f"The application ended with exit code {told['code']}.")
    case = json.loads((results / "result.json").read_text(encoding="utf-8"))["cases"][0]
    stages = {**told["marks"], **case["timings_s"]}
    explained = sum(item["explained"] for item in case["slices"])
    end = total - sum(stages.values())
    memory = {"peak MiB": told["peak_mib"], "GPU MiB": told["gpu_mib"]}
    return {**stages, "end": end, "total": total, **memory, "explained": explained}


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """By stage."""
    return {stage: statistics.median(run[stage] for run in runs) for stage in runs[0]}


def run_apart(command: list[str]) -> str:
    """What a command prints, in a process of its own.

    Raises:
        RuntimeError: it failed; with the end of its messages.
    """
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(f"{command[1:3]} ended with exit code {run.returncode}: {run.stderr[-2000:]}")
    return run.stdout.strip()
