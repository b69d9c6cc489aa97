"""The attention model on bags whose infected slices are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from groundglass.domain.class_names import CLASSES
from groundglass.domain.findings import SliceFinding
from groundglass.method.classifier_network import INPUT_SIZE, MultiScaleClassifier
from groundglass.presets import SHIPPED
from training.classifier import predict
from training.classifier_data import SliceSet
from training.dataset import Patient, TrainingSet
from training.metrics import area_under_curve
from training.shortcuts import FEATURES
from training.study_model import AttentionMIL, Bag, as_markdown, compare, painted_bags, predict_study, train_study_model


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


def make_slices(count: int, seed: int, side: int = 32) -> SliceSet:
    rng = np.random.default_rng(seed)
    lung = np.zeros((count, side, side), dtype=bool)
    lung[:, side // 8 : -side // 8, side // 8 : -side // 8] = True
    hu = np.where(lung, rng.normal(-850, 30, lung.shape), 40).astype(np.int16)
    window = np.repeat([[-1040.0, 360.0]], count, axis=0)
    return SliceSet(hu, lung, window, np.full(count, 1.3), np.arange(count))


@pytest.mark.slow
def test_painted_bags_hold_every_class_and_the_same_seed_paints_the_same() -> None:
    torch.manual_seed(0)
    network = MultiScaleClassifier()
    bases = make_slices(3, 0, INPUT_SIZE)
    bags, again = (painted_bags(network, bases, number=3, seed=3, size=8, drawn=2) for _ in range(2))
    assert {label for _, label in bags} == {0, 1, 2}
    assert all(features.shape == (8, FEATURES) for features, _ in bags)
    assert all(np.array_equal(one[0], two[0]) for one, two in zip(bags, again, strict=True))


@pytest.fixture(scope="module")
def patients() -> TrainingSet:
    found = []
    for number, label in enumerate((0, 1, 2, 0, 1, 2)):
        slices = make_slices(8, number)
        infected = np.arange(8) < 3
        slices.hu[infected, 10:15, 10:15] += 250 * label
        found.append(Patient(f"p{number}", label, slices, infected if label == 2 else None))
    return TrainingSet(tuple(found), "none", "phantom")


FOLDS = (("p0", "p1", "p2"), ("p3", "p4", "p5"))


@pytest.fixture(scope="module")
def networks() -> list[MultiScaleClassifier]:
    torch.manual_seed(0)
    return [MultiScaleClassifier() for _ in FOLDS]


@pytest.mark.slow
def test_the_comparison_scores_every_patient_with_his_folds_network(
    patients: TrainingSet, networks: list[MultiScaleClassifier]
) -> None:
    report = compare(networks, patients, FOLDS, iterations=3)
    assert report["patients"] == 6
    assert set(report["models"]) == {"study rule", "attention"}
    rule = report["models"]["study rule"]
    losses = []
    for network, tested in zip(networks, FOLDS, strict=True):
        for patient in (each for each in patients.patients if each.name in tested):
            rows = predict(network, patient.slices, masked=True)
            findings = [SliceFinding(n, 0.0, tuple(map(float, row))) for n, row in enumerate(rows)]  # type: ignore[arg-type]
            label, probabilities = SHIPPED.classification.study_rule.apply(findings)
            assert rule["studies"][patient.name]["label"] == label
            np.testing.assert_allclose(rule["studies"][patient.name]["probabilities"], probabilities, atol=1e-6)
            losses.append(-np.log(probabilities[patient.label]))
    assert rule["log_loss"] == pytest.approx(np.mean(losses), abs=1e-5)
    for figures in report["models"].values():
        assert set(figures["infected_auc"]) == {"p2", "p5"}  # the marked ones
        assert figures["right"] == sum(study["label"] == study["true"] for study in figures["studies"].values())
    table = as_markdown(report)
    assert "Study level, 6 patients" in table
    assert f"| study rule | {rule['right']} of 6 | {rule['log_loss']:.3f} |" in table
    assert f"| p5 | {CLASSES[2]} |" in table


@pytest.mark.slow
def test_a_tested_patients_label_and_slices_never_reach_his_study_model(
    patients: TrainingSet, networks: list[MultiScaleClassifier]
) -> None:
    def answer(training_set: TrainingSet) -> list[float]:
        found = compare(networks, training_set, FOLDS, iterations=2)["models"]["attention"]["studies"]
        return found["p0"]["probabilities"]

    first, second, third, *others = patients.patients
    relabelled = replace(patients, patients=(first, replace(second, label=2), replace(third, label=0), *others))
    expected = answer(patients)
    assert answer(relabelled) == expected
    trained_on = replace(patients, patients=(first, second, third, replace(others[0], label=1), *others[1:]))
    assert answer(trained_on) != expected
