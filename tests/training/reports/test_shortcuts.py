"""The proofs against shortcuts, on a network of which it is known what it looks at."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from groundglass.method.classifier_network import MultiScaleClassifier
from training.data.patients import Patient
from training.data.slices import SliceSet
from training.engine.inference import penultimate_features
from training.networks.penultimate import FEATURES
from training.reports.shortcuts import BLANK_GREY, as_markdown, blank_lung_report, blank_lungs, source_classifier

SIDE = 32

LUNG = (slice(10, 22), slice(4, 28))

LESION = (slice(14, 18), slice(10, 14))

TABLE = (slice(28, 31), slice(4, 28))
"""Outside the lungs: a bright bar that only one scanner shows."""


def make_slices(count: int, seed: int, lesion_hu: int | None = None, table_hu: int | None = None) -> SliceSet:
    rng = np.random.default_rng(seed)
    hu = rng.normal(-300.0, 10.0, (count, SIDE, SIDE))
    lung = np.zeros(hu.shape, dtype=bool)
    lung[:, *LUNG] = True
    hu[lung] = rng.normal(-850.0, 10.0, np.count_nonzero(lung))
    if lesion_hu is not None:
        hu[:, *LESION] = lesion_hu
    if table_hu is not None:
        hu[:, *TABLE] = table_hu
    window = np.repeat([[-1040.0, 360.0]], count, axis=0)
    return SliceSet(
        np.rint(hu).astype(np.int16), lung, window, np.full(count, 1.3), np.arange(count), np.full(count, np.nan)
    )


@pytest.fixture
def brightness() -> MultiScaleClassifier:
    """A network whose CAP score is the brightest pixel of the input and nothing else."""
    network = MultiScaleClassifier().eval()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight.zero_()
                if layer.bias is not None:
                    layer.bias.zero_()
                middle = layer.kernel_size[0] // 2
                layer.weight[1 if layer in set(network.heads) else 0, 0, middle, middle] = 1.0
    return network


def patients(diseased: dict[str, int], seed: int = 0) -> list[Patient]:
    return [
        Patient(name, label, make_slices(12, seed + number, **(diseased if label else {})), None)  # type: ignore[arg-type]
        for number, (name, label) in enumerate([("a", 0), ("b", 0), ("c", 1), ("d", 1)])
    ]


def test_blanking_changes_the_lungs_alone_and_gives_every_scanner_the_same_grey() -> None:
    slices = make_slices(3, 0, lesion_hu=0)
    slices = replace(slices, window=np.array([[-1040.0, 360.0], [-1020.0, 380.0], [-1000.0, 400.0]]))
    blank = blank_lungs(slices)
    for number in range(3):
        image, before = blank.image(number, masked=False), slices.image(number, masked=False)
        np.testing.assert_allclose(image[slices.lung[number]], BLANK_GREY, atol=1e-6)
        np.testing.assert_array_equal(image[~slices.lung[number]], before[~slices.lung[number]])
    assert slices.hu[0, 15, 11] == 0  # the originals stay


def test_disease_inside_the_lungs_is_gone_when_they_are_blank(brightness: MultiScaleClassifier) -> None:
    found = patients({"lesion_hu": 100})
    report = blank_lung_report(dict.fromkeys("abcd", brightness), found)
    assert report["intact"]["auc"] == pytest.approx(1.0)
    assert report["blanked"]["auc"] == pytest.approx(0.5, abs=0.15)
    assert report["patients"] == {"np": 2, "cap": 2, "covid19": 0}
    assert report["chance"] == {"auc": 0.5, "balanced_accuracy": 0.5}
    assert f"| intact | 1.000 ({report['intact']['shuffled']:.2f}) |" in as_markdown({"blank_lungs": report})


@pytest.mark.slow
def test_a_shortcut_outside_the_lungs_shows_when_they_are_blank(brightness: MultiScaleClassifier) -> None:
    networks = dict.fromkeys("abcd", brightness)
    assert blank_lung_report(networks, patients({"table_hu": 300}))["blanked"]["auc"] == pytest.approx(1.0)
    hidden = blank_lung_report(networks, patients({"table_hu": 300}), masked=True)
    assert hidden["blanked"]["auc"] == 0.5  # every input is the same grey outline


def test_two_patients_against_two_can_be_told_apart_by_luck_in_two_of_six_ways(
    brightness: MultiScaleClassifier,
) -> None:
    report = blank_lung_report(dict.fromkeys("abcd", brightness), patients({"lesion_hu": 100}))
    assert report["intact"]["shuffled"] == pytest.approx(2 / 6, abs=0.07)  # an AUC of 0 is as far from .5 as one of 1


@pytest.mark.slow
def test_only_marked_slices_of_a_diseased_patient_count(brightness: MultiScaleClassifier) -> None:
    found = patients({"lesion_hu": 100})
    infected = np.arange(12) < 5
    weak = make_slices(12, 9)
    for number in (2, 3):
        strong = found[number].slices
        mixed = replace(strong, hu=np.where(infected[:, None, None], strong.hu, weak.hu))
        found[number] = Patient(found[number].name, 1, mixed, infected)
    assert blank_lung_report(dict.fromkeys("abcd", brightness), found)["intact"]["auc"] == pytest.approx(1.0)
    unmarked = [replace(patient, infected=None) for patient in found]
    assert blank_lung_report(dict.fromkeys("abcd", brightness), unmarked)["intact"]["auc"] < 0.9


def test_patients_of_one_kind_are_refused(brightness: MultiScaleClassifier) -> None:
    with pytest.raises(ValueError, match="No network tests both"):
        blank_lung_report(dict.fromkeys("abcd", brightness), patients({})[:2])


def test_features_are_the_channels_that_the_heads_see() -> None:
    torch.manual_seed(1)
    network = MultiScaleClassifier().eval()
    with torch.no_grad():
        for head in network.heads:  # class k passes channel 10 k on
            head.weight.zero_()
            head.bias.zero_()
            for label in range(3):
                head.weight[label, 10 * label] = 1.0
    slices = make_slices(2, 0, lesion_hu=0)
    features = penultimate_features(network, slices, masked=True)
    assert features.shape == (2, FEATURES)
    images = torch.from_numpy(np.stack([slices.image(number, masked=True) for number in range(2)]))[:, None]
    with torch.no_grad():
        scores = sum(network.score_maps(each).scores() for each in (images, images.flip(3))) / 2
    for scale, first in enumerate((0, 128, 384)):
        np.testing.assert_allclose(features[:, [first, first + 10, first + 20]], scores[scale], rtol=0.05, atol=0.01)


@pytest.mark.slow
def test_the_source_is_named_where_sources_differ_and_not_where_they_are_alike() -> None:
    torch.manual_seed(0)
    network = MultiScaleClassifier().eval()
    sources = {"luna": make_slices(40, 0, table_hu=200), "lung_slices": make_slices(40, 1), "one": make_slices(40, 2)}
    report = source_classifier(network, sources, one_patient=("one",), masked=False)
    assert report["by_patient"]["balanced_accuracy"] > 0.95
    assert report["by_patient"]["chance"] == 0.5
    assert report["all"]["chance"] == pytest.approx(1 / 3)
    assert report["all"]["sensitivity"]["luna"] > 0.9
    assert report["all"]["sensitivity"]["one"] < 0.8  # it looks like lung_slices
    assert report["patients"] == {"luna": 40, "lung_slices": 40, "one": 1}
    hidden = source_classifier(network, sources, one_patient=("one",), masked=True)
    assert hidden["by_patient"]["balanced_accuracy"] < 0.75
    table = as_markdown({"sources": report})
    assert "luna 40, lung_slices 40, one 1" in table
    assert f"| those of several patients | {report['by_patient']['balanced_accuracy']:.3f} | 0.500 |" in table


def test_a_source_with_too_few_slices_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 5 slices"):
        source_classifier(MultiScaleClassifier(), {"a": make_slices(4, 0), "b": make_slices(9, 0)})
