"""Training on phantom slices: it runs, survives a kill, and gives the same weights as an unbroken run."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from method.classifier_network import INPUT_SIZE, MultiScaleClassifier
from method.slice_classification import StudyRule
from method.slice_input import LungSquare
from method.weights import load_classifier
from training.checkpoint import export_weights, load_checkpoint, save_checkpoint
from training.classifier import fit, predict
from training.classifier_data import SliceSet, draw_painted
from training.evaluate import as_markdown, score
from training.lung_data import LungImages, draw_sample, threshold_lungs
from training.metrics import area_under_curve
from validation.phantom.thorax import make_thorax


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


def train(out: Path, slices: SliceSet, iterations: int, total: int = 4) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    options = argparse.Namespace(seed=0, batch=2, save_every=1)
    network = MultiScaleClassifier()

    class Killed(Exception):
        pass

    drawn = 0

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, int]:
        nonlocal drawn
        drawn += 1
        if drawn > iterations * options.batch:
            raise Killed
        return draw_painted(slices, rng)

    try:
        average = fit(out, network, draw, options, total, 1e-3, "test")
    except Killed:
        return {}
    finally:
        torch.use_deterministic_algorithms(False)
    export_weights(average, out / "weights.safetensors")
    return load_file(out / "weights.safetensors")


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path: Path, slices: SliceSet) -> None:
    unbroken = train(tmp_path / "a", slices, iterations=4)
    assert train(tmp_path / "b", slices, iterations=2) == {}  # killed in the third iteration
    resumed = train(tmp_path / "b", slices, iterations=2)
    assert resumed.keys() == unbroken.keys()
    assert all(torch.equal(resumed[key], unbroken[key]) for key in unbroken)


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
    assert load_checkpoint(tmp_path / "none.safetensors", {"network": network}, optimizer) == 0
    save_checkpoint(tmp_path / "one.safetensors", 7, {"network": network}, optimizer)
    assert load_checkpoint(tmp_path / "one.safetensors", {"network": network}, optimizer) == 7
    assert list(tmp_path.iterdir()) == [tmp_path / "one.safetensors"]


def test_painting_gives_every_class(slices: SliceSet) -> None:
    labels = set()
    for seed in range(30):
        image, label = draw_painted(slices, np.random.default_rng(seed))
        assert image.shape == (INPUT_SIZE, INPUT_SIZE)
        assert image.min() >= 0
        assert image.max() <= 1
        labels.add(label)
    assert labels == {0, 1, 2}


def test_a_lung_sample_keeps_its_mask_where_disease_is_painted() -> None:
    volume, truth = make_thorax("normal", slices=24, size=160)
    item = LungImages(volume.hu, truth.lungs > 0, volume.spacing_mm)
    sources = {"lung_slices": [item], "lesion_masks": [item], "volumes": [item]}
    filled = []
    for seed in range(12):
        planes, mask = draw_sample(sources, 3, np.random.default_rng(seed))
        assert planes.shape[0] == 3
        assert planes.shape[1:] == mask.shape
        if mask.sum() > 500:
            filled.append(planes[1][mask].max())
    assert filled


def test_the_threshold_finds_the_lungs_of_a_healthy_phantom() -> None:
    volume, truth = make_thorax("normal", slices=40, size=160)
    found, true = threshold_lungs(volume.hu, volume.spacing_mm), truth.lungs > 0
    assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.93


@pytest.mark.parametrize(
    ("positive", "negative", "area"),
    [([3, 4], [1, 2], 1.0), ([1, 2], [3, 4], 0.0), ([1, 3], [2, 4], 0.25), ([1], [1], 0.5)],
)
def test_area_under_the_curve_is_the_chance_to_rank_rightly(positive: list, negative: list, area: float) -> None:
    assert area_under_curve(np.array(positive, float), np.array(negative, float)) == pytest.approx(area)


def test_an_empty_group_has_no_curve() -> None:
    with pytest.raises(ValueError, match="at least one"):
        area_under_curve(np.array([]), np.array([1.0]))


def test_the_report_counts_what_it_says(slices: SliceSet) -> None:
    names = ("P001", "P002", "cap001", "cap002", "normal001", "normal002")
    infected = {name: np.arange(30) % 2 == 0 for name in names}
    right = {"P": [0.1, 0.2, 0.7], "c": [0.1, 0.7, 0.2], "n": [0.9, 0.05, 0.05]}
    found = {name: np.tile(right[name[0]], (len(slices.hu), 1)) for name in names}
    figures = score(found, dict.fromkeys(names, slices), infected, StudyRule())
    assert figures["slice_accuracy"] == 1.0
    assert figures["studies_right"] == 6
    assert figures["auc"]["inside P001"] == 0.5  # all slices of a patient score the same
    assert "6 of 6" in as_markdown({"painted lesions, lungs alone": figures})


def test_prediction_averages_a_slice_and_its_mirror_image(slices: SliceSet) -> None:
    torch.manual_seed(0)
    network = MultiScaleClassifier().eval()
    mirrored = SliceSet(slices.hu[..., ::-1], slices.lung[..., ::-1], slices.window, slices.pixel_mm, slices.index)
    assert np.allclose(predict(network, slices, True), predict(network, mirrored, True), atol=0.01)
