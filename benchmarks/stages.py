"""Seconds of each stage, peak memory, growth, the peer and the machine's limits: `make bench`.

Every run is a process of its own. Phantoms of several lengths, and the real series where they are at hand, go through
the application; the median of the runs counts. On two of the studies the peer (`benchmarks.peer`) takes turns with it.
Limits: the stages' operations (`benchmarks.operations`) at the rates that convolutions of the networks' own shapes
reach here, and for the volume reading the files' bytes and decoding them once. Writes benchmarks/results/stages.json,
or stages_gpu.json where a GPU computes, study by study, so that a bench that was broken off goes on where it was, then
the table beside it and README's lines; `--write-only` writes both again from what is on record.
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from highdicom.seg import segread
from pydicom import dcmread
from torch.nn import functional
from tqdm import tqdm

from benchmarks.input import load_with_ours
from benchmarks.machine import describe_machine
from benchmarks.operations import as_figures, count_stages
from groundglass.changed_settings import write_changed_settings
from groundglass.device import choose_device
from groundglass.dicomio.reading.scan import scan_folder
from groundglass.dicomio.reading.select import choose_series
from groundglass.dicomio.reading.volume import read_grid
from groundglass.locations import ROOT
from groundglass.method.precision import exact_float32, fast_precision
from groundglass.phantom.study import write_study
from groundglass.phantom.thorax import make_thorax
from groundglass.settings import Settings, load_settings
from training.reports.readme import write_readme

RESULTS = ROOT / "benchmarks" / "results"
NAMES = {"cpu": "stages", "cuda": "stages_gpu"}
"""Of the results, by the device that computes."""
REAL = {"P001": "P001, 148 slices", "lung_dx_A0001": "lung_dx_A0001"}
STAGES = ("start", "scan", "headers", "volume", "lungs", "classification", "saliency", "writing", "end", "total")
"""`start` is all until the scan begins, `end` all after the last stage."""
PEER_STAGES = ("start", "volume", "lungs", "classification", "saliency", "writing", "total")
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


def _run(command: list[str]) -> str:
    """What a command prints.

    Raises:
        RuntimeError: it failed; with the end of its messages.
    """
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(f"{command[1:3]} ended with exit code {run.returncode}: {run.stderr[-2000:]}")
    return run.stdout.strip()


def measure(study: Path, results: Path, settings: Path) -> dict[str, float]:
    """One run in a process of its own: seconds by stage, `peak MiB`, `GPU MiB`, and the slices explained.

    Raises:
        RuntimeError: the application did not end with exit code 0.
    """
    began = time.time()
    command = [sys.executable, "-c", _MEASURE, str(began), str(study), str(results), str(settings)]
    told = json.loads(_run(command).splitlines()[-1])
    total = time.time() - began
    if told["code"] != 0:
        raise RuntimeError(f"The application ended with exit code {told['code']}.")
    case = json.loads((results / "result.json").read_text(encoding="utf-8"))["cases"][0]
    stages = {**told["marks"], **case["timings_s"]}
    explained = sum(item["explained"] for item in case["slices"])
    end = total - sum(stages.values())
    memory = {"peak MiB": told["peak_mib"], "GPU MiB": told["gpu_mib"]}
    return {**stages, "end": end, "total": total, **memory, "explained": explained}


def measure_peer(study: Path, results: Path, settings: Path) -> dict[str, float]:
    """One run of the peer in a process of its own, with the same names."""
    start = time.time()
    command = [sys.executable, "-m", "benchmarks.peer", str(study), str(results), "--settings", str(settings)]
    _run(command)
    total = time.time() - start
    told = json.loads((results / "peer.json").read_text(encoding="utf-8"))
    stages = told["seconds"]
    stages["start"] += total - sum(stages.values())  # imports, which come before its clock
    return {**stages, "total": total, "peak MiB": told["peak_mib"], "GPU MiB": told["gpu_mib"]}


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """By stage."""
    return {stage: statistics.median(run[stage] for run in runs) for stage in runs[0]}


def exponent(slices: list[int], seconds: list[float]) -> float:
    """b of seconds = a * slices^b, by least squares of the logarithms."""
    return float(np.polyfit(np.log(slices), np.log(seconds), 1)[0])


def exponents(studies: dict[str, Any]) -> dict[str, float]:
    """Of each stage over the phantoms; empty with fewer than two."""
    phantoms = {int(name.split()[1]): study["ours"] for name, study in studies.items() if name.startswith("phantom")}
    if len(phantoms) < 2:
        return {}
    return {stage: exponent(list(phantoms), [max(run[stage], 1e-3) for run in phantoms.values()]) for stage in STAGES}


def agreement(ours: Path, peer: Path) -> dict[str, float]:
    """How far two results are the same: the lungs' Dice, probabilities' largest difference, pixels boxes share."""
    theirs = np.load(peer / "peer.npz")
    uids = [str(uid) for uid in theirs["uids"]]
    case = json.loads((ours / "result.json").read_text(encoding="utf-8"))["cases"][0]
    segmentation = segread(ours / "case-001.seg.dcm")
    lungs = segmentation.get_pixels_by_source_instance(uids, segment_numbers=[1, 2], combine_segments=True) > 0
    other = theirs["lungs"] > 0
    their_slices = dict(zip(theirs["slices"].tolist(), theirs["probabilities"], strict=True))
    pairs = [(item["probabilities"], their_slices.get(uids.index(item["sop_instance_uid"]))) for item in case["slices"]]
    slices = [np.abs(np.array([*mine.values()]) - other).max() for mine, other in pairs if other is not None]
    boxes = np.zeros((2, *lungs.shape), dtype=bool)
    for box in case["boxes"]:
        rows, columns = slice(box["row_min"], box["row_max"] + 1), slice(box["column_min"], box["column_max"] + 1)
        boxes[0, uids.index(box["sop_instance_uid"]), rows, columns] = True
    for index, top, bottom, left, right in theirs["boxes"]:
        boxes[1, index, top:bottom, left:right] = True
    study = np.array([*case["prediction"]["probabilities"].values()])
    return {
        "lungs_dice": float(2 * (lungs & other).sum() / (lungs.sum() + other.sum())),
        "slices_compared": len(slices),
        "slices_not_in_both": len(pairs) + len(their_slices) - 2 * len(slices),
        "slice_probability_difference": float(max(slices)),
        "study_probability_difference": float(np.abs(study - theirs["study"]).max()),
        "boxes_iou": float(boxes.all(axis=0).sum() / max(boxes.any(axis=0).sum(), 1)),
    }


def rates(device: str) -> dict[str, float]:
    """Giga-operations a second of the classifier's widest convolutions by precision, and GB/s of a copy in memory."""
    found = {}
    images = 64 if device == "cuda" else 2  # two fill a CPU's cores
    with torch.inference_mode(), exact_float32():
        for precision in (torch.float32, torch.bfloat16):
            image, weight = (
                torch.rand(*shape, device=device).to(precision).contiguous(memory_format=torch.channels_last)
                for shape in ((images, 256, 28, 28), (256, 256, 3, 3))
            )
            seconds = _quickest(partial(functional.conv2d, image, weight, padding=1))
            found[str(precision).removeprefix("torch.")] = 2 * images * 9 * 256 * 256 * 28 * 28 / seconds / 1e9
        block = torch.rand(64 << 20, device=device)
        found["copy_gb_s"] = 2 * block.nbytes / _quickest(block.clone, 5) / 1e9
    return found


def _quickest(work: Callable[[], object], repeat: int = 20) -> float:
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():  # which goes on by itself after the call
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def reading_floor(study: Path) -> float:
    """Seconds to read a study's files and to decode each once, in one thread."""
    start = time.perf_counter()
    for path in sorted(path for path in study.rglob("*") if path.is_file()):
        _ = dcmread(io.BytesIO(path.read_bytes())).pixel_array
    return time.perf_counter() - start


def limits(study: Path, seconds: dict[str, float], settings: Settings) -> dict[str, dict[str, float]]:
    """Each stage's limit in seconds, and how many times as long it took."""
    chosen = choose_series(scan_folder(study).series, settings.selection).chosen
    if chosen is None:
        raise ValueError("No series was chosen.")
    volume = read_grid(chosen.grid, settings.decoding_threads).volume
    device = choose_device(settings.device)
    machine = rates(device)
    found = {}
    for stage, count in count_stages(volume, settings, None, device).items():
        limit = sum(value / 1e9 / machine[precision] for precision, value in count.operations.items())
        found[stage] = {**as_figures(count), "limit_s": limit, "times": seconds[stage] / limit}
    load_with_ours(study)  # the files are in memory then, as they are for the floor
    floor, took = reading_floor(study), _quickest(lambda: load_with_ours(study), 3)
    found["scan and volume"] = {"limit_s": floor, "times": took / floor}
    return {"rates": machine, **found}


def as_markdown(report: dict[str, Any]) -> str:
    """The report as tables."""
    machine, repeat = report["machine"], report["repeat"]
    studies = report["studies"]
    grown = exponents(studies)
    turns = "One run of each" if repeat == 1 else f"Medians of {repeat} runs"
    computes = f"{machine['gpu']}, on which" if machine["gpu"] else "no GPU, so that on the CPU"
    lines = [
        "# Speed",
        "",
        f"Commit `{report['commit']}`; {machine['processor']}, {machine['cores']} cores with "
        f"{machine['instructions']}, {computes} the networks are computed in {machine['precision']}; torch "
        f"{machine['torch']}, Python {machine['python']}. {turns}, each in a process of its own. Written by "
        "`make bench`.",
        "",
        "## Stages, seconds",
        "",
        "The last column is b of seconds = a x slices^b over the phantoms: 1 is linear. A phantom is as high whatever "
        f"its slices, the lungs are segmented on cubes of one size, and at most {report['maximum_slices']} slices are "
        "explained, so that three stages don't grow with the slices.",
        "",
        "| stage | " + " | ".join(studies) + " | b |",
        "| --- |" + " ---: |" * (len(studies) + 1),
    ]
    for stage in STAGES:
        cells = " | ".join(f"{study['ours'][stage]:.1f}" for study in studies.values())
        lines.append(f"| {stage} | {cells} | {f'{grown[stage]:.2f}' if grown else ''} |")
    figures = {"slices explained": "explained", **_memories(report)}
    for name, key in figures.items():
        cells = " | ".join(f"{study['ours'][key]:.0f}" for study in studies.values())
        lines.append(f"| {name} | {cells} | |")
    lines += ["", "## The peer", "", _PEER, ""]
    for name, peer in report["peers"].items():
        ours, theirs, same = studies[name]["ours"], peer["peer"], peer["agreement"]
        lines += [
            f"### {name}",
            "",
            "| stage | ours, s | peer, s | peer to ours |",
            "| --- | ---: | ---: | ---: |",
        ]
        joined = {**ours, "volume": ours["scan"] + ours["headers"] + ours["volume"]}
        for stage in PEER_STAGES:
            lines.append(
                f"| {stage} | {joined[stage]:.1f} | {theirs[stage]:.1f} | {theirs[stage] / joined[stage]:.1f}x |"
            )
        for title, key in _memories(report).items():
            lines.append(f"| {title} | {ours[key]:.0f} | {theirs[key]:.0f} | {theirs[key] / ours[key]:.1f}x |")
        lines += [
            "",
            f"The same result? Lungs: Dice {same['lungs_dice']:.5f}. Probabilities differ by at most "
            f"{same['slice_probability_difference']:.3f} on {same['slices_compared']} slices "
            f"({same['slices_not_in_both']} are classified by one of the two alone), and by "
            f"{same['study_probability_difference']:.3f} for the study. Pixels in boxes: IoU {same['boxes_iou']:.2f}; "
            "captum's gradients all count alike along the path, ours with a power of their place.",
            "",
        ]
    lines += [
        f"## Limits, {report['limits_of']}",
        "",
        f"Convolutions reach {report['limits']['rates']['float32']:.0f} GF/s in float32 and "
        f"{report['limits']['rates']['bfloat16']:.0f} in bfloat16 on this machine, a copy in memory "
        f"{report['limits']['rates']['copy_gb_s']:.0f} GB/s. The limit of a network stage is its operations at these "
        "rates; that of scan and volume is reading the files and decoding each once, in one thread. Times are those of "
        "the application's run, all that a stage does besides included.",
        "",
        "| stage | operations float32, G | bfloat16, G | bytes, GB | limit, s | took, times the limit |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for stage, item in report["limits"].items():
        if stage == "rates":
            continue
        counts = " | ".join(f"{item[key]:.0f}" if key in item else "" for key in ("float32_gop", "bfloat16_gop", "gb"))
        lines.append(f"| {stage} | {counts} | {item['limit_s']:.2f} | {item['times']:.1f} |")
    return "\n".join(lines) + "\n"


def _memories(report: dict[str, Any]) -> dict[str, str]:
    """Titles of the memories that count, and their names in a run; those that a report lacks are left out."""
    titles = {"peak memory, MiB": "peak MiB", "the GPU's, MiB": "GPU MiB"}
    runs = [study["ours"] for study in report["studies"].values()]
    return {title: key for title, key in titles.items() if all(run.get(key) for run in runs)}


_PEER = (
    "What a user would take instead (`benchmarks/peer.py`): the SDK's loader, selector and series-to-volume operator, "
    "the same networks called plainly in float32, captum once a scale with Eq. 3's rule, the SDK's Segmentation writer "
    "and text SR writer. It writes no structured report, key images, boxes or presentation states. On each "
    "study it had one turn among ours, on the same cores."
)


def readme_lines(report: dict[str, Any]) -> str:
    """README's three lines."""
    runs = {name: study["ours"] for name, study in report["studies"].items()}
    name, ours = next(iter(runs.items()))  # real studies come first
    peers = []
    for title, peer in report["peers"].items():
        peers.append(f"{title} {peer['peer']['total'] / runs[title]['total']:.1f} times as fast")
        if "peak MiB" in runs[title]:
            peers[-1] += f", {runs[title]['peak MiB'] / peer['peer']['peak MiB']:.2f} of the memory"
    memory = f"{ours['peak MiB']:.0f} MiB, " if "peak MiB" in ours else ""
    times = ", ".join(f"{stage} {item['times']:.1f}" for stage, item in report["limits"].items() if stage != "rates")
    machine = report["machine"]
    return (
        f"- A study on {machine['cores']} cores with {machine['instructions']}, "
        f"{'and ' + machine['gpu'] if machine['gpu'] else 'without a GPU'} ({name}): {ours['total']:.0f} s, "
        f"{memory}{ours['explained']:.0f} slices explained.\n"
        f"- Against the SDK's operators, plain networks and captum in turns: {'; '.join(peers)}.\n"
        f"- Times the limit of this machine's arithmetic, or of reading the files ({report['limits_of']}): {times}.\n"
    )


def _commit() -> str:
    """Of the code: results and README are written by benchmarks themselves."""
    code = [".", ":!benchmarks/results", ":!README.md"]
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    changed = subprocess.run([*git, "status", "--porcelain", "--", *code], capture_output=True, text=True, check=False)
    return (head.strip() or "unknown") + ("-dirty" if changed.stdout else "")


def write(report: dict[str, Any]) -> None:
    """The table, and README's lines."""
    text = as_markdown(report)
    name = NAMES["cuda" if report["machine"]["gpu"] else "cpu"]
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    write_readme(name, readme_lines(report))
    print(text)


def main(arguments: list[str] | None = None) -> int:
    """Measure, keep and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages", description=__doc__)
    parser.add_argument("--repeat", type=int, default=3, help="runs of each study; the median counts (default 3)")
    parser.add_argument("--slices", type=int, nargs="+", default=[64, 150, 300, 600], help="phantoms' lengths")
    parser.add_argument("--peer-slices", type=int, default=300, help="the phantom that the peer analyses too")
    parser.add_argument("--explained", type=int, help="slices explained at most, in a short bench; default app.yaml's")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: a GPU if there is one"
    )
    parser.add_argument("--write-only", action="store_true", help="write the tables again from what is on record")
    options = parser.parse_args(arguments)
    if options.write_only:
        for path in (RESULTS / f"{name}.json" for name in NAMES.values()):
            if path.exists():
                write(json.loads(path.read_text(encoding="utf-8")))
        return 0
    data = Path(os.environ.get("GROUNDGLASS_DATA", ROOT / "../shared/data")).resolve() / "dicom"
    device = choose_device(options.device)
    changes: dict[str, Any] = {"device": device}
    if options.explained:
        changes["saliency"] = {"maximum_slices": options.explained}
    kept = RESULTS / f"{NAMES[device]}.json"
    report = _begin(kept, options.repeat, device, options.explained or load_settings().explanation.maximum_slices)
    phantoms = {f"phantom, {slices} slices": slices for slices in sorted(options.slices)}
    real = {title: data / name for name, title in REAL.items() if (data / name).is_dir()}
    with_peer = {f"phantom, {options.peer_slices} slices", REAL["P001"]}
    for name in tqdm([*real, *phantoms], desc="studies", unit="study"):
        if name in report["studies"]:
            continue
        with tempfile.TemporaryDirectory() as folder:
            study = real.get(name) or _write_phantom(phantoms[name], Path(folder) / "phantom")
            settings = write_changed_settings(Path(folder) / "app.yaml", **changes)
            _measure_study(report, name, study, Path(folder), settings, name in with_peer)
            if name == REAL["P001"] or not (report["limits"] or real):
                report["limits_of"], report["limits"] = (
                    name,
                    limits(study, report["studies"][name]["ours"], load_settings(settings)),
                )
        kept.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    write(report)
    return 0


def _begin(kept: Path, repeat: int, device: str, maximum_slices: int) -> dict[str, Any]:
    """A new report, or the one on record if it is of this commit and this machine and still lacks studies."""
    report: dict[str, Any] = {
        "commit": _commit(),
        "machine": {
            **describe_machine(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
            "precision": str(fast_precision(torch.device(device))).removeprefix("torch."),
            "torch": torch.__version__,
        },
        "repeat": repeat,
        "maximum_slices": maximum_slices,
    }
    if kept.exists():
        recorded: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        if all(recorded.get(key) == value for key, value in report.items()):
            return recorded
    return report | {"studies": {}, "peers": {}, "limits_of": None, "limits": {}}


def _write_phantom(slices: int, folder: Path) -> Path:
    write_study(make_thorax("covid19", slices=slices)[0], folder, preset="covid19")
    return folder


def _measure_study(
    report: dict[str, Any], name: str, study: Path, folder: Path, settings: Path, with_peer: bool
) -> None:
    ours, peers = folder / "ours", folder / "peer"
    runs, theirs = [], None
    for turn in range(report["repeat"]):
        runs.append(measure(study, ours, settings))
        if with_peer and turn == report["repeat"] // 2:  # once, between ours: it takes many times as long
            theirs = measure_peer(study, peers, settings)
    report["studies"][name] = {"ours": medians(runs)}
    if theirs:
        report["peers"][name] = {"peer": theirs, "agreement": agreement(ours, peers)}


if __name__ == "__main__":
    raise SystemExit(main())
