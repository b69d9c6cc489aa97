from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from groundglass.app_yaml import AppYaml, View
from groundglass.changed_settings import write_changed_settings
from groundglass.locations import SETTINGS_FILE
from groundglass.method.lung_segmentation import VIEWS
from groundglass.settings import load_settings, result_settings_sha256
from groundglass.settings_file import Schema, SettingsError, schema_of


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
        ("research", "steps", 12.0, "research.steps"),
        ("research", "rule", "simpson", "gauss_legendre"),
        ("research", "gradient_power", True, "research.gradient_power"),
        ("research", "joint_blur_mm", float("nan"), r"between 0 and 50 \(a number\), and is nan"),
        ("saliency", "maximum_slices", 10_001, r"between 1 and 10000 \(a whole number\), and is 10001"),
        ("classification", "hide_outside_lungs", "yes", "true or false, and is 'yes'"),
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
        ("output", "fhir", "R4", "output.fhir"),
        ("output", "segmentation", "fractional", "binary, labelmap"),
        ("output", "segmentations", ["lungs", "lesions"], "output.segmentations"),
        ("output", "rt_structure_set", "yes", "true or false"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(
    tmp_path: Path, section: str, key: str, value: object, told: str
) -> None:
    with pytest.raises(SettingsError, match=told):
        load_settings(write_changed_settings(tmp_path / "changed.yaml", **{section: {key: value}}))


def test_every_fault_of_the_file_is_told_at_once_in_a_sentence_each(tmp_path: Path) -> None:
    file = write_changed_settings(
        tmp_path / "site.yaml",
        device="tpu",
        research={"steps": 0, "setps": 12},
        lungs={"windows_hu": [[1, 2], [3, 4]]},
        package=5,
        saliency={"spacing_mm": None},
    )
    with pytest.raises(SettingsError) as refused:
        load_settings(file)
    assert str(refused.value).splitlines() == [
        "site.yaml: the setting 'device' must be one of auto, cpu, cuda, and is 'tpu'.",
        "site.yaml: the setting 'lungs.windows_hu' must be a list of 1 to 16 windows, each a width and a step in HU, "
        "1 <= step <= width <= 4096, and is [[1, 2], [3, 4]].",
        "site.yaml: the setting 'saliency.spacing_mm' must lie between 0 and 10 (a number), and is empty.",
        "site.yaml: the setting 'package' must hold named settings, and is 5.",
        "site.yaml: the setting 'research.steps' must lie between 1 and 1000 (a whole number), and is 0.",
        "site.yaml: the setting 'research.setps' is unknown. Did you mean 'research.steps'? The setting 'research' may "
        "hold reading, rule, steps, proved_slices, joint_factor, gradient_power, joint_blur_mm, joint_part.",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("device: auto\nlungs: [1, 2\nvolume: 3\n", "line 3, column 7"),
        ("device: auto\n\tlungs: 1\n", "line 2, column 1"),
        ("device: auto\ndevice: cpu\n", "line 2, column 1: 'device' is given twice"),
    ],
)
def test_a_file_that_is_no_yaml_is_told_by_its_name_and_line(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"site\.yaml") as refused:
        load_settings(file)
    assert said in str(refused.value)
    assert "unicode string" not in str(refused.value)


def test_a_setting_that_nothing_resembles_has_no_suggestion(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(SETTINGS_FILE.read_text(encoding="utf-8") + "\nqqq: 1\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"'qqq' is unknown\. The file may hold device, selection"):
        load_settings(file)


def test_an_error_shows_a_long_value_in_short(tmp_path: Path) -> None:
    file = write_changed_settings(tmp_path / "site.yaml", lungs={"views": ["x" * 999] * 99})
    with pytest.raises(SettingsError, match=r"lungs\.views") as refused:
        load_settings(file)
    assert len(str(refused.value)) < 1_000


def settings_of(schema: Schema, path: str = "") -> dict[str, Schema]:
    """Every setting of a file by its path."""
    found = {}
    for name, part in schema["properties"].items():
        found |= settings_of(part, f"{path}{name}.") if "properties" in part else {f"{path}{name}": part}
    return found


@pytest.mark.parametrize(("path", "schema"), settings_of(schema_of(AppYaml)).items())
def test_every_setting_has_a_meaning_a_source_and_both_ends_of_its_range(path: str, schema: Schema) -> None:
    assert schema["description"].endswith(".")
    assert schema["source"]
    if schema["type"] in ("integer", "number"):
        assert schema["minimum"] < schema["maximum"]
        assert schema["unit"]


def test_the_views_that_may_be_named_are_those_that_the_method_knows() -> None:
    assert get_args(View) == tuple(VIEWS)


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
        digest(output={"fhir": True}),
        digest(selection={"rules": {"selections": [rule]}}),
    ]
    assert len({shipped, *others}) == 6
