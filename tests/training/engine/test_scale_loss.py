"""The loss on weak labels, against values computed by hand, and a loss for every scale."""

import numpy as np
import pytest
import torch

from groundglass.method.classifier_network import MultiScaleClassifier, classification_loss
from training.data.public_slices import CAP, COVID19, NP, WEAK_COVID19
from training.engine.scale_loss import NOISE_RATE, EveryScale, scale_loss, weak_label_loss


def scores_of(*probabilities: tuple[float, float, float]) -> torch.Tensor:
    return torch.tensor(probabilities).log()


def loss(probabilities: tuple[float, float, float], target: int, gamma: float = 1.0) -> float:
    return float(weak_label_loss(scores_of(probabilities), torch.tensor([target]), gamma))


def test_a_weak_label_is_a_mixture_of_covid19_and_none() -> None:
    label = 0.65 * 0.5 + 0.35 * 0.3  # of P(COVID-19) and P(NP)
    assert NOISE_RATE == 0.35
    assert loss((0.3, 0.2, 0.5), WEAK_COVID19, gamma=0) == pytest.approx(-np.log(label), rel=1e-5)
    assert loss((0.3, 0.2, 0.5), WEAK_COVID19) == pytest.approx(-(1 - label / 0.65) * np.log(label), rel=1e-5)


@pytest.mark.parametrize("target", [NP, CAP, COVID19])
def test_a_sure_label_has_the_papers_loss(target: int) -> None:
    scores = scores_of((0.3, 0.2, 0.5))
    assert loss((0.3, 0.2, 0.5), target) == pytest.approx(
        float(classification_loss(scores, torch.tensor([target]), torch.ones(3))), rel=1e-5
    )


def test_a_weak_slice_is_called_healthy_at_less_cost_than_a_sure_one_and_cap_at_the_same() -> None:
    healthy, cap = (0.98, 0.01, 0.01), (0.01, 0.98, 0.01)
    assert loss(healthy, WEAK_COVID19) < loss(healthy, COVID19) / 4
    assert loss(cap, WEAK_COVID19) > loss(healthy, WEAK_COVID19)


def test_half_of_the_loss_is_that_of_the_sum_and_half_of_the_scales() -> None:
    scores = torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([NP, CAP, COVID19, WEAK_COVID19])
    each = [float(weak_label_loss(scores[:, scale], target)) for scale in range(3)]
    expected = (float(weak_label_loss(scores.sum(1), target)) + np.mean(each)) / 2
    assert float(scale_loss(scores, target)) == pytest.approx(expected, rel=1e-5)


def test_the_scores_of_the_scales_add_up_to_the_networks() -> None:
    torch.manual_seed(0)
    network = MultiScaleClassifier().eval()
    images = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(EveryScale(network)(images).sum(1), network(images))
