"""From slices to the study, and from the study to the slices that are explained."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from groundglass.domain.errors import Refusal
from groundglass.domain.findings import UNLISTED_REGION, Prediction, SliceFinding
from groundglass.domain.volume import CTVolume
from groundglass.locations import MODEL_FOLDER
from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.method.explanation import Explanation, between, explain_slices
from groundglass.method.normalisation import SlidingWindow
from groundglass.method.regions import thirds_of_lungs
from groundglass.method.saliency import IntegratedGradients, PathIntegrals
from groundglass.method.slice_classification import StudyRule, classify_slices, with_neighbours
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
    assert StudyRule(top_part=0.2, minimum_slices=1).apply(slices) == pytest.approx((0.2, 0.6, 0.2))


def test_one_odd_slice_does_not_make_a_healthy_study_sick() -> None:
    slices = [finding(index, 0.95, 0.03) for index in range(40)] + [finding(40, 0.1, 0.8)]
    assert SHIPPED.classification.decision.apply(StudyRule(0.1, minimum_slices=3).apply(slices)).state != "present"


def of_pneumonia(*pneumonia: float) -> np.ndarray:
    values = np.array(pneumonia)
    return np.stack([1 - values, 0.75 * values, 0.25 * values], axis=1)


def test_a_slice_that_its_neighbours_do_not_confirm_is_no_longer_diseased_and_a_run_of_them_stays() -> None:
    heights_mm = np.arange(9) * 2.0
    lone = 1 - with_neighbours(of_pneumonia(*[0.05] * 4, 0.9, *[0.05] * 4), heights_mm, 4.0)[:, 0]
    run = 1 - with_neighbours(of_pneumonia(0.05, *[0.9] * 7, 0.05), heights_mm, 4.0)[:, 0]
    assert lone.max() < 0.2
    assert run[4] > 0.8
    assert (run[2:7] > 0.5).all()


def test_neighbours_are_near_by_millimetres_however_many_slices_lie_between() -> None:
    fine_mm = np.arange(0, 80, 1.0)
    along_the_body = of_pneumonia(*(0.5 + 0.4 * np.sin(fine_mm / 6)))
    fine = with_neighbours(along_the_body, fine_mm, 4.0)
    coarse = with_neighbours(along_the_body[::4], fine_mm[::4], 4.0)
    assert np.abs(fine[::4] - along_the_body[::4]).max() > 0.1
    assert np.abs(fine[::4] - coarse)[3:-3].max() < 0.01
    assert with_neighbours(of_pneumonia(0.1, 0.9), np.array([0.0, 100.0]), 4.0) == pytest.approx(of_pneumonia(0.1, 0.9))


def test_a_slice_stands_for_itself_without_reach_and_where_nobody_knows_its_place() -> None:
    found = of_pneumonia(0.1, 0.9, 0.1)
    assert with_neighbours(found, np.arange(3.0), 0.0) == pytest.approx(found)
    assert with_neighbours(found, np.full(3, np.nan), 4.0) == pytest.approx(found)
    part = with_neighbours(found, np.array([0.0, np.nan, 2.0]), 4.0)
    assert part == pytest.approx(found)


def test_a_probability_that_was_rounded_to_nothing_does_not_settle_its_neighbours() -> None:
    sure = np.array([[0.0, 0.5, 0.5], [0.6, 0.2, 0.2], [0.6, 0.2, 0.2]])
    found = with_neighbours(sure, np.array([0.0, 8.0, 16.0]), 4.0)
    assert np.isfinite(found).all()
    assert found.sum(axis=1) == pytest.approx(1.0)
    assert found[2, 0] > 0.5


@pytest.mark.slow
def test_the_slices_of_a_volume_have_a_say_in_each_other(network, sick) -> None:
    volume, _, inputs = sick
    alone = classify_slices(network, volume, inputs, minimum_lung_mm2=4000.0, neighbours_mm=0.0)
    beside = classify_slices(network, volume, inputs, minimum_lung_mm2=4000.0, neighbours_mm=4.0)
    heights_mm = np.array([item.index for item in alone]) * volume.spacing_mm[0]
    expected = with_neighbours(np.array([item.probabilities for item in alone]), heights_mm, 4.0)
    assert np.array([item.probabilities for item in beside]) == pytest.approx(expected)
    assert not np.allclose([item.probabilities for item in alone], expected, atol=0.01)


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
    slices = classify_slices(network, volume, inputs, minimum_lung_mm2=fifth, neighbours_mm=0.0)
    assert len(slices) == 5
    assert [item.index for item in slices] == np.nonzero(areas >= fifth)[0].tolist()
    assert all(sum(item.probabilities) == pytest.approx(1.0) for item in slices)


@pytest.mark.slow
def test_a_volume_with_too_little_lung_is_refused(network, sick) -> None:
    volume, _, inputs = sick
    with pytest.raises(Refusal, match="cm2"):
        classify_slices(network, volume, inputs, minimum_lung_mm2=1e9, neighbours_mm=0.0)


PRESENT = Prediction((0.1, 0.6, 0.3), "present", "undetermined")
ABSENT = Prediction((0.9, 0.06, 0.04), "absent", "undetermined")


def explain(network, sick, prediction: Prediction, **rules):
    volume, truth, inputs = sick
    slices = [finding(index, 0.02 * index, 0.5) for index in range(8, 22)]
    settings = replace(SHIPPED.explanation, **rules)
    return slices, explain_slices(network, volume, truth.lungs, inputs, slices, prediction, GRADIENTS, settings)


@pytest.fixture(scope="module")
def explanation(network, sick) -> Explanation:
    """Three of fourteen slices, all of them diseased."""
    return explain(network, sick, PRESENT, maximum_slices=3)[1]


@pytest.mark.slow
def test_the_most_probable_diseased_slices_are_explained_within_the_budget(explanation) -> None:
    assert [item.index for item in explanation.slices if item.explained] == [8, 9, 10]
    assert sorted(explanation.saliency) == [8, 9, 10]
    assert {item.why_not_explained for item in explanation.slices if not item.explained} == {"budget"}


class CountedGradients(IntegratedGradients):
    """Tells the brightness of the image as its gradient, and keeps which rule was asked for."""

    asked: ClassVar[list[str]] = []

    def attribute(self, gradients, image):
        self.asked.append(self.rule)
        values = np.repeat(image.numpy()[None], 3, axis=0)
        errors = None if self.rule == "gauss_jacobi" else np.full(3, 0.25)
        return PathIntegrals(values, values, errors)


def count(network, sick, spacing_mm: float, proved_slices: int) -> tuple[Explanation, list[str]]:
    """Fourteen slices of 2 mm, all diseased, and the rules by which slices were computed."""
    volume, truth, inputs = sick
    thin = replace(volume, spacing_mm=(2.0, *volume.spacing_mm[1:]))
    slices = [finding(index, 0.02 * index, 0.5) for index in range(8, 22)]
    rules = replace(SHIPPED.explanation, spacing_mm=spacing_mm, proved_slices=proved_slices)
    gradients = CountedGradients("score_map", "gauss_jacobi", 4, gradient_power=4.0)
    CountedGradients.asked.clear()
    found = explain_slices(network, thin, truth.lungs, inputs, slices, PRESENT, gradients, rules)
    return found, list(CountedGradients.asked)


def test_slices_between_those_that_are_computed_take_their_saliency_from_both(network, sick) -> None:
    each, asked_of_each = count(network, sick, spacing_mm=0.0, proved_slices=0)
    spread, asked = count(network, sick, spacing_mm=5.0, proved_slices=0)
    assert (len(asked_of_each), len(asked)) == (14, 8)  # 8, 10, ... 20 and the last one, 21
    assert all(item.explained for item in spread.slices)
    assert sorted(spread.saliency) == sorted(each.saliency) == list(range(8, 22))
    np.testing.assert_array_equal(spread.saliency[10], each.saliency[10])
    middle, lung = spread.saliency[11], sick[2].lung(11)
    assert middle.max() > 0
    assert not middle[~lung].any()
    assert np.corrcoef(middle[lung], each.saliency[11][lung])[0, 1] > 0.5


def test_saliency_between_two_slices_is_that_of_equals_and_nothing_where_one_shows_nothing() -> None:
    equal, other = np.float32([[0.0, 0.2, 0.8]]), np.float32([[0.5, 0.0, 0.4]])
    np.testing.assert_allclose(between(equal, equal, 0.3), equal, rtol=1e-6)
    np.testing.assert_allclose(between(equal, other, 0.5), [[0.0, 0.0, 2 * 0.8 * 0.4 / 1.2]], rtol=1e-6)
    near, far = between(equal, other, 0.25)[0, 2], between(equal, other, 0.75)[0, 2]
    assert 0.4 < far < near < 0.8
    assert between(equal, other, 0.5).dtype == np.float32


def test_completeness_is_proved_on_as_many_slices_as_asked(network, sick) -> None:
    found, asked = count(network, sick, spacing_mm=5.0, proved_slices=3)
    assert sorted(asked) == ["gauss_jacobi"] * 5 + ["midpoint"] * 3
    proved = [item.index for item in found.slices if item.completeness_error is not None]
    assert len(proved) == 3
    assert max(proved) - min(proved) >= 6  # over the whole height
    assert all(item.completeness_error == (0.25,) * 3 for item in found.slices if item.index in proved)


def test_slices_far_apart_are_each_computed(network, sick) -> None:
    _, asked = count(network, sick, spacing_mm=3.9, proved_slices=0)
    assert len(asked) == 14


@pytest.mark.slow
def test_slices_that_are_not_diseased_are_not_explained(network, sick) -> None:
    _, explanation = explain(network, sick, PRESENT, minimum_disease_probability=0.83)
    assert [item.index for item in explanation.slices if item.explained] == [8]
    assert {item.why_not_explained for item in explanation.slices if not item.explained} == {"slice_np"}


@pytest.mark.slow
def test_a_study_without_pneumonia_has_nothing_to_explain(network, sick) -> None:
    slices, explanation = explain(network, sick, ABSENT)
    assert [item.index for item in explanation.slices] == [item.index for item in slices]
    assert {item.why_not_explained for item in explanation.slices} == {"study_np"}
    assert explanation.boxes == explanation.regions == explanation.zones == ()
    assert explanation.unlisted_regions == 0
    assert not explanation.salient.any()
    assert explanation.salient_fraction == 0.0


@pytest.mark.slow
def test_an_indeterminate_study_is_explained_for_the_more_probable_kind(network, sick) -> None:
    volume, truth, inputs = sick
    prediction = Prediction((0.5, 0.2, 0.3), "indeterminate", "undetermined")
    slices = [finding(10, 0.4, 0.2)]
    found = explain_slices(network, volume, truth.lungs, inputs, slices, prediction, GRADIENTS, SHIPPED.explanation)
    assert found.slices[0].explained
    assert {box.label for box in found.boxes} <= {"covid19"}
    assert found.salient_fraction is not None


@pytest.mark.slow
def test_the_salient_fraction_is_nothing_where_no_slice_is_diseased(network, sick) -> None:
    _, explanation = explain(network, sick, PRESENT, minimum_disease_probability=1.0)
    assert (explanation.salient_fraction, explanation.zones) == (0.0, ())


@pytest.mark.slow
def test_boxes_enclose_the_salient_regions_and_these_stay_inside_the_lungs(sick, explanation) -> None:
    volume, truth, _ = sick
    assert explanation.boxes
    assert not explanation.salient[truth.lungs == 0].any()
    covered = np.zeros(explanation.salient.shape, dtype=bool)
    for box in explanation.boxes:
        covered[box.slice_index, box.row_min : box.row_max + 1, box.column_min : box.column_max + 1] = True
        pixels = (box.row_max - box.row_min + 1) * (box.column_max - box.column_min + 1)
        assert box.area_mm2 <= pixels * volume.pixel_area_mm2
    assert not explanation.salient[~covered].any()
    assert 0 <= explanation.salient_fraction <= 1


@pytest.mark.slow
@pytest.mark.parametrize("maximum", [1, 50])
def test_every_box_belongs_to_a_region_and_all_voxels_carry_the_number_of_theirs(network, sick, maximum: int) -> None:
    rules = replace(SHIPPED.explanation.regions, maximum=maximum)
    _, explanation = explain(network, sick, PRESENT, maximum_slices=3, regions=rules)
    numbers = [region.number for region in explanation.regions]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) <= maximum
    assert {box.region for box in explanation.boxes} - {0} == set(numbers)
    assert (0 in {box.region for box in explanation.boxes}) == (explanation.unlisted_regions > 0)
    for region in explanation.regions:
        assert region.slices == tuple(sorted({b.slice_index for b in explanation.boxes if b.region == region.number}))
    for box in explanation.boxes:
        assert (explanation.salient[box.slice_index][box.place] == (box.region or UNLISTED_REGION)).any()
    contributions = [region.contribution for region in explanation.regions]
    assert contributions == sorted(contributions, reverse=True)
    assert 0 < sum(contributions) <= 1


@pytest.mark.slow
def test_regions_hold_all_salient_volume_of_neighbouring_slices(network, sick) -> None:
    volume, _, _ = sick
    rules = replace(SHIPPED.explanation.regions, maximum=50)
    _, explanation = explain(network, sick, PRESENT, maximum_slices=3, regions=rules)
    salient_ml = (explanation.salient > 0).sum() * volume.voxel_volume_ml
    assert sum(region.volume_ml for region in explanation.regions) == pytest.approx(salient_ml)


@pytest.mark.slow
def test_the_zones_add_up_to_the_salient_fraction(sick, explanation) -> None:
    _, truth, _ = sick
    assert [(zone.side, zone.third) for zone in explanation.zones] == [
        (side, third) for side in ("right", "left") for third in ("upper", "middle", "lower")
    ]
    thirds = thirds_of_lungs(truth.lungs)
    salient = lung = 0.0
    for place, zone in enumerate(explanation.zones):
        side = 1 + place // 3
        pixels = (truth.lungs == side)[thirds[side] == place % 3].sum()
        salient, lung = salient + zone.salient_fraction * pixels, lung + pixels
    assert salient / lung == pytest.approx(explanation.salient_fraction)


@pytest.mark.slow
def test_regions_that_reach_past_a_free_slice_are_together_the_salient_fraction(network, sick) -> None:
    volume, truth, inputs = sick
    near = replace(volume, spacing_mm=(2.0, *volume.spacing_mm[1:]))
    slices = [finding(index, 0.6 if index == 11 else 0.1, 0.3) for index in range(10, 13)]
    settings = replace(SHIPPED.explanation, regions=replace(SHIPPED.explanation.regions, maximum=50))
    found = explain_slices(network, near, truth.lungs, inputs, slices, PRESENT, GRADIENTS, settings)
    assert any({10, 12} <= set(region.slices) for region in found.regions)
    lungs_ml = (truth.lungs > 0).sum() * near.voxel_volume_ml
    assert sum(region.volume_ml for region in found.regions) / lungs_ml == pytest.approx(found.salient_fraction)


@pytest.mark.slow
def test_fractions_are_the_same_whichever_way_a_slice_is_stored(network, sick, explanation) -> None:
    """On the front, rows and columns run the other way: what is salient is counted in the lung that it lies in."""
    upright, truth, _ = sick
    turned = CTVolume(
        np.flip(upright.hu, (1, 2)),
        upright.spacing_mm,
        upright.origin_mm,
        upright.directions * np.array([1.0, -1.0, -1.0])[:, None],
    )
    lungs = np.flip(truth.lungs, (1, 2))
    inputs = SliceInputs.of_volume(turned, lungs, SlidingWindow(1400.0, 20.0), masked=True)
    _, found = explain(network, (turned, replace(truth, lungs=lungs), inputs), PRESENT, maximum_slices=3)
    assert found.salient_fraction == pytest.approx(explanation.salient_fraction)
    for zone, expected in zip(found.zones, explanation.zones, strict=True):
        assert (zone.side, zone.third) == (expected.side, expected.third)
        assert zone.salient_fraction == pytest.approx(expected.salient_fraction)


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
