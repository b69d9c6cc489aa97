"""Checkpoints and exported weights."""

from pathlib import Path

import torch

from groundglass.method.classifier_network import INPUT_SIZE, MultiScaleClassifier
from groundglass.method.weights import load_classifier
from training.engine.checkpoint import export_weights, load_checkpoint, save_checkpoint


def test_shipped_weights_load_and_are_small_enough(tmp_path: Path) -> None:
    network = MultiScaleClassifier().eval()
    path = tmp_path / "weights.safetensors"
    export_weights(network, path)
    assert path.stat().st_size <= 10e6
    image = torch.rand(1, 1, INPUT_SIZE, INPUT_SIZE)
    with torch.no_grad():
        torch.testing.assert_close(load_classifier(path)(image), network(image), rtol=1e-2, atol=1e-2)


def test_without_a_checkpoint_training_starts_at_zero(tmp_path: Path) -> None:
    network = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(network.parameters())
    assert load_checkpoint(tmp_path / "none.safetensors", {"network": network}, optimizer) == {}
    save_checkpoint(tmp_path / "one.safetensors", {"iteration": 7}, {"network": network}, optimizer)
    assert load_checkpoint(tmp_path / "one.safetensors", {"network": network}, optimizer) == {"iteration": 7}
    assert list(tmp_path.iterdir()) == [tmp_path / "one.safetensors"]
