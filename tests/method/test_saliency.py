"""Integrated gradients against captum, an independent implementation, and against their own completeness axiom."""

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients as CaptumIntegratedGradients

from method.classifier_network import INPUT_SIZE, MultiScaleClassifier
from method.saliency import IntegratedGradients, Reading, Rule, geometric_mean, joint_saliency


@pytest.fixture(scope="module")
def network() -> MultiScaleClassifier:
    torch.manual_seed(0)
    network = MultiScaleClassifier()
    with torch.no_grad():
        for head in network.heads:
            head.bias.fill_(0.3)  # otherwise a map may have no positive cell, and nothing would be attributed
        network(torch.rand(2, 1, INPUT_SIZE, INPUT_SIZE))  # in training mode, for BatchNorm's statistics
    return network.eval()


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    rows, columns = torch.meshgrid(*(torch.linspace(-1, 1, INPUT_SIZE),) * 2, indexing="ij")
    return (torch.exp(-8 * (rows**2 + (columns - 0.3) ** 2)) + 0.2 * torch.rand(rows.shape)).clamp(0, 1)


CAPTUM_METHOD = {"riemann_right": "riemann_right", "midpoint": "riemann_middle", "gauss_legendre": "gausslegendre"}


@pytest.mark.parametrize("reading", ["score", "score_map"])
@pytest.mark.parametrize(("rule", "steps"), [("riemann_right", 5), ("midpoint", 4), ("gauss_legendre", 4)])
def test_each_scale_equals_captum(
    network: MultiScaleClassifier, image: torch.Tensor, reading: Reading, rule: Rule, steps: int
) -> None:
    gradients = IntegratedGradients(reading, rule, steps, batch=3)
    found, _ = gradients.attribute(network, image, target=2)
    for scale in range(3):

        def score_of_scale(images: torch.Tensor, scale: int = scale) -> torch.Tensor:
            return gradients.scale_scores(network, images, 2)[scale]

        captum = CaptumIntegratedGradients(score_of_scale)
        expected = captum.attribute(image[None, None], n_steps=steps, method=CAPTUM_METHOD[rule])[0, 0]
        difference = (found[scale] - expected).abs().max() / expected.abs().max()
        assert difference <= 1e-5


def test_completeness_error_vanishes_with_more_nodes(network: MultiScaleClassifier, image: torch.Tensor) -> None:
    double, image = MultiScaleClassifier().double().eval(), image.double()
    double.load_state_dict(network.state_dict())
    _, coarse = IntegratedGradients("score_map", "riemann_right", 2).attribute(double, image, 1)
    _, fine = IntegratedGradients("score_map", "midpoint", 30).attribute(double, image, 1)
    assert fine.max() < 0.02
    assert fine.max() < coarse.max()


def test_completeness_error_shows_a_wrong_map(network: MultiScaleClassifier, image: torch.Tensor) -> None:
    class Halved(IntegratedGradients):
        def nodes(self) -> tuple[np.ndarray, np.ndarray]:
            positions, weights = super().nodes()
            return positions, weights / 2

    _, errors = Halved("score_map", "midpoint", 30).attribute(network, image, 1)
    assert errors.max() > 0.2


def test_the_batch_size_does_not_change_the_map(network: MultiScaleClassifier, image: torch.Tensor) -> None:
    one, _ = IntegratedGradients(steps=4, batch=1).attribute(network, image, 0)
    all_, _ = IntegratedGradients(steps=4, batch=4).attribute(network, image, 0)
    torch.testing.assert_close(one, all_, rtol=1e-4, atol=1e-6)


def test_the_joint_map_is_the_product_up_to_a_factor() -> None:
    maps = np.random.default_rng(0).normal(size=(3, 6, 6))
    joint, product = joint_saliency(maps), maps.prod(axis=0)
    assert np.allclose(joint / np.abs(joint).max(), product / np.abs(product).max(), atol=1e-6)


def test_the_geometric_mean_keeps_sign_and_order_of_the_product() -> None:
    joint = np.random.default_rng(0).normal(size=(8, 8))
    mean = geometric_mean(joint)
    assert np.array_equal(np.sign(mean), np.sign(joint))
    assert np.array_equal(np.argsort(mean, axis=None), np.argsort(joint, axis=None))


def test_a_black_image_gives_an_empty_map_and_no_nan(network: MultiScaleClassifier) -> None:
    attributions, errors = IntegratedGradients(steps=2).attribute(network, torch.zeros(INPUT_SIZE, INPUT_SIZE), 1)
    assert np.isfinite(errors).all()
    assert not joint_saliency(attributions.numpy()).any()


def test_an_unknown_rule_is_refused(network: MultiScaleClassifier, image: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="no integration rule"):
        IntegratedGradients(rule="simpson").attribute(network, image, 0)  # type: ignore[arg-type]
