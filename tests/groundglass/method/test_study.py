"""From slices to the study, and from the study to the slices that are explained."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from groundglass.domain.errors import Refusal
from groundglass.domain.findings import SliceFinding
from groundglass.domain.volume import CTVolume
from groundglass.locations import MODEL_FOLDER
from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.method.explanation import Explanation, explain_slices
from groundglass.method.normalisation import SlidingWindow
from groundglass.method.saliency import IntegratedGradients
from groundglass.method.slice_classification import StudyRule, classify_slices
from groundglass.method.slice_input import SliceInputs
from groundglass.method.weights import WeightsRefused, load_classifier
from groundglass.phantom.thorax import Truth, make_thorax
from groundglass.presets import SHIPPED

WEIGHTS = MODEL_FOLDER / "classifier" / "classifier.safetensors"
GRADIENTS = IntegratedGradients("score_map", "gauss_legendre", 2, gradient_power=0.0)


def finding(index: int, np_: float, cap: float) -> SliceFinding:
    return SliceFinding(index, 10_000.0, (np_, cap, 1 - np_ - cap))


def test_the_study_is_the_mean_of_its_most_diseased_slices() -> None:
    slices = [finding(index, 0.9, 0.05) for index in range(8)] + [finding(8, 0.1, 0.7), finding(9, 0.3, 0.5)]
    label, probabilities = StudyRule(top_part=0.2, minimum_slices=1).apply(slices)
    assert label == "cap"
    assert probabilities == pytest.approx((0.2, 0.6, 0.2))


def test_one_odd_slice_does_not_make_a_healthy_study_sick() -> None:
    slices = [finding(index, 0.95, 0.03) for index in range(40)] + [finding(40, 0.1, 0.8)]
    assert StudyRule(top_part=0.1, minimum_slices=3).apply(slices)[0] == "np"


@pytest.fixture(scope="module")
def network() -> MultiScaleClassifier:
    return load_classifier(WEIGHTS)


@pytest.fixture(scope="module")
def sick() -> tuple[CTVolume, Truth, SliceInputs]:
    volume, truth = make_thorax("cap", slices=30, size=128)
    return volume, truth, SliceInputs.of_volume(volume, truth.lungs, SlidingWindow(1400.0, 20.0), masked=True)


@pytest.mark.slow
def test_only_slices_with_enough_lung_are_classified(network, sick) -> None:
    volume, truth, inputs = sick
    areas = (truth.lungs > 0).sum(axis=(1, 2)) * volume.pixel_area_mm2
    fifth = float(np.sort(areas)[-5])
    slices = classify_slices(network, volume, inputs, minimum_lung_mm2=fifth)
    assert len(slices) == 5
    assert [item.index for item in slices] == np.nonzero(areas >= fifth)[0].tolist()
    assert all(sum(item.probabilities) == pytest.approx(1.0) for item in slices)


@pytest.mark.slow
def test_a_volume_with_too_little_lung_is_refused(network, sick) -> None:
    volume, _, inputs = sick
    with pytest.raises(Refusal, match="cm2"):
        classify_slices(network, volume, inputs, minimum_lung_mm2=1e9)


def explain(network, sick, label: str, **rules):
    volume, truth, inputs = sick
    slices = [finding(index, 0.02 * index, 0.5) for index in range(8, 22)]
    settings = replace(SHIPPED.explanation, **rules)
    return slices, explain_slices(network, volume, truth.lungs, inputs, slices, label, GRADIENTS, settings)


@pytest.fixture(scope="module")
def explanation(network, sick) -> Explanation:
    """Three of fourteen slices, all of them diseased."""
    return explain(network, sick, "cap", maximum_slices=3)[1]


@pytest.mark.slow
def test_the_most_probable_diseased_slices_are_explained_within_the_budget(explanation) -> None:
    assert [item.index for item in explanation.slices if item.explained] == [8, 9, 10]
    assert sorted(explanation.saliency) == [8, 9, 10]
    assert {item.why_not_explained for item in explanation.slices if not item.explained} == {"budget"}


@pytest.mark.slow
def test_slices_that_are_not_diseased_are_not_explained(network, sick) -> None:
    _, explanation = explain(network, sick, "cap", minimum_disease_probability=0.83)
    assert [item.index for item in explanation.slices if item.explained] == [8]
    assert {item.why_not_explained for item in explanation.slices if not item.explained} == {"slice_np"}


@pytest.mark.slow
def test_a_study_without_pneumonia_has_nothing_to_explain(network, sick) -> None:
    slices, explanation = explain(network, sick, "np")
    assert [item.index for item in explanation.slices] == [item.index for item in slices]
    assert {item.why_not_explained for item in explanation.slices} == {"study_np"}
    assert explanation.boxes == explanation.lesions == ()
    assert not explanation.salient.any()
    assert explanation.salient_fraction == 0.0


@pytest.mark.slow
def test_the_salient_fraction_of_a_negative_study_that_is_more_probably_diseased_is_unknown(network, sick) -> None:
    volume, truth, inputs = sick
    slices = [finding(10, 0.38, 0.34)]
    found = explain_slices(
        network, volume, truth.lungs, inputs, slices, "np", GRADIENTS, SHIPPED.explanation, np_probability=0.38
    )
    assert found.salient_fraction is None


@pytest.mark.slow
def test_boxes_enclose_the_salient_regions_and_these_stay_inside_the_lungs(sick, explanation) -> None:
    volume, truth, _ = sick
    assert explanation.boxes
    assert not explanation.salient[truth.lungs == 0].any()
    covered = np.zeros_like(explanation.salient)
    for box in explanation.boxes:
        covered[box.slice_index, box.row_min : box.row_max + 1, box.column_min : box.column_max + 1] = True
        pixels = (box.row_max - box.row_min + 1) * (box.column_max - box.column_min + 1)
        assert box.area_mm2 <= pixels * volume.pixel_area_mm2
    assert not explanation.salient[~covered].any()
    assert 0 <= explanation.salient_fraction <= 1


@pytest.mark.slow
def test_every_box_belongs_to_a_lesion_and_lesions_hold_all_salient_volume(sick, explanation) -> None:
    volume, truth, _ = sick
    numbers = [lesion.number for lesion in explanation.lesions]
    assert numbers == list(range(1, len(numbers) + 1))
    assert {box.lesion for box in explanation.boxes} == set(numbers)
    for lesion in explanation.lesions:
        assert lesion.slices == tuple(sorted({b.slice_index for b in explanation.boxes if b.lesion == lesion.number}))
    salient_ml = explanation.salient.sum() * volume.voxel_volume_ml
    assert sum(lesion.volume_ml for lesion in explanation.lesions) == pytest.approx(salient_ml)
    lungs_ml = (truth.lungs > 0).sum() * volume.voxel_volume_ml
    assert sum(lesion.lung_fraction for lesion in explanation.lesions) == pytest.approx(salient_ml / lungs_ml)


@pytest.mark.slow
def test_lesions_that_reach_past_a_free_slice_are_together_the_salient_fraction(network, sick) -> None:
    volume, truth, inputs = sick
    near = replace(volume, spacing_mm=(2.0, *volume.spacing_mm[1:]))
    slices = [finding(index, 0.6 if index == 11 else 0.1, 0.3) for index in range(10, 13)]
    found = explain_slices(network, near, truth.lungs, inputs, slices, "cap", GRADIENTS, SHIPPED.explanation)
    assert any({10, 12} <= set(lesion.slices) for lesion in found.lesions)
    assert sum(lesion.lung_fraction for lesion in found.lesions) == pytest.approx(found.salient_fraction)


def test_a_damaged_weight_file_is_refused_by_its_hash(tmp_path: Path) -> None:
    copy = tmp_path / "classifier.safetensors"
    copy.write_bytes(WEIGHTS.read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsRefused, match=r"classifier\.safetensors.*SHA-256"):
        load_classifier(copy, "0" * 64)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsRefused, match="does not fit"):
        load_classifier(WEIGHTS.parents[1] / "lungs" / "lungs.safetensors")
    (tmp_path / "text.safetensors").write_text("no weights", encoding="utf-8")
    with pytest.raises(WeightsRefused):
        load_classifier(tmp_path / "text.safetensors")
