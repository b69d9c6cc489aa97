"""One run of the application that measures itself; `benchmarks.stage_times` starts it, in a process of its own.

Seconds on the clock tell how long a user waits. Core seconds, those of all threads and of processes that the run has
started, tell what the networks don't take: what a node with a GPU has left to do, whatever its card. The networks are
the lung network, the classifier, and the gradients along a path with their sums.
"""

import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any


def core_seconds() -> float:
    """Of this process so far, and of those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class _Clock:
    """Core seconds by stage, without those of the networks."""

    def __init__(self) -> None:
        self.marks: dict[str, float] = {}
        self.cores: dict[str, float] = defaultdict(float)
        self.networks = 0.0
        self._last = 0.0

    def lap(self, stage: str) -> None:
        """All since the last lap belongs to `stage`."""
        now = core_seconds() - self.networks
        self.cores[stage] += now - self._last
        self._last = now

    def of_networks(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            start = core_seconds()
            try:
                found = work(*arguments, **named)
                _wait_for_gpu()
            finally:
                self.networks += core_seconds() - start
            return found

        return timed


def _wait_for_gpu() -> None:
    import torch

    if torch.cuda.is_available():  # which goes on by itself after the call
        torch.cuda.synchronize()


def main(began: float, study: str, results: str, settings: str) -> None:
    """Print exit code, `marks` (seconds until the scan, and of the scan), `cores`, and peak memory of host and GPU.

    Args:
        began: when the process was started, as `time.time` has it.
        study, results, settings: folders and file, as of the command line.
    """
    clock = _Clock()

    from app import command_line
    from groundglass.command.startup import collect_seldom, leave_garbage, many_imports

    collect_seldom()  # as every command does
    with many_imports():  # as the application loads them
        from groundglass import case
        from groundglass.dicomio.reading import scan

    attempt, scan_folder = case.attempt, scan.scan_folder

    def timed_scan(*arguments: Any, **named: Any) -> Any:
        from groundglass.method import classifier_network, lung_network, saliency

        for owner, name in (
            (lung_network.LungUNet, "forward"),
            (classifier_network.MultiScaleClassifier, "forward"),
            (saliency.IntegratedGradients, "attribute"),
        ):
            setattr(owner, name, clock.of_networks(getattr(owner, name)))
        clock.lap("start")
        clock.marks["start"] = time.time() - began
        found = scan_folder(*arguments, **named)
        clock.lap("scan")
        clock.marks["scan"] = time.time() - began - clock.marks["start"]
        return found

    def timed_attempt(stage: str, *arguments: Any) -> Any:
        found = attempt(stage, *arguments)
        clock.lap(stage)  # and what lay before it, such as the choice of the series and the graph's own work
        return found

    # Whatever imports them from now on gets these.
    scan.scan_folder, case.attempt = timed_scan, timed_attempt  # type: ignore[assignment]
    code = int(command_line.main(["-i", study, "-o", results, "-m", "models", "--settings", settings, "-l", "ERROR"]))
    import torch

    from benchmarks.memory import status_mib

    gpu = torch.cuda.max_memory_reserved() / 2**20 if torch.cuda.is_available() else 0.0
    told = {"code": code, "marks": clock.marks, "cores": clock.cores, "networks": clock.networks}
    print(json.dumps({**told, "peak_mib": status_mib("VmHWM"), "gpu_mib": gpu}))
    leave_garbage()  # likewise


if __name__ == "__main__":
    main(float(sys.argv[1]), *sys.argv[2:5])
