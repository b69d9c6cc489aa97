"""Integrated gradients against captum, an independent implementation, and against their own completeness axiom."""

import copy
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients as CaptumIntegratedGradients
from captum.attr._utils.approximation_methods import approximation_parameters

from groundglass.locations import ROOT
from groundglass.method.classifier_network import INPUT_SIZE, MultiScaleClassifier
from groundglass.method.saliency import (
    PROOF_STEPS,
    IntegratedGradients,
    PathIntegrals,
    Rule,
    completeness_errors,
    geometric_mean,
    joint_saliency,
)
from groundglass.method.score_gradients import Reading, ScoreGradients, backward_precision


@pytest.fixture(scope="module")
def network() -> MultiScaleClassifier:
    torch.manual_seed(0)
    network = MultiScaleClassifier()
    with torch.no_grad():
        for head in network.heads:
            head.bias.fill_(0.3)  # otherwise a map may have no positive cell, and nothing would be attributed
        network(torch.rand(2, 1, INPUT_SIZE, INPUT_SIZE))  # in training mode, for BatchNorm's statistics
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def double(network: MultiScaleClassifier) -> MultiScaleClassifier:
    """The network in float64: in float32 the rounding of a folded BatchNorm switches a few ReLUs."""
    return copy.deepcopy(network).double()


@pytest.fixture(scope="module")
def float32_gradients(network: MultiScaleClassifier) -> ScoreGradients:
    return ScoreGradients(network, 2, "score_map", torch.float32)


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    rows, columns = torch.meshgrid(*(torch.linspace(-1, 1, INPUT_SIZE),) * 2, indexing="ij")
    # Without a plateau, where features tie and rounding alone picks the one that a pooling passes on.
    return (torch.exp(-8 * (rows**2 + (columns - 0.3) ** 2)) + 0.2 * torch.rand(rows.shape)) / 1.2


def part_of(image: torch.Tensor, top: int, bottom: int, left: int, right: int) -> torch.Tensor:
    """The image, black outside these rows and columns."""
    result = torch.zeros_like(image)
    result[top:bottom, left:right] = image[top:bottom, left:right]
    return result


@pytest.fixture(scope="module")
def spot(image: torch.Tensor) -> torch.Tensor:
    """The image's brightest part, black around it: a fraction of the cells is to be computed."""
    return part_of(image, 96, 128, 112, 144)


def scores_of(network: MultiScaleClassifier, images: torch.Tensor, reading: Reading) -> list[torch.Tensor]:
    """S of each scale as the paper writes it, with nothing folded and nothing left out: what captum integrates."""
    maps = [score_map[:, 2] for score_map in network.score_maps(images)]
    if reading == "score":
        return [score_map.amax(dim=(1, 2)) for score_map in maps]
    return [score_map.clamp_min(0).sum(dim=(1, 2)) for score_map in maps]


def attribute(
    network: MultiScaleClassifier, image: torch.Tensor, rule: Rule, steps: int, target: int = 1
) -> PathIntegrals:
    gradients = IntegratedGradients("score_map", rule, steps, gradient_power=0.0)
    return gradients.attribute(gradients.prepare(network, target), image)


CAPTUM_METHOD = {"riemann_right": "riemann_right", "midpoint": "riemann_middle", "gauss_legendre": "gausslegendre"}


@pytest.mark.parametrize("rule", CAPTUM_METHOD)
@pytest.mark.parametrize("steps", [2, 12, 25])
def test_nodes_and_weights_of_every_rule_are_captums(rule: Rule, steps: int) -> None:
    weights_of, nodes_of = approximation_parameters(CAPTUM_METHOD[rule])
    nodes, weights = IntegratedGradients("score", rule, steps, gradient_power=0.0).nodes()
    np.testing.assert_allclose(nodes, nodes_of(steps), rtol=1e-6)
    np.testing.assert_allclose(weights, weights_of(steps), rtol=1e-6)


@pytest.mark.parametrize("steps", [1, 3, 4])
def test_gauss_jacobi_nodes_give_the_exact_weighted_mean_of_what_is_smooth(steps: int) -> None:
    power = 4.0
    places, parts = IntegratedGradients("score_map", "gauss_jacobi", steps, power).nodes()
    shares = parts * places**power
    for degree in range(2 * steps):  # as many as so few nodes can give
        exact = (power + 1) / (power + 1 + degree)  # of the integral of x**degree * x**power, over that of x**power
        assert (shares / shares.sum()) @ places**degree == pytest.approx(exact, rel=1e-9)
    assert ((places > 0) & (places < 1)).all()


def test_gauss_jacobi_proves_no_completeness_and_names_the_rule_that_does(
    network: MultiScaleClassifier, spot: torch.Tensor
) -> None:
    quick = IntegratedGradients("score_map", "gauss_jacobi", 1, gradient_power=4.0)
    assert quick.attribute(quick.prepare(network, 1), spot).completeness_errors is None
    assert quick.proving() == replace(quick, rule="midpoint", steps=PROOF_STEPS)
    assert quick.proving().proving() == quick.proving()


@pytest.mark.slow
@pytest.mark.parametrize(("reading", "rule"), [("score_map", "gauss_legendre"), ("score", "midpoint")])
def test_every_scale_equals_captum(
    double: MultiScaleClassifier, image: torch.Tensor, spot: torch.Tensor, reading: Reading, rule: Rule
) -> None:
    steps = 2
    # The highest cell of a map is one of many alike where most of the image is black.
    shown = (image if reading == "score" else spot).double()
    gradients = IntegratedGradients(reading, rule, steps, gradient_power=0.0, batch=2)
    found = gradients.attribute(gradients.prepare(double, 2), shown).attributions
    # Attribution is linear in the score: captum's of a sum of the scales, in which each counts as much as any other and
    # none as the same, holds the three at a third of the cost.
    shares = torch.from_numpy(np.array([1.0, 2.0, 3.0]) / np.abs(found).max(axis=(1, 2)))

    def shared_sum(images: torch.Tensor) -> torch.Tensor:
        return sum(share * scores for share, scores in zip(shares, scores_of(double, images, reading), strict=True))  # type: ignore[return-value]

    captum = CaptumIntegratedGradients(shared_sum)
    expected = captum.attribute(shown[None, None], n_steps=steps, method=CAPTUM_METHOD[rule])[0, 0].numpy()
    together = np.tensordot(shares.numpy(), found, axes=1)
    assert np.abs(together - expected).max() <= 1e-6 * np.abs(expected).max()


@pytest.mark.slow
@pytest.mark.parametrize("reading", ["score", "score_map"])
@pytest.mark.parametrize("box", [(0, 224, 0, 224), (100, 180, 60, 190), (0, 31, 201, 224), (223, 224, 0, 1)])
def test_only_what_black_surroundings_can_not_change_is_left_out(
    double: MultiScaleClassifier, image: torch.Tensor, reading: Reading, box: tuple[int, int, int, int]
) -> None:
    image = part_of(image.double(), *box).requires_grad_()
    found, scores = ScoreGradients(double, 2, reading)(image.detach()[None])
    for scale, expected_score in enumerate(scores_of(double, image[None, None], reading)):
        (expected,) = torch.autograd.grad(expected_score, image, retain_graph=True)
        assert torch.allclose(scores[scale], expected_score.detach(), rtol=1e-12)
        top, bottom, left, right = box
        there = (slice(top, bottom), slice(left, right))
        assert torch.allclose(found[scale, 0][there], expected[there], rtol=0, atol=1e-12)


def test_images_of_another_size_are_refused(network: MultiScaleClassifier) -> None:
    with pytest.raises(ValueError, match="224 x 224"):
        ScoreGradients(network, 0, "score").scores(torch.zeros(1, 112, 112))


def test_a_scale_whose_map_is_never_positive_attributes_nothing_and_disturbs_no_other(
    network: MultiScaleClassifier, spot: torch.Tensor
) -> None:
    dark = copy.deepcopy(network)
    with torch.no_grad():
        dark.heads[1].bias.fill_(-1e3)
    gradients = IntegratedGradients("score_map", "midpoint", 1, gradient_power=0.0)
    with_all = gradients.attribute(gradients.prepare(network, 2), spot).attributions
    found = gradients.attribute(gradients.prepare(dark, 2), spot)
    without, errors = found.attributions, found.completeness_errors
    assert not without[1].any()
    assert errors[1] == 0
    np.testing.assert_allclose(without[[0, 2]], with_all[[0, 2]], rtol=1e-5, atol=1e-8)


@pytest.mark.slow
def test_gradients_in_bfloat16_keep_the_map(
    network: MultiScaleClassifier, float32_gradients: ScoreGradients, spot: torch.Tensor
) -> None:
    gradients = IntegratedGradients("score_map", "midpoint", 2, gradient_power=0.0)
    exact = gradients.attribute(float32_gradients, spot).attributions
    rounded = gradients.attribute(ScoreGradients(network, 2, "score_map", torch.bfloat16), spot).attributions
    for scale in range(3):
        assert np.corrcoef(exact[scale].ravel(), rounded[scale].ravel())[0, 1] >= 0.999


def test_a_float64_network_keeps_its_precision_on_the_way_back(network: MultiScaleClassifier) -> None:
    assert backward_precision(copy.deepcopy(network).double()) == torch.float64


@pytest.mark.slow
def test_completeness_error_vanishes_with_more_nodes(double: MultiScaleClassifier, spot: torch.Tensor) -> None:
    spot = spot.double()
    coarse = attribute(double, spot, "riemann_right", 2).completeness_errors
    fine = attribute(double, spot, "midpoint", 24).completeness_errors
    assert fine.max() < 0.05
    assert fine.max() < coarse.max() / 10


def test_completeness_error_shows_a_wrong_map(network: MultiScaleClassifier, spot: torch.Tensor) -> None:
    class Halved(IntegratedGradients):
        def nodes(self) -> tuple[np.ndarray, np.ndarray]:
            positions, weights = super().nodes()
            return positions, weights / 2

    halved = Halved("score_map", "midpoint", 2, gradient_power=0.0)
    errors = halved.attribute(halved.prepare(network, 1), spot).completeness_errors
    assert errors.max() > 0.2


def test_completeness_is_judged_by_how_far_the_score_moves_on_the_path() -> None:
    there_and_back = np.array([[1.0, 1.0, 3.0, 5.0], [2.0, 0.0, 1.0, 1.5], [0.0, 0.0, 0.0, 0.0]])
    assert completeness_errors(np.array([0.4, 1.0, 0.0]), there_and_back).tolist() == [0.1, 0.5, 0.0]


def test_the_batch_size_does_not_change_the_map(float32_gradients: ScoreGradients, spot: torch.Tensor) -> None:
    one, some = (
        IntegratedGradients("score_map", "riemann_right", 3, 0.0, batch).attribute(float32_gradients, spot).attributions
        for batch in (1, 2)
    )
    np.testing.assert_allclose(one, some, rtol=1e-4, atol=1e-6)


def test_the_plain_mean_of_the_gradients_is_the_attribution_without_the_input(
    network: MultiScaleClassifier, spot: torch.Tensor
) -> None:
    holed = spot * (spot > spot[spot > 0].median())
    gradients = IntegratedGradients("score_map", "midpoint", 2, gradient_power=0.0)
    found = gradients.attribute(gradients.prepare(network, 2), holed)
    assert np.allclose(found.gradients * holed.numpy(), found.attributions, rtol=1e-3, atol=1e-6)
    assert not found.gradients[:, holed == 0].any()
    assert found.gradients.any()


def test_a_gradient_counts_with_the_power_of_its_place_on_the_path(
    float32_gradients: ScoreGradients, spot: torch.Tensor
) -> None:
    nodes, _ = float32_gradients(torch.tensor([0.25, 0.75])[:, None, None] * spot)
    found = IntegratedGradients("score_map", "midpoint", 2, gradient_power=2).attribute(float32_gradients, spot)
    expected = (nodes[:, 0] * 1 + nodes[:, 1] * 9) / 10 * (spot > 0)
    assert np.allclose(found.gradients, expected.numpy(), rtol=1e-4, atol=1e-6)


def test_the_joint_map_is_the_magnitude_of_the_product_up_to_a_factor() -> None:
    maps = np.random.default_rng(0).normal(size=(3, 6, 6))
    joint, product = joint_saliency(maps), np.abs(maps.prod(axis=0))
    assert np.allclose(joint / joint.max(), product / product.max(), atol=1e-6)


def test_blurred_maps_agree_on_a_place_though_not_on_a_pixel() -> None:
    maps = np.zeros((3, 20, 20))
    maps[0, 9, 9], maps[1, 10, 10], maps[2, 11, 9] = 1.0, -2.0, 3.0
    assert not joint_saliency(maps).any()
    place = np.unravel_index(joint_saliency(maps, blur_pixels=2.0).argmax(), (20, 20))
    assert place[0] in (9, 10, 11)
    assert place[1] in (9, 10)


def test_the_positive_part_leaves_out_what_speaks_against_the_class() -> None:
    maps = np.ones((3, 4, 4))
    maps[:2, 0, 0] = -1.0
    assert joint_saliency(maps)[0, 0] == 1.0
    assert joint_saliency(maps, part="positive")[0, 0] == 0.0


def test_the_geometric_mean_keeps_the_order_of_the_product() -> None:
    joint = np.random.default_rng(0).random((8, 8))
    assert np.array_equal(np.argsort(geometric_mean(joint), axis=None), np.argsort(joint, axis=None))


def test_a_black_image_gives_an_empty_map_and_no_nan(network: MultiScaleClassifier) -> None:
    found = attribute(network, torch.zeros(INPUT_SIZE, INPUT_SIZE), "riemann_right", 2)
    assert np.isfinite(found.completeness_errors).all()
    assert not joint_saliency(found.attributions).any()
    assert not joint_saliency(found.gradients).any()


def test_an_unknown_rule_is_refused(network: MultiScaleClassifier, spot: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="no integration rule"):
        attribute(network, spot, "simpson", 4)  # type: ignore[arg-type]


def test_an_unknown_reading_is_refused(network: MultiScaleClassifier) -> None:
    with pytest.raises(ValueError, match="no reading"):
        ScoreGradients(network, 0, "score_sum")  # type: ignore[arg-type]


def test_gradients_load_nothing_that_computes_with_symbols() -> None:
    program = (
        "import sys, torch\n"
        "from groundglass.method.classifier_network import MultiScaleClassifier\n"
        "from groundglass.method.score_gradients import ScoreGradients\n"
        "gradients = ScoreGradients(MultiScaleClassifier().eval(), 2, 'score')\n"
        "found, _ = gradients(torch.rand(1, 224, 224))\n"
        "print(bool(found.any()), 'sympy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
