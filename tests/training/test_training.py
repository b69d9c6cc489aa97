"""Training on phantom slices: it runs, survives a kill, and gives the same weights as an unbroken run."""

from pathlib import Path

import numpy as np
import pytest
import torch

from groundglass.method.classifier_network import INPUT_SIZE, MultiScaleClassifier
from groundglass.method.slice_input import LungSquare
from groundglass.method.weights import load_classifier
from groundglass.phantom.thorax import make_thorax
from training.checkpoint import export_weights, load_checkpoint, save_checkpoint
from training.classifier import equal_class_loss, painted_draw, predict
from training.classifier_data import SliceSet, draw_painted
from training.loop import Draw, Plan, fit
from training.metrics import area_under_curve


@pytest.fixture(scope="module")
def slices() -> SliceSet:
    volume, truth = make_thorax("normal", slices=24, size=160)
    lungs = truth.lungs > 0
    square = LungSquare.around(lungs, volume.spacing_mm[1:])
    indices = np.arange(8, 16)
    return SliceSet(
        np.stack([np.rint(square.resize(volume.hu[index], -1024)).astype(np.int16) for index in indices]),
        np.stack([square.resize(lungs[index], 0.0) > 0.5 for index in indices]),
        np.repeat(np.array([[-1040.0, 360.0]]), len(indices), 0),
        np.full(len(indices), square.rows * volume.spacing_mm[1] / INPUT_SIZE),
        indices,
    )


class Killed(Exception):
    pass


@pytest.mark.slow
def test_a_killed_training_of_the_classifier_goes_on_to_the_same_weights(tmp_path: Path, slices: SliceSet) -> None:
    plan = Plan(iterations=2, batch=2, average_decay=0.9, save_every=1, validate_every=10)
    whole = painted_draw(slices, 0, range(3))

    def painted(iteration: int, n: int) -> tuple[np.ndarray, int]:
        image, label = whole(iteration, n)
        return image[:, 64:128, 64:128], label  # the network takes any size, and a part is quicker

    def train(out: Path, draw: Draw) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        return fit(out, MultiScaleClassifier(), draw, equal_class_loss, plan).state_dict()

    def killing(iteration: int, n: int) -> tuple[np.ndarray, int]:
        if iteration == 1:
            raise Killed
        return painted(iteration, n)

    unbroken = train(tmp_path / "a", painted)
    with pytest.raises(Killed):
        train(tmp_path / "b", killing)
    resumed = train(tmp_path / "b", painted)
    assert all(torch.equal(resumed[key], unbroken[key]) for key in unbroken)


def test_the_classes_asked_for_are_drawn_in_turn_and_alike_every_time(slices: SliceSet) -> None:
    draw = painted_draw(slices, 0, (1, 2))
    samples = [draw(0, n) for n in range(8)]
    assert [label for _, label in samples] == [0, 1] * 4  # positions among the labels that were asked for
    assert all(image.shape == (1, INPUT_SIZE, INPUT_SIZE) for image, _ in samples)
    assert np.array_equal(draw(0, 3)[0], samples[3][0])


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


def test_painting_gives_every_class(slices: SliceSet) -> None:
    labels = set()
    for seed in range(30):
        image, label = draw_painted(slices, seed % 8, seed % 3, np.random.default_rng(seed))
        assert image.shape == (INPUT_SIZE, INPUT_SIZE)
        assert image.min() >= 0
        assert image.max() <= 1
        labels.add(label)
    assert labels == {0, 1, 2}


@pytest.mark.parametrize(
    ("positive", "negative", "area"),
    [([3, 4], [1, 2], 1.0), ([1, 2], [3, 4], 0.0), ([1, 3], [2, 4], 0.25), ([1], [1], 0.5)],
)
def test_area_under_the_curve_is_the_chance_to_rank_rightly(positive: list, negative: list, area: float) -> None:
    assert area_under_curve(np.array(positive, float), np.array(negative, float)) == pytest.approx(area)


def test_an_empty_group_has_no_curve() -> None:
    with pytest.raises(ValueError, match="at least one"):
        area_under_curve(np.array([]), np.array([1.0]))


def test_prediction_averages_a_slice_and_its_mirror_image(slices: SliceSet) -> None:
    torch.manual_seed(0)
    network = MultiScaleClassifier().eval()
    slices = SliceSet(*(values[:2] for values in vars(slices).values()))
    mirrored = SliceSet(slices.hu[..., ::-1], slices.lung[..., ::-1], slices.window, slices.pixel_mm, slices.index)
    assert np.allclose(predict(network, slices, True), predict(network, mirrored, True), atol=0.01)
