"""A folded network computes what the network computes."""

import torch
from torch import nn

from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.method.folding import folded
from groundglass.method.lung_network import LungUNet


def used(network: nn.Module, example: torch.Tensor) -> nn.Module:
    """The network with BatchNorm statistics that are not those of a new one."""
    torch.manual_seed(0)
    network.train()(example)
    return network.eval().double()


def test_folding_changes_nothing_but_the_rounding() -> None:
    planes, images = torch.rand(2, 3, 32, 32), torch.rand(2, 1, 32, 32)
    lungs, classifier = used(LungUNet(), planes), used(MultiScaleClassifier(), images)
    with torch.inference_mode():
        assert torch.allclose(folded(lungs, torch.float64)(planes.double()), lungs(planes.double()), atol=1e-9)
        expected = classifier(images.double())
        assert torch.allclose(folded(classifier, torch.float64)(images.double()), expected, atol=1e-9)


def test_the_network_itself_stays_as_it_is_and_the_copy_has_no_norm_left() -> None:
    network = LungUNet()
    copy = folded(network, torch.bfloat16)
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in copy.modules())
    assert next(network.parameters()).dtype == torch.float32
    assert next(copy.parameters()).dtype == torch.bfloat16
