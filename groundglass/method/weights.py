"""Reading weights: safetensors only, and only the file whose SHA-256 is known."""

import hashlib
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.method.lung_network import LungUNet

Network = TypeVar("Network", bound=nn.Module)


class WeightsRefused(ValueError):
    """A weight file is missing, is not the one that was validated, or does not fit the network."""


def load_lung_network(path: Path, sha256: str | None = None) -> LungUNet:
    """The lung network in evaluation mode, float32, on the CPU. See `load_network` for errors."""
    return load_network(LungUNet(), path, sha256)


def load_classifier(path: Path, sha256: str | None = None) -> MultiScaleClassifier:
    """The classifier in evaluation mode, float32, on the CPU. See `load_network` for errors."""
    return load_network(MultiScaleClassifier(), path, sha256)


def load_network(network: Network, path: Path, sha256: str | None = None) -> Network:
    """Load the weights of `path` into `network`.

    Args:
        network: freshly made.
        path: a safetensors file.
        sha256: the expected hash; None only where the file was made a moment ago, as in training.

    Raises:
        WeightsRefused: the file is missing, its hash differs, or its tensors do not fit.
    """
    if not path.is_file():
        raise WeightsRefused(
            f"The weight file '{path.name}' is missing from the model folder. Give the folder that holds it with -m."
        )
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise WeightsRefused(
            f"The weight file '{path.name}' has SHA-256 {found}, but app.yaml names {sha256}. "
            "It is damaged or belongs to another version: restore the file that came with this version."
        )
    try:
        tensors = {key: tensor.float() for key, tensor in load(content).items()}
        missing, unexpected = network.load_state_dict(tensors, strict=False)
    except (SafetensorError, RuntimeError, ValueError) as error:
        raise WeightsRefused(f"The weight file '{path.name}' does not fit the network: {error}") from error
    needed = [key for key in missing if not key.endswith("num_batches_tracked")]
    if needed or unexpected:
        raise WeightsRefused(
            f"The weight file '{path.name}' does not fit the network: {len(needed)} tensors missing, "
            f"{len(unexpected)} unknown."
        )
    # No gradient of a weight is ever needed here, and channels-last is the faster layout for convolutions.
    network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network
