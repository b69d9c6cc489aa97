"""What is shipped agrees with itself: weights, hashes, evidence, cards and README."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from groundglass.domain.class_names import CLASSES
from groundglass.domain.software import sha256_of
from groundglass.locations import ROOT
from groundglass.method.decision import DecisionRule
from groundglass.method.weights import load_classifier, load_lung_network
from groundglass.settings import load_settings
from training import ship
from training.data.sources import SOURCES
from training.engine.slice_scores import SliceScores
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
    assert readme_figures(*map(read_report, ("lungs_tables", "classifier"))) in (ROOT / "README.md").read_text(
        encoding="utf-8"
    )


def test_app_yaml_has_the_operating_points_of_the_report() -> None:
    points = read_report("classifier")["folds"]["operating_points"]["shipped"]
    assert load_settings().classification.decision == DecisionRule(*(points[name] for name in ship.POINTS))


@pytest.mark.parametrize(("name", "write"), [("lungs", lungs_card), ("classifier", classifier_card)])
def test_a_card_is_what_its_template_makes_of_the_reports(name: str, write: Callable[[], str]) -> None:
    assert write() == (CARDS / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["lungs", "classifier"])
def test_a_card_calls_no_patient_he_or_him(name: str) -> None:
    text = (CARDS / f"{name}.md").read_text(encoding="utf-8")
    assert re.findall(r"\b(?:he|him|his)\b", text) == []


def test_the_networks_that_training_went_on_from_are_in_the_evidence() -> None:
    start = json.loads((EVIDENCE / "classifier.json").read_text(encoding="utf-8"))["start"]
    assert start == {path.stem: sha256_of(path) for path in (EVIDENCE / "start").glob("*.safetensors")}


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


def test_every_row_of_the_folds_has_its_scores() -> None:
    for row in read_report("classifier")["folds"]["iq_oth"]:
        assert {f"{row}.{name}.npz" for name in ("iq_oth", "mosmed", "patients")} <= {
            path.name for path in (EVIDENCE / "scores").iterdir()
        }


def test_the_folds_were_scored_by_the_networks_in_the_evidence() -> None:
    networks = [sha256_of(path) for path in sorted(EVIDENCE.glob("fold*.safetensors"))]
    for name in ("iq_oth", "mosmed", "patients"):
        assert SliceScores.load(EVIDENCE / "scores" / f"shipped.{name}.npz").weights.tolist() == networks


def evidence_shipped_of(files: Sequence[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What the evidence holds after shipping, where there were these files, empty, of run, tables and evidence."""
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(b"")
    evidence = folder / "evidence"
    monkeypatch.setattr(ship, "EVIDENCE", evidence)
    ship.ship_evidence(folder / "run", folder / "tables")
    return {path.relative_to(evidence).as_posix() for path in evidence.rglob("*") if path.is_file()}


def test_the_evidence_is_the_networks_of_the_folds_with_their_predictions_and_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [
        "run/classifier/fold1.safetensors",
        "run/classifier/all.safetensors",
        "run/classifier/classifier.json",
        "run/classifier/cross_validation.json",
        "run/classifier/predictions/shipped.npz",
        "tables/scores/shipped.mosmed.npz",
    ]
    assert evidence_shipped_of(files, tmp_path, monkeypatch) == {
        "fold1.safetensors",
        "classifier.json",
        "cross_validation.json",
        "predictions/shipped.npz",
        "scores/shipped.mosmed.npz",
    }


def test_a_run_without_lungs_leaves_their_ablation_in_the_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [
        "evidence/lungs/none/lungs.safetensors",
        "evidence/start/all.safetensors",
        "evidence/scores/old.npz",
        "evidence/fold3.safetensors",
        "run/classifier/classifier.json",
        "run/classifier/cross_validation.json",
        "run/classifier/predictions/new.npz",
        "tables/scores/new.npz",
    ]
    assert evidence_shipped_of(files, tmp_path, monkeypatch) == {
        "classifier.json",
        "cross_validation.json",
        "lungs/none/lungs.safetensors",
        "predictions/new.npz",
        "scores/new.npz",
        "start/all.safetensors",
    }


def test_a_setting_is_put_in_its_place_and_comments_stay_in_their_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ship, "ROOT", tmp_path)
    file = tmp_path / "app.yaml"
    file.write_text('a:\n  file: x\n  sha256: "01"\n  low: 0.5    # why\n  high: 0.6   # why\n', encoding="utf-8")
    ship.write_setting(r"file: x\n\s+sha256: ", '"0123"')
    ship.write_setting(r"\n  low: ", "0.35")
    assert file.read_text(encoding="utf-8") == (
        'a:\n  file: x\n  sha256: "0123"\n  low: 0.35   # why\n  high: 0.6   # why\n'
    )
    with pytest.raises(ValueError, match="0 times"):
        ship.write_setting(r"\n  middle: ", "1")


def test_tables_of_another_lung_network_do_not_ship(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lungs_tables.json").write_text('{"shipped_sha256": "0123"}', encoding="utf-8")
    monkeypatch.setattr(ship, "read_classifier_patients", lambda _: list(ship.PATIENT_CLASS))
    with pytest.raises(SystemExit):
        ship.main(["--run", str(tmp_path), "--tables", str(tmp_path)])
    assert "of other weights than" in capsys.readouterr().err


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
