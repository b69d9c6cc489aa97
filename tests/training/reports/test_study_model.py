"""The study model against the study rule, on patients that neither trained on."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from groundglass.domain.class_names import CLASSES
from groundglass.domain.findings import SliceFinding
from groundglass.method.classifier_network import MultiScaleClassifier
from groundglass.presets import SHIPPED
from tests.training.made_up import make_slices
from training.data.patients import Patient, TrainingSet
from training.engine.inference import predict
from training.reports.study_model import as_markdown, compare


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
def test_the_comparison_scores_every_patient_with_their_folds_network(
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
            probabilities = SHIPPED.classification.study_rule.apply(findings)
            assert rule["studies"][patient.name]["label"] == CLASSES[int(np.argmax(probabilities))]
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
def test_a_tested_patients_label_and_slices_never_reach_their_study_model(
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
