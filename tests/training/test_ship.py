"""What is shipped agrees with itself: weights, hashes, cards and README."""

import json
from pathlib import Path

import pytest

from app.settings import load_settings
from method.weights import load_classifier, load_lung_network, sha256_of
from training.evaluate import as_markdown
from training.ship import REPOSITORY, readme_figures


@pytest.mark.parametrize("name", ["lungs", "classifier"])
def test_the_weights_are_those_app_yaml_and_the_card_name(name: str) -> None:
    weights = REPOSITORY / "models" / name / f"{name}.safetensors"
    sha256 = sha256_of(weights)
    settings = load_settings()
    assert sha256 == {"lungs": settings.lungs_weights, "classifier": settings.classifier_weights}[name].sha256
    assert sha256 in (REPOSITORY / "model_cards" / f"{name}.md").read_text(encoding="utf-8")
    assert weights.stat().st_size <= 10e6


def test_the_weights_load() -> None:
    settings = load_settings()
    models = REPOSITORY / "models"
    load_lung_network(models / settings.lungs_weights.file, settings.lungs_weights.sha256)
    load_classifier(models / settings.classifier_weights.file, settings.classifier_weights.sha256)


def read_report(name: str) -> dict:
    path: Path = REPOSITORY / "model_cards" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_figures_of_readme_and_card_are_those_of_the_reports() -> None:
    lungs, classifier = read_report("lungs"), read_report("classifier")
    assert readme_figures(lungs, classifier) in (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert as_markdown(classifier) in (REPOSITORY / "model_cards" / "classifier.md").read_text(encoding="utf-8")


def test_the_lungs_reach_their_goal_on_patients_never_trained_on() -> None:
    assert read_report("lungs")["mean_dice"] >= 0.95
