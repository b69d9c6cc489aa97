"""The training loop of every network: on CPU, one GPU, or several (`torchrun --nproc-per-node N -m training...`).

It goes on where it was killed, to the same weights: every random choice of a sample comes from `(seed, iteration, n)`,
and weights, their moving average, the best ones so far and Adam's state are in one checkpoint. It writes `log.csv`,
and `log.png` to look at.
"""

import copy
import csv
import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, distributed, nn
from tqdm import tqdm

from groundglass.method.precision import mixed_precision
from training.data.drawing import Draw
from training.engine.checkpoint import average_weights, load_checkpoint, save_checkpoint

Validate = Callable[[nn.Module], tuple[float, float]]
"""From a network in evaluation mode to validation loss and accuracy."""
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Of malloc.h."""
_LOG_FIELDS = ("iteration", "loss", "validation_loss", "validation_accuracy")


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train. The defaults are II-G's.

    Attributes:
        iterations: at most so many.
        batch: samples an iteration, over all processes.
        learning_rate: Adam's.
        betas: Adam's.
        cosine: whether the learning rate rises over 50 iterations and falls to zero along a cosine; else constant.
        average_decay: of the moving average of the weights, which is what is validated and returned; 0 for none.
        validate_every: iterations between validations.
        patience: stop after so many iterations without a lower validation loss.
        save_every: iterations between checkpoints.
    """

    iterations: int = 20_000
    batch: int = 16
    learning_rate: float = 1e-4
    betas: tuple[float, float] = (0.5, 0.9)
    cosine: bool = False
    average_decay: float = 0.0
    validate_every: int = 500
    patience: int = 1000
    save_every: int = 100

    def learning_rate_at(self, iteration: int) -> float:
        if not self.cosine:
            return self.learning_rate
        falling = 0.5 + 0.5 * float(np.cos(np.pi * iteration / self.iterations))
        return self.learning_rate * min(1.0, (iteration + 1) / 50) * falling


def fit(
    out: Path,
    network: nn.Module,
    draw: Draw,
    loss_of: Callable[[Any, Tensor], Tensor],
    plan: Plan,
    validate: Validate | None = None,
    description: str = "training",
) -> nn.Module:
    """Train `network`, resuming from `out`.

    Args:
        out: folder for `checkpoint.safetensors`, `log.csv` and `log.png`.
        network: float32, on the CPU; it is moved to the device it trains on.
        draw: makes one sample.
        loss_of: from the network's output and the batch of targets to the loss.
        plan: length and speed.
        validate: if given, every `plan.validate_every` iterations; decides the best weights and the early stop.
        description: beside the progress bar.

    Returns:
        On the CPU, in evaluation mode: the weights of the best validation accuracy (the later of equals), or the last
        ones where nothing validates.
    """
    _keep_freed_memory()
    rank, world = _join_processes()
    device = (
        torch.device("cuda", rank % torch.cuda.device_count()) if torch.cuda.is_available() else torch.device("cpu")
    )
    network.to(device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    average = copy.deepcopy(network).eval()
    best = copy.deepcopy(average)
    optimizer = torch.optim.Adam(network.parameters(), lr=plan.learning_rate, betas=plan.betas, eps=1e-8)
    modules = {"network": network, "average": average, "best": best}
    progress: dict[str, Any] = {
        "iteration": 0,
        "lowest_loss": float("inf"),
        "lowest_at": 0,
        "best_accuracy": -1.0,
        "stopped": 0,
    }
    progress |= load_checkpoint(out / "checkpoint.safetensors", modules, optimizer)
    trained = nn.parallel.DistributedDataParallel(network) if world > 1 else network
    log = _Log(out / "log.csv", progress["iteration"], writes=rank == 0)
    # Neighbours stay together: kinds and classes of samples come in turn, and each process needs all of them.
    numbers = range(rank * plan.batch // world, (rank + 1) * plan.batch // world)
    steps = range(progress["iteration"], 0 if progress["stopped"] else plan.iterations)
    bar = tqdm(
        steps, initial=progress["iteration"], total=plan.iterations, desc=description, unit="it", disable=rank > 0
    )
    with ThreadPoolExecutor(os.cpu_count()) as painters:
        for iteration in bar:
            for group in optimizer.param_groups:
                group["lr"] = plan.learning_rate_at(iteration)
            samples = list(painters.map(lambda n, iteration=iteration: draw(iteration, n), numbers))
            planes = torch.from_numpy(np.stack([planes for planes, _ in samples])).to(device)
            target = torch.from_numpy(np.stack([target for _, target in samples])).to(device)
            with mixed_precision(device):
                output = trained(planes.contiguous(memory_format=torch.channels_last))
            loss = loss_of(output, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            average_weights(average, network, min(plan.average_decay, (iteration + 1) / (iteration + 10)))
            done = iteration + 1
            progress["iteration"] = done
            line: dict[str, Any] = {"iteration": done, "loss": round(loss.item(), 4)}
            if validate is not None and (done % plan.validate_every == 0 or done == plan.iterations):
                line |= _judge(validate, average, best, progress, plan)
            log.add(line)
            if done % plan.save_every == 0 or done == plan.iterations or progress["stopped"]:
                once(lambda: save_checkpoint(out / "checkpoint.safetensors", progress, modules, optimizer))
                log.flush()
            if progress["stopped"]:
                break
    log.plot(description)
    return (average if validate is None else best).to("cpu")


def once(action: Callable[[], object]) -> None:
    """Do `action`, a file to write for instance, in the first process only; the others wait until it is done."""
    rank, world = _join_processes()
    if rank == 0:
        action()
    if world > 1:
        distributed.barrier()


def _keep_freed_memory() -> None:
    """Have the GNU C library keep what a step frees: the next needs the same, and new pages cost a fifth of a step."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def _judge(
    validate: Validate, average: nn.Module, best: nn.Module, progress: dict[str, Any], plan: Plan
) -> dict[str, float]:
    """Validate; keep the best weights; say whether to stop. The first process decides for all.

    BatchNorm's statistics are each process's own between two steps, so that the others' figures may differ.
    """
    validation_loss, accuracy = _of_first_process(validate(average))
    if accuracy >= progress["best_accuracy"]:
        progress["best_accuracy"] = accuracy
        best.load_state_dict(average.state_dict())
    if validation_loss < progress["lowest_loss"]:
        progress |= {"lowest_loss": validation_loss, "lowest_at": progress["iteration"]}
    progress["stopped"] = int(progress["iteration"] - progress["lowest_at"] >= plan.patience)
    return {"validation_loss": round(validation_loss, 4), "validation_accuracy": round(accuracy, 4)}


def _of_first_process(figures: tuple[float, float]) -> tuple[float, float]:
    if _join_processes()[1] == 1:
        return figures
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    shared = torch.tensor(figures, dtype=torch.float64, device=device)
    distributed.broadcast(shared, 0)
    first, second = shared.tolist()
    return first, second


def _join_processes() -> tuple[int, int]:
    """Rank and number of the processes that torchrun started; 0 and 1 without it."""
    if "RANK" not in os.environ:
        return 0, 1
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return distributed.get_rank(), distributed.get_world_size()


class _Log:
    """Loss and validation figures, a line an iteration; lines beyond the checkpoint are dropped on resuming."""

    def __init__(self, path: Path, iteration: int, writes: bool) -> None:
        self.path = path
        self.writes = writes
        self.lines: list[dict[str, Any]] = []
        if iteration and path.exists():
            with path.open(newline="") as file:
                self.lines = [line for line in csv.DictReader(file) if int(line["iteration"]) <= iteration]

    def add(self, line: dict[str, Any]) -> None:
        self.lines.append(line)

    def flush(self) -> None:
        if not self.writes:
            return
        aside = self.path.with_suffix(".part")
        with aside.open("w", newline="") as file:
            writer = csv.DictWriter(file, _LOG_FIELDS)
            writer.writeheader()
            writer.writerows(self.lines)
        os.replace(aside, self.path)

    def plot(self, title: str) -> None:
        if not self.writes or not self.lines:
            return
        figure = Figure(figsize=(7, 4))
        axes = figure.subplots()
        width = min(25, len(self.lines))
        smooth = np.convolve([float(line["loss"]) for line in self.lines], np.ones(width) / width, mode="valid")
        axes.plot(np.arange(len(smooth)) + width, smooth, label=f"training loss, mean of {width} iterations")
        for field in _LOG_FIELDS[2:]:
            points = [(int(line["iteration"]), float(line[field])) for line in self.lines if line.get(field)]
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", label=field.replace("_", " "))
        axes.set(xlabel="iteration", title=title)
        axes.legend()
        figure.savefig(self.path.with_suffix(".png"), dpi=100, bbox_inches="tight")
