"""Checkpoints that survive a kill at any moment, without pickle.

Weights, their moving average and Adam's state go into one safetensors file, written aside and renamed. Every random
choice of an iteration comes from `(seed, iteration)`, so there is no random state to keep.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn


def average_weights(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move `average` towards `model`, its parameters and its BatchNorm statistics, by `1 - decay`."""
    with torch.no_grad():
        for mean, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
            if mean.dtype.is_floating_point:
                mean.lerp_(value, 1.0 - decay)
            else:
                mean.copy_(value)


def save_checkpoint(
    path: Path, progress: Mapping[str, float], modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer
) -> None:
    """Write everything needed to go on from `progress`; the file is whole or not there."""
    tensors = {
        f"{name}/{key}": tensor.detach().clone().contiguous()
        for name, module in modules.items()
        for key, tensor in module.state_dict().items()
    }
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            tensors[f"optimizer/{index}/{key}"] = torch.as_tensor(value).detach().clone().contiguous()
    aside = path.with_suffix(".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, aside, metadata={"progress": json.dumps(dict(progress))})
    os.replace(aside, path)


def load_checkpoint(path: Path, modules: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Restore what `save_checkpoint` wrote; returns its progress, empty with no file."""
    if not path.exists():
        return {}
    states: dict[str, dict[str, Tensor]] = {name: {} for name in modules}
    adam: dict[int, dict[str, Tensor]] = {}
    with safe_open(path, framework="pt") as stored:
        for full_key in stored.keys():  # noqa: SIM118 - safe_open is no mapping
            name, key = full_key.split("/", 1)
            if name == "optimizer":
                index, field = key.split("/")
                adam.setdefault(int(index), {})[field] = stored.get_tensor(full_key)
            else:
                states[name][key] = stored.get_tensor(full_key)
        progress = json.loads(stored.metadata()["progress"])
    for name, module in modules.items():
        module.load_state_dict(states[name])
    optimizer.load_state_dict({"state": adam, "param_groups": optimizer.state_dict()["param_groups"]})
    return dict(progress)


def export_weights(model: nn.Module, path: Path) -> None:
    """Write the shipped form: float16 safetensors, at most 10 MB, whole or not there."""
    tensors = {
        key: (tensor.half() if tensor.dtype.is_floating_point else tensor).detach().clone().contiguous()
        for key, tensor in model.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    aside = path.with_suffix(".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, aside)
    os.replace(aside, path)
