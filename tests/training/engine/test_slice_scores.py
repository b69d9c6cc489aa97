"""Scores of slices by the networks of the folds: who scores whom, and what the scores become."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from groundglass.domain.software import sha256_of
from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.method.weights import load_classifier
from tests.training.made_up import make_patient, make_scores
from training.data.public_slices import LabelledSlices
from training.engine import slice_scores
from training.engine.checkpoint import export_weights
from training.engine.inference import predict
from training.engine.scale_loss import EveryScale
from training.engine.slice_scores import SliceScores, score_folds, slices_of_patients


def test_probabilities_are_the_mean_over_slice_and_mirror() -> None:
    scores = make_scores(1)
    scores.scores[0, 0] = [[1.0, 0, 0], [0, 0, 0], [0, 0, np.log(4) - 1]]
    scores.scores[0, 1] = 0
    joint = np.exp([1.0, 0, np.log(4) - 1])
    expected = (joint / joint.sum() + 1 / 3) / 2
    np.testing.assert_allclose(scores.probabilities()[0], expected)
    first = np.exp([1.0, 0, 0])
    np.testing.assert_allclose(scores.probabilities("conv3")[0], (first / first.sum() + 1 / 3) / 2)
    assert scores.pneumonia()[0] == pytest.approx(1 - expected[0])


def test_a_network_of_one_scale_is_asked_for_nothing_else() -> None:
    several = make_scores(1)
    one = replace(several, scores=several.scores[:, :, :1])
    assert several.outputs == ("joint", "conv3", "conv4", "conv5")
    assert one.outputs == ("joint",)


def test_a_temperature_divides_the_scores_of_each_slice_by_its_own() -> None:
    scores = make_scores(2)
    scores.scores[:, :, :, 0] = 1.0
    hot = scores.pneumonia(temperature=np.array([1.0, 3.0]))
    assert hot[0] == pytest.approx(2 / (np.exp(3.0) + 2))
    assert hot[1] == pytest.approx(2 / (np.exp(1.0) + 2))


def test_slices_of_patients_say_what_radiologists_marked() -> None:
    found = slices_of_patients([make_patient("well", 0), make_patient("ill", 2)])
    assert found.kind.tolist() == ["healthy"] * 3 + ["infected", "free", "free"]
    assert found.group.tolist() == ["well"] * 3 + ["ill"] * 3
    assert found.label.tolist() == [0] * 3 + [2] * 3


@pytest.fixture
def networks(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"fold{number}.safetensors" for number in (1, 2)]
    for seed, path in enumerate(paths):
        torch.manual_seed(seed)
        export_weights(MultiScaleClassifier(), path)
    return paths


def test_each_slice_is_scored_by_its_own_fold_once(
    tmp_path: Path, networks: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    slices = slices_of_patients([make_patient("a", 0), make_patient("b", 1)])
    asked: list[tuple[float, list[int]]] = []

    def score(scales: EveryScale, part: object, masked: bool) -> np.ndarray:
        asked.append((float(scales.network.heads[0].weight.sum()), part.index.tolist()))  # type: ignore[attr-defined]
        return np.full((len(part.index), 2, 3, 3), len(asked))  # type: ignore[attr-defined]

    monkeypatch.setattr(slice_scores, "score_scales", score)
    place = np.array([0, 1, 0, 1, 1, 1])
    file = tmp_path / "scores" / "shipped.patients.npz"
    found = score_folds(file, networks, slices, place)
    assert found.scores[:, 0, 0, 0].tolist() == [1, 2, 1, 2, 2, 2]
    assert [index for _, index in asked] == [[5, 7], [6, 5, 6, 7]]
    assert asked[0][0] != asked[1][0]
    assert found.weights.tolist() == [sha256_of(network) for network in networks]
    score_folds(file, networks, slices, place)
    score_folds(file, [], slices, place)  # without networks, as in the shipped evidence
    assert len(asked) == 2
    score_folds(file, networks[::-1], slices, place)  # other networks
    score_folds(file, networks[::-1], slices, 1 - place)  # other folds
    assert len(asked) == 6


def test_scores_are_the_networks_own(tmp_path: Path, networks: list[Path]) -> None:
    """What the application would say, mirror image and hidden outside included."""

    slices: LabelledSlices = slices_of_patients([make_patient("a", 2, slices=1)])
    found: SliceScores = score_folds(tmp_path / "x.npz", networks[:1], slices, np.zeros(1, dtype=int))
    expected = predict(load_classifier(networks[0]), slices.slices, masked=True)
    np.testing.assert_allclose(found.probabilities(), expected, atol=5e-3)  # bfloat16 sums
