"""Seconds of each stage, peak memory, growth, the peer and the machine's limits: `make bench`.

Every run is a process of its own. Phantoms of several lengths, and the real series where they are at hand, go through
the application; the median of the runs counts. On two of the studies the peer (`benchmarks.peer`) takes turns with it.
Limits: the stages' operations (`benchmarks.operations`) at the rates that convolutions of the networks' own shapes
reach here, and for the volume reading the files' bytes and decoding them once. Writes benchmarks/results/stages.json,
or stages_gpu.json where a GPU computes, study by study, so that a bench that was broken off goes on where it was, then
the table beside it and the lines of docs/benchmarks.md; `--write-only` writes both again from what is on record.
"""

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from benchmarks.machine import describe_machine
from benchmarks.peer_turn import agreement, measure_peer
from benchmarks.stage_limits import limits
from benchmarks.stage_tables import NAMES, RESULTS, write_tables
from benchmarks.stage_times import measure, medians
from groundglass.changed_settings import write_changed_settings
from groundglass.device import choose_device
from groundglass.locations import ROOT
from groundglass.method.precision import fast_precision
from groundglass.phantom.study import write_study
from groundglass.phantom.thorax import make_thorax
from groundglass.settings import load_settings

REAL = {"P001": "P001, 148 slices", "lung_dx_A0001": "lung_dx_A0001"}
"""Folders of the data, and their titles."""


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
                write_tables(json.loads(path.read_text(encoding="utf-8")))
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
    write_tables(report)
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


def _commit() -> str:
    """Of the code: results and docs/benchmarks.md are written by benchmarks themselves."""
    code = [".", ":!benchmarks/results", ":!docs/benchmarks.md"]
    git = ["git", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    changed = subprocess.run([*git, "status", "--porcelain", "--", *code], capture_output=True, text=True, check=False)
    return (head.strip() or "unknown") + ("-dirty" if changed.stdout else "")


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
