import pytest
import torch

from groundglass.method.classifier_network import INPUT_SIZE, MultiScaleClassifier, classification_loss


@pytest.fixture(scope="module")
def network() -> MultiScaleClassifier:
    torch.manual_seed(0)
    return MultiScaleClassifier().eval()


def test_the_network_has_the_papers_size(network: MultiScaleClassifier) -> None:
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(3.7e6, rel=0.02)


def test_score_maps_have_56_28_and_14_cells_a_side(network: MultiScaleClassifier) -> None:
    with torch.no_grad():
        maps = network.score_maps(torch.rand(1, 1, INPUT_SIZE, INPUT_SIZE))
    assert [tuple(score_map.shape) for score_map in maps] == [(1, 3, 56, 56), (1, 3, 28, 28), (1, 3, 14, 14)]


@pytest.fixture(scope="module")
def reached() -> torch.Tensor:
    """Which pixels the middle cell of each scale's map depends on, `(scale, row, col)`, in two images."""
    torch.manual_seed(1)
    network = MultiScaleClassifier().eval().requires_grad_(False)
    reached = torch.zeros(3, INPUT_SIZE, INPUT_SIZE, dtype=torch.bool)
    for _ in range(2):
        image = torch.rand(1, 1, INPUT_SIZE, INPUT_SIZE, requires_grad=True)
        for scale, score_map in enumerate(network.score_maps(image)):
            middle = score_map.shape[-1] // 2
            (gradient,) = torch.autograd.grad(score_map[0, :, middle, middle].sum(), image, retain_graph=True)
            reached[scale] |= gradient[0, 0] != 0
    return reached


@pytest.mark.parametrize(("scale", "field"), [(0, 40), (1, 92), (2, 196)])
def test_one_cell_sees_its_receptive_field_and_no_more(reached: torch.Tensor, scale: int, field: int) -> None:
    for axis in (0, 1):
        hit = torch.nonzero(reached[scale].any(axis))
        extent = int(hit.max() - hit.min()) + 1
        assert 0.7 * field <= extent <= field


def test_scores_are_the_sum_of_the_maps_maxima(network: MultiScaleClassifier) -> None:
    images = torch.rand(2, 1, 64, 64)
    maps = network.score_maps(images)
    expected = sum(torch.nn.functional.adaptive_max_pool2d(score_map, 1)[..., 0, 0] for score_map in maps)
    torch.testing.assert_close(network(images), expected)


def test_loss_without_focal_factor_is_weighted_cross_entropy() -> None:
    torch.manual_seed(0)
    scores, target, weight = torch.randn(16, 3), torch.randint(3, (16,)), torch.tensor([0.5, 1.0, 2.0])
    expected = torch.nn.functional.cross_entropy(scores, target, weight=weight, reduction="none").mean()
    torch.testing.assert_close(classification_loss(scores, target, weight, gamma=0.0), expected)


def test_focal_factor_scales_each_example_by_its_missing_probability() -> None:
    scores, target = torch.tensor([[2.0, 0.0, -1.0]]), torch.tensor([0])
    probability = scores.softmax(1)[0, 0]
    expected = -(1 - probability) * probability.log() * 3.0
    torch.testing.assert_close(classification_loss(scores, target, torch.tensor([3.0, 1, 1]), gamma=1.0), expected)
