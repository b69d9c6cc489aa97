"""Whether the saliency depends on what it claims to explain: on the network's weights and on the image."""

import copy

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from groundglass.domain.class_names import CLASSES
from groundglass.domain.findings import Prediction, SliceFinding
from groundglass.domain.volume import CTVolume
from groundglass.locations import MODEL_FOLDER
from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.method.explanation import explain_slices
from groundglass.method.normalisation import SlidingWindow
from groundglass.method.saliency import IntegratedGradients
from groundglass.method.slice_input import SliceInputs
from groundglass.method.weights import load_classifier
from groundglass.phantom.painted_lesions import Lesion, paint_lesion
from groundglass.phantom.thorax import Truth, make_thorax
from groundglass.presets import SHIPPED

pytestmark = pytest.mark.slow

WEIGHTS = MODEL_FOLDER / "classifier" / "classifier.safetensors"
GRADIENTS = IntegratedGradients("score_map", "midpoint", 2, gradient_power=0.0)
COVID19 = CLASSES.index("covid19")
PREDICTION = Prediction((0.1, 0.1, 0.8), "present", "undetermined")
MIDDLE = 12


@pytest.fixture(scope="module")
def network() -> MultiScaleClassifier:
    return load_classifier(WEIGHTS)


@pytest.fixture(scope="module")
def one_lesion() -> tuple[CTVolume, Truth, np.ndarray]:
    """The healthy phantom with one patch of ground glass in the right lung, through three slices."""
    volume, truth = make_thorax("normal", slices=24, size=160)
    hu = volume.hu.copy()
    rows, columns = np.nonzero(truth.lungs[MIDDLE] == 1)
    centre_mm = np.array([MIDDLE, np.median(rows), np.median(columns)]) * volume.spacing_mm
    lesion = Lesion(tuple(centre_mm), (1.5 * volume.spacing_mm[0], 20.0, 20.0), "ground_glass")
    mask = paint_lesion(hu, truth.lungs > 0, volume.spacing_mm, lesion, np.random.default_rng(3))
    return CTVolume(hu, volume.spacing_mm, volume.origin_mm, volume.directions), truth, mask


def saliency(network: MultiScaleClassifier, image: np.ndarray) -> np.ndarray:
    found = GRADIENTS.attribute(GRADIENTS.prepare(network, COVID19), torch.from_numpy(image))
    assert np.isfinite(found.completeness_errors).all()
    assert np.isfinite(found.attributions).all()
    return SHIPPED.explanation.joint_saliency(found, 1.5)


def inputs_of(volume: CTVolume, truth: Truth) -> SliceInputs:
    return SliceInputs.of_volume(volume, truth.lungs, SlidingWindow(1400.0, 20.0), masked=True)


def test_randomising_the_weights_from_the_heads_down_changes_the_map(network, one_lesion) -> None:
    volume, truth, _ = one_lesion
    inputs = inputs_of(volume, truth)
    lung = inputs.lung_square(MIDDLE)
    image = inputs.image(MIDDLE, lung)
    original = saliency(network, image)[lung]
    randomised = copy.deepcopy(network)
    torch.manual_seed(1)
    for part in [randomised.heads, *reversed(randomised.blocks)]:
        for layer in part.modules():
            if isinstance(layer, torch.nn.Conv2d | torch.nn.BatchNorm2d):
                layer.reset_parameters()
    for head in randomised.heads:  # else a map may have no positive cell, and the map is empty, not different
        torch.nn.init.constant_(head.bias, 1.0)
    assert spearmanr(original, saliency(randomised, image)[lung])[0] < 0.3


def test_the_region_that_contributes_most_is_the_lesion_that_is_there(network, one_lesion) -> None:
    volume, truth, mask = one_lesion
    diseased = np.nonzero(mask.sum(axis=(1, 2)) * volume.pixel_area_mm2 > 200)[0]
    slices = [SliceFinding(int(index), 1e4, (0.1, 0.1, 0.8)) for index in diseased]
    found = explain_slices(
        network, volume, truth.lungs, inputs_of(volume, truth), slices, PREDICTION, GRADIENTS, SHIPPED.explanation
    )
    first = found.regions[0]
    assert first.side == "right"
    assert mask[first.best_slice][first.box.place].any()
    for index in diseased:
        top = max((box for box in found.boxes if box.slice_index == index), key=lambda box: box.area_mm2)
        assert mask[index, top.row_min : top.row_max + 1, top.column_min : top.column_max + 1].any()


@pytest.mark.parametrize("hu", [-1000, -700], ids=["all air", "constant"])
def test_lungs_in_which_nothing_is_to_be_seen_have_no_box(network, one_lesion, hu: int) -> None:
    volume, truth, _ = one_lesion
    flat = CTVolume(np.full_like(volume.hu, hu), volume.spacing_mm, volume.origin_mm, volume.directions)
    slices = [SliceFinding(MIDDLE, 1e4, (0.1, 0.1, 0.8))]
    found = explain_slices(
        network, flat, truth.lungs, inputs_of(flat, truth), slices, PREDICTION, GRADIENTS, SHIPPED.explanation
    )
    assert found.boxes == found.regions == ()
    assert found.salient_fraction == 0.0
    assert np.isfinite(found.saliency[MIDDLE]).all()
    assert np.isfinite(found.slices[0].completeness_error).all()
