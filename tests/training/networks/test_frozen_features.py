"""Few images told apart by what a network that is not trained any further sees in them."""

import numpy as np
import pytest
import torch

from groundglass.method.classifier_network import INPUT_SIZE, MultiScaleClassifier
from training.networks import frozen_features
from training.networks.frozen_features import CopiesMachine, features_of_copies, pooled_features


@pytest.fixture(scope="module")
def network() -> MultiScaleClassifier:
    torch.manual_seed(0)
    return MultiScaleClassifier().eval()


def textures(count: int, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Noise, in turn of single pixels and of patches of eight."""
    rng = np.random.default_rng(seed)
    label = np.arange(count) % 2
    sides = np.where(label, INPUT_SIZE // 8, INPUT_SIZE)
    return [
        np.kron(rng.random((side, side)), np.ones((INPUT_SIZE // side,) * 2)).astype(np.float32) for side in sides
    ], label


def mirror(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return image[:, ::-1].copy() if rng.random() < 0.5 else image


def test_each_channel_gives_three_figures(network: MultiScaleClassifier) -> None:
    images, _ = textures(2, seed=0)
    blocks = pooled_features(network, images)
    assert [block.shape for block in blocks] == [(2, 3 * channels) for channels in (32, 64, 128, 256, 256)]
    features = blocks[0]
    with torch.no_grad():
        first = network.blocks[0](torch.from_numpy(images[1])[None, None])[0]
    assert features[1, :32] == pytest.approx(first.mean((1, 2)).numpy(), abs=0.02)
    assert features[1, 64:96] == pytest.approx(first.amax((1, 2)).numpy(), rel=0.03, abs=0.02)


@pytest.mark.slow
def test_what_differs_in_texture_is_told_apart(network: MultiScaleClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen_features, "COPIES", 1)

    def features(images: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(features_of_copies(network, images, mirror, seed=0), axis=2)

    images, label = textures(4, seed=1)
    machine = CopiesMachine(penalty=10.0).fit(features(images), label)
    images, label = textures(4, seed=2)
    found = machine.predict(features(images))
    assert ((found > 0.5) == label).all()
    assert np.allclose(machine.predict(features(images[:1])), found[:1])
