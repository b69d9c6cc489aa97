"""Operations and bytes of the network stages: `python -m benchmarks.operations`.

Counted, not timed, and in float32, which every machine has: they are the same everywhere, so that a test holds them
against the recorded ones (benchmarks/results/operations.json) and no change makes a stage dearer unnoticed. A
multiplication and an addition are two operations; the bytes are those of each tensor operation's inputs and outputs,
views aside.
"""

import argparse
import json
import sys
from collections import defaultdict
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.in_float32 import InFloat32
from groundglass.domain.software import NAME, VERSION, SoftwareIdentity
from groundglass.domain.volume import CTVolume
from groundglass.locations import ROOT
from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.method.folding import folded
from groundglass.method.precision import fast_precision
from groundglass.method.saliency import IntegratedGradients
from groundglass.method.score_gradients import ScoreGradients
from groundglass.method.weights import load_classifier, load_lung_network
from groundglass.phantom.thorax import make_thorax
from groundglass.pipeline import Pipeline
from groundglass.presets import SHIPPED
from groundglass.settings import Settings

RECORD = ROOT / "benchmarks" / "results" / "operations.json"
SLICES, SIZE, EXPLAINED = 10, 96, 1
SPACING_MM = (20.0, 2.0, 2.0)
"""Of the phantom whose stages are recorded: the middle of a chest, whose operations are those of a whole one, fewer."""


@dataclass
class Count(TorchDispatchMode):
    """Counts while it is entered.

    Attributes:
        operations: of convolutions and matrix products, by precision.
        bytes: of all operations.
    """

    operations: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    bytes: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.is_view:
            return result
        inputs = [leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, Tensor)]
        outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in (*inputs, *outputs))
        name = func.overloadpacket.__name__
        if name in ("conv2d", "conv_transpose2d"):
            image, weight = args[:2]
            places = image if name == "conv_transpose2d" else result
            self._add(weight, 2 * weight.numel() * places.shape[0] * prod(places.shape[2:]))
        elif name in ("matmul", "mm", "bmm"):
            self._add(args[0], 2 * result.numel() * args[0].shape[-1])
        elif name in ("convolution", "addmm", "linear", "einsum"):
            raise NotImplementedError(f"The operations of '{name}' are not counted yet.")
        return result

    def _add(self, operand: Tensor, operations: int) -> None:
        self.operations[str(operand.dtype).removeprefix("torch.")] += operations


class _Float32Gradients(IntegratedGradients):
    """Gradients in float32 on every machine."""

    def prepare(self, network: MultiScaleClassifier, target: int) -> ScoreGradients:
        return ScoreGradients(network, target, self.reading, torch.float32)


def count_stages(volume: CTVolume, settings: Settings, explained: int | None, device: str | None) -> dict[str, Count]:
    """What lungs, classification and saliency of a volume take, as the application does them.

    Args:
        volume: the CT.
        settings: the application's.
        explained: slices at most; None for the settings' own limit.
        device: counted as this device does them; None as on a CPU without instructions for bfloat16.
    """
    models = ROOT / "models"
    counts = {stage: Count() for stage in ("lungs", "classification", "saliency")}
    precision = fast_precision(torch.device(device)) if device else torch.float32
    lung_network: Any = folded(load_lung_network(models / settings.lungs_weights.file), precision).to(device or "cpu")
    classifier = load_classifier(models / settings.classifier_weights.file).to(device or "cpu")
    if explained is not None:
        settings = replace(settings, explanation=replace(settings.explanation, maximum_slices=explained))
    called: Any = classifier
    if device is None:
        lung_network, called = InFloat32(lung_network), InFloat32(classifier)
        settings = replace(settings, gradients=_Float32Gradients(**vars(settings.gradients)))
    software = SoftwareIdentity(NAME, VERSION, {}, device or "cpu", "")
    # Gradients are taken of the network itself: only what calls it as a whole gets it wrapped.
    calling, explaining = (Pipeline(settings, lung_network, network, software) for network in (called, classifier))
    with counts["lungs"]:
        lungs = calling.segment(volume)
    with counts["classification"]:
        classified = calling.classify(volume, lungs)
    with counts["saliency"]:
        explaining.explain(volume, lungs, classified)
    return counts


def count_phantom() -> dict[str, dict[str, float]]:
    """Giga-operations and gigabytes of each stage on the phantom of the record."""
    volume, _ = make_thorax("covid19", slices=SLICES, size=SIZE, spacing_mm=SPACING_MM)
    # Without a proof, which has the same operations for more nodes.
    settings = replace(SHIPPED, explanation=replace(SHIPPED.explanation, proved_slices=0))
    counts = count_stages(volume, settings, EXPLAINED, device=None)
    return {stage: as_figures(count) for stage, count in counts.items()}


def as_figures(count: Count) -> dict[str, float]:
    """Giga-operations by precision, and gigabytes."""
    operations = {f"{precision}_gop": round(value / 1e9, 3) for precision, value in sorted(count.operations.items())}
    return operations | {"gb": round(count.bytes / 1e9, 3)}


def main(arguments: list[str] | None = None) -> int:
    """Print the counts and record them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operations", description=__doc__)
    parser.add_argument("--out", type=Path, default=RECORD, help="default benchmarks/results/operations.json")
    options = parser.parse_args(arguments)
    text = json.dumps(count_phantom(), indent=1)
    options.out.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
