"""How short each stage could be on this machine: its operations at the rates reached here, its files read once.

The rates are those of convolutions of the networks' own shapes, the operations are counted (`benchmarks.operations`).
"""

import io
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from pydicom import dcmread
from torch.nn import functional

from benchmarks.input import load_with_ours
from benchmarks.operations import as_figures, count_stages
from groundglass.device import choose_device
from groundglass.method.precision import exact_float32
from groundglass.settings import Settings
from groundglass.study import read_study


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
    volume = read_study(study, settings.selection).volume
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
