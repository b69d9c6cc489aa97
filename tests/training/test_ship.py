"""What is shipped agrees with itself: weights, hashes, evidence, cards and README."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from groundglass.domain.class_names import CLASSES
from groundglass.domain.software import sha256_of
from groundglass.locations import ROOT
from groundglass.method.weights import load_classifier, load_lung_network
from groundglass.settings import load_settings
from training import ship
from training.data.sources import SOURCES
from training.networks.table_rows import ROWS, TASKS
from training.reports import tables as paper_tables
from training.reports.cards import classifier_card, licence, lungs_card
from training.reports.prediction_levels import read_predictions
from training.reports.readme import readme_figures
from training.reports.shipped import CARDS, EVIDENCE, read_report


@pytest.mark.parametrize("name", ["lungs", "classifier"])
def test_the_weights_are_those_app_yaml_and_the_card_name(name: str) -> None:
    weights = ROOT / "models" / name / f"{name}.safetensors"
    sha256 = sha256_of(weights)
    settings = load_settings()
    assert sha256 == {"lungs": settings.lungs_weights, "classifier": settings.classifier_weights}[name].sha256
    assert sha256 in (CARDS / f"{name}.md").read_text(encoding="utf-8")
    assert weights.stat().st_size <= 10e6


def test_the_weights_load() -> None:
    settings = load_settings()
    models = ROOT / "models"
    load_lung_network(models / settings.lungs_weights.file, settings.lungs_weights.sha256)
    load_classifier(models / settings.classifier_weights.file, settings.classifier_weights.sha256)


def test_the_figures_of_readme_are_those_of_the_reports() -> None:
    lungs, volumes, classifier = map(read_report, ("lungs", "lungs_tables", "classifier"))
    assert readme_figures(lungs, volumes, classifier) in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "write"), [("lungs", lungs_card), ("classifier", classifier_card)])
def test_a_card_is_what_its_template_makes_of_the_reports(name: str, write: Callable[[], str]) -> None:
    assert write() == (CARDS / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["lungs", "classifier"])
def test_a_card_calls_no_patient_he_or_him(name: str) -> None:
    text = (CARDS / f"{name}.md").read_text(encoding="utf-8")
    assert re.findall(r"\b(?:he|him|his)\b", text) == []


def leaves(values: object, place: str = "") -> Iterator[tuple[str, object]]:
    """Every plain value of a report with its place."""
    if isinstance(values, dict | list | tuple):
        yield place, len(values)
        for key, value in values.items() if isinstance(values, dict) else enumerate(values):
            yield from leaves(value, f"{place}/{key}")
    else:
        yield place, values


@pytest.mark.slow
def test_the_tables_follow_from_the_shipped_predictions() -> None:
    report = read_report("classifier")["tables"]
    again = paper_tables.score(read_predictions(EVIDENCE), report["fingerprint"], report["source"])
    found, expected = dict(leaves(again)), dict(leaves(report))
    assert list(found) == list(expected)
    for place, value in expected.items():  # processors add fractions in another order
        assert found[place] == (pytest.approx(value, abs=1e-12) if isinstance(value, float) else value), place


def test_what_ships_has_its_evidence() -> None:
    found = {(one.row, one.task) for one in read_predictions(EVIDENCE)}
    assert {("painted", CLASSES), ("shipped", CLASSES)} | {(row.name, task) for row in ROWS for task in TASKS} == found
    for row in read_report("classifier")["folds"]["iq_oth"]:
        assert {f"{row}.{name}.npz" for name in ("iq_oth", "mosmed", "patients")} <= {
            path.name for path in (EVIDENCE / "scores").iterdir()
        }


def test_the_evidence_is_the_networks_of_the_folds_with_their_predictions_and_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, tables, evidence = tmp_path / "run", tmp_path / "tables", tmp_path / "evidence"
    files = [
        "run/classifier/fold1.safetensors",
        "run/classifier/all.safetensors",
        "run/classifier/cross_validation.json",
        "run/classifier/predictions/shipped.npz",
        "tables/scores/shipped.mosmed.npz",
    ]
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(b"")
    monkeypatch.setattr(ship, "EVIDENCE", evidence)
    ship.ship_evidence(run, tables)
    assert {path.relative_to(evidence).as_posix() for path in evidence.rglob("*") if path.is_file()} == {
        "fold1.safetensors",
        "cross_validation.json",
        "predictions/shipped.npz",
        "scores/shipped.mosmed.npz",
    }


def test_the_lungs_ablation_has_every_row() -> None:
    assert read_report("lungs_tables")["dice"]["rows_missing"] == []


def test_the_lungs_reach_their_goal_on_patients_never_trained_on() -> None:
    assert read_report("lungs")["mean_dice"] >= 0.97


def test_the_licence_of_the_weights_is_what_its_template_makes_of_the_sources() -> None:
    text = (CARDS / "LICENSE.md").read_text(encoding="utf-8")
    assert text == licence()
    for source in SOURCES:
        assert source.url in text
        assert source.licence in text


def test_the_model_folder_is_one_for_the_sdk() -> None:
    """Sub-folders alone, with one file each: a licence among them would disable it."""
    folders = list((ROOT / "models").iterdir())
    assert all(folder.is_dir() and len(list(folder.iterdir())) == 1 for folder in folders)
