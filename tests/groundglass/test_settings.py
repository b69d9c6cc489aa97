from pathlib import Path
from typing import Any

import pytest
import yaml

from groundglass.changed_settings import write_changed_settings
from groundglass.locations import SETTINGS_FILE
from groundglass.settings import SettingsError, load_settings, result_settings_sha256


def test_the_shipped_settings_are_valid() -> None:
    settings = load_settings()
    assert settings.lungs.views == ("axial", "coronal", "sagittal")
    assert settings.explanation.maximum_slices >= 1


@pytest.mark.parametrize(
    ("section", "key", "value", "told"),
    [
        ("research", "steps", "many", "research.steps"),
        ("research", "steps", 0, "between"),
        ("research", "steps", True, "research.steps"),
        ("research", "rule", "simpson", "gauss_legendre"),
        ("saliency", "setps", 8, "setps"),
        ("lungs", "views", ["axial", "oblique"], "lungs.views"),
        ("lungs", "views", [["axial"]], "lungs.views"),
        ("lungs", "windows_hu", [[1400, 2000]], "lungs.windows_hu"),
        ("lungs", "windows_hu", [[float("inf"), 20]], "lungs.windows_hu"),
        ("lungs", "windows_hu", [], "lungs.windows_hu"),
        ("classification", "window_hu", "wide", "classification.window_hu"),
        ("classification", "window_hu", [1_000_000, 20], "classification.window_hu"),
        ("selection", "rules", {"selections": [{"name": "x", "conditions": {"Modalty": "CT"}}]}, "no DICOM keyword"),
        ("selection", "rules", [], "selection.rules"),
        ("output", "saliency_map", 1, "output.saliency_map"),
        ("output", "segmentation", "fractional", "binary, labelmap"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(
    tmp_path: Path, section: str, key: str, value: object, told: str
) -> None:
    with pytest.raises(SettingsError, match=told):
        load_settings(write_changed_settings(tmp_path / "changed.yaml", **{section: {key: value}}))


def test_a_missing_setting_is_named(tmp_path: Path) -> None:
    content = yaml.safe_load(SETTINGS_FILE.read_text(encoding="utf-8"))
    del content["research"]["rule"]
    (tmp_path / "app.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(SettingsError, match=r"research\.rule' is missing"):
        load_settings(tmp_path / "app.yaml")


def test_a_setting_that_is_given_twice_is_refused_by_its_name(tmp_path: Path) -> None:
    text = SETTINGS_FILE.read_text(encoding="utf-8")
    (tmp_path / "app.yaml").write_text(f"{text}\ndevice: cpu\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="'device' is given twice"):
        load_settings(tmp_path / "app.yaml")


@pytest.mark.parametrize("content", ["", "[1, 2]", "device: [", "just words"])
def test_a_file_that_is_no_settings_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "app.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError):
        load_settings(tmp_path / "app.yaml")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be read"):
        load_settings(tmp_path / "none.yaml")


def test_the_digest_of_the_settings_tells_those_apart_that_shape_a_result(tmp_path: Path) -> None:
    def digest(**changes: Any) -> str:
        return result_settings_sha256(load_settings(write_changed_settings(tmp_path / "changed.yaml", **changes)))

    shipped = digest()
    assert digest(device="cpu", volume={"threads": 7}, package={"cpus": 9}) == shipped
    assert digest(models={"lungs": {"file": "lungs/other.safetensors", "sha256": "0" * 64}}) == shipped
    rule = {"name": "thin", "conditions": {"SliceThickness": [0.5, 2]}}
    others = [
        digest(research={"steps": 25}),
        digest(classification={"minimum_lung_cm2": 50}),
        digest(output={"saliency_map": True}),
        digest(selection={"rules": {"selections": [rule]}}),
    ]
    assert len({shipped, *others}) == 5
