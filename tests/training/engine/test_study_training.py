"""The attention model on bags whose infected slices are known."""

import numpy as np
import pytest
import torch

from groundglass.method.classifier_network import INPUT_SIZE, MultiScaleClassifier
from tests.training.made_up import make_slices
from training.engine.study_training import painted_bags, predict_study, train_study_model
from training.networks.penultimate import FEATURES
from training.networks.study_model import AttentionMIL, Bag
from training.reports.metrics import area_under_curve


def make_bag(label: int, seed: int, slices: int = 40) -> tuple[Bag, np.ndarray]:
    """A bag in a quarter of whose slices one feature tells the disease; and which slices."""
    rng = np.random.default_rng((label, seed))
    features = rng.standard_normal((slices, 20)).astype(np.float32)
    infected = rng.permutation(slices) < (slices // 4 if label else 0)
    features[infected, label] += 6.0
    return (features, label), infected


@pytest.fixture(scope="module")
def model() -> AttentionMIL:
    bags = [make_bag(label, seed)[0] for label in range(3) for seed in range(8)]
    return train_study_model(bags, seed=0, iterations=150, learning_rate=5e-3)


def test_new_studies_are_named_right_and_attention_finds_their_infected_slices(model: AttentionMIL) -> None:
    areas = []
    for label in range(3):
        for seed in range(100, 104):
            (features, _), infected = make_bag(label, seed)
            probabilities, attention = predict_study(model, features)
            assert probabilities.argmax() == label
            if label:
                areas.append(area_under_curve(attention[infected], attention[~infected]))
    assert np.mean(areas) > 0.9


def test_attention_adds_up_to_one_and_the_order_of_the_slices_is_nothing(model: AttentionMIL) -> None:
    (features, _), _ = make_bag(2, 200)
    probabilities, attention = predict_study(model, features)
    backwards, attention_backwards = predict_study(model, features[::-1].copy())
    assert attention.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(backwards, probabilities, atol=1e-5)
    np.testing.assert_allclose(attention_backwards[::-1], attention, atol=1e-5)


def test_the_same_seed_gives_the_same_model_and_the_global_seed_is_left_alone() -> None:
    bags = [make_bag(label, 0, slices=10)[0] for label in range(3)]
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (train_study_model(bags, seed, 3).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_training_goes_on_from_a_start_that_stays_as_it_is(model: AttentionMIL) -> None:
    before = {key: value.clone() for key, value in model.state_dict().items()}
    bags = [make_bag(label, 300)[0] for label in range(3)]
    further = train_study_model(bags, 0, 2, start=model).state_dict()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(further["mean"], before["mean"])
    assert not torch.equal(further["head.weight"], before["head.weight"])


def test_no_bags_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one bag"):
        train_study_model([], 0, 1)


@pytest.mark.slow
def test_painted_bags_hold_every_class_and_the_same_seed_paints_the_same() -> None:
    torch.manual_seed(0)
    network = MultiScaleClassifier()
    bases = make_slices(3, 0, INPUT_SIZE)
    bags, again = (painted_bags(network, bases, number=3, seed=3, size=8, drawn=2) for _ in range(2))
    assert {label for _, label in bags} == {0, 1, 2}
    assert all(features.shape == (8, FEATURES) for features, _ in bags)
    assert all(np.array_equal(one[0], two[0]) for one, two in zip(bags, again, strict=True))
