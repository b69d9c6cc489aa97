"""What `make bench` says of the stages: the table in benchmarks/results, and the lines of docs/benchmarks.md."""

from typing import Any

import numpy as np

from benchmarks.peer_turn import PEER_STAGES
from benchmarks.stage_times import BUT_NETWORKS, STAGES
from groundglass.locations import ROOT
from training.reports.readme import write_readme

RESULTS = ROOT / "benchmarks" / "results"
NAMES = {"cpu": "stages", "cuda": "stages_gpu"}
"""Of the results, by the device that computes."""
_PEER = (
    "What a user would take instead (`benchmarks/peer.py`): the SDK's loader, selector and series-to-volume operator, "
    "the same networks called plainly in float32, captum once a scale with Eq. 3's rule on each explained slice, the "
    "SDK's Segmentation writer and text SR writer. It writes no structured report, key images, boxes or presentation "
    "states. On each study it had one turn among ours, on the same cores."
)

_BUT_NETWORKS = (
    "Of all threads and processes, without the two networks and the gradients along the path: what a node with a GPU "
    "has left to do, whatever its card. What lies between two stages counts to the second."
)


def write_tables(report: dict[str, Any]) -> None:
    """The table, and the lines of docs/benchmarks.md."""
    text = as_markdown(report)
    name = NAMES["cuda" if report["machine"]["gpu"] else "cpu"]
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    write_readme(name, readme_lines(report))
    print(text)


def exponent(slices: list[int], seconds: list[float]) -> float:
    """b of seconds = a * slices^b, by least squares of the logarithms."""
    return float(np.polyfit(np.log(slices), np.log(seconds), 1)[0])


def exponents(studies: dict[str, Any]) -> dict[str, float]:
    """Of each stage over the phantoms; empty with fewer than two."""
    phantoms = {int(name.split()[1]): study["ours"] for name, study in studies.items() if name.startswith("phantom")}
    if len(phantoms) < 2:
        return {}
    return {stage: exponent(list(phantoms), [max(run[stage], 1e-3) for run in phantoms.values()]) for stage in STAGES}


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
    lines += [*_without_networks(studies), "", "## The peer", "", _PEER, ""]
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


def _without_networks(studies: dict[str, Any]) -> list[str]:
    """Core seconds of all that a GPU doesn't do; nothing where a report of an earlier version lacks them."""
    runs = {name: study["ours"] for name, study in studies.items()}
    if not all(BUT_NETWORKS in run for run in runs.values()):
        return []
    lines = ["", f"## {BUT_NETWORKS[0].upper()}{BUT_NETWORKS[1:]}, core seconds", "", _BUT_NETWORKS, ""]
    lines += ["| stage | " + " | ".join(runs) + " |", "| --- |" + " ---: |" * len(runs)]
    rows = {stage: f"cores: {stage}" for stage in STAGES if stage != "total"} | {BUT_NETWORKS: BUT_NETWORKS}
    for title, key in rows.items():
        lines.append(f"| {title} | " + " | ".join(f"{run.get(key, 0.0):.2f}" for run in runs.values()) + " |")
    return lines


def _memories(report: dict[str, Any]) -> dict[str, str]:
    """Titles of the memories that count, and their names in a run; those that a report lacks are left out."""
    titles = {"peak memory, MiB": "peak MiB", "the GPU's, MiB": "GPU MiB"}
    runs = [study["ours"] for study in report["studies"].values()]
    return {title: key for title, key in titles.items() if all(run.get(key) for run in runs)}


def readme_lines(report: dict[str, Any]) -> str:
    """Three lines for docs/benchmarks.md."""
    runs = {name: study["ours"] for name, study in report["studies"].items()}
    name, ours = next(iter(runs.items()))  # real studies come first
    peers = []
    for title, peer in report["peers"].items():
        peers.append(f"{title} {peer['peer']['total'] / runs[title]['total']:.1f}× as fast")
        if "peak MiB" in runs[title]:
            part = runs[title]["peak MiB"] / peer["peer"]["peak MiB"]
            peers[-1] += f", with {abs(1 - part):.0%} {'less' if part < 1 else 'more'} memory"
    memory = f"{ours['peak MiB']:.0f} MiB, " if "peak MiB" in ours else ""
    times = ", ".join(f"{stage} {item['times']:.1f}" for stage, item in report["limits"].items() if stage != "rates")
    machine = report["machine"]
    return (
        f"- A study on {machine['cores']} cores with {machine['instructions']}, "
        f"{'and ' + machine['gpu'] if machine['gpu'] else 'without a GPU'} ({name}): {ours['total']:.0f} s, "
        f"{memory}{ours['explained']:.0f} slices explained.\n"
        f"- Compared with a pipeline of SDK operators, plain PyTorch and captum: {'; '.join(peers)}.\n"
        f"- Measured time ÷ theoretical minimum on this machine, of its arithmetic or of reading the files "
        f"({report['limits_of']}): {times}.\n"
    )
