"""The manifests of an image are held against the settings."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from groundglass.locations import ROOT
from groundglass.selftest import installation
from groundglass.selftest.build_record import CODE
from groundglass.selftest.check import NotApplicable
from tests.groundglass.selftest.installed_copies import copy_in, failed

pytestmark = pytest.mark.slow  # each test has a copy of the code of its own


APP = {
    "apiVersion": "1.0.0",
    "command": '["python3", "-u", "/opt/holoscan/app"]',
    "input": {"path": "input", "formats": None},
    "output": {"path": "output", "format": None},
    "timeout": 3600,
    "type": "application",
    "version": copy_in(ROOT).version,
    "workingDirectory": "/var/holoscan",
}


PKG = {
    "apiVersion": "1.0.0",
    "version": copy_in(ROOT).version,
    "models": [
        {"name": "lungs", "path": "/opt/holoscan/models/lungs"},
        {"name": "classifier", "path": "/opt/holoscan/models/classifier"},
    ],
    "resources": {"cpu": 2, "gpu": 0, "memory": "4Gi"},
}


@pytest.fixture
def manifests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, content in (("app", APP), ("pkg", PKG)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        monkeypatch.setenv(f"HOLOSCAN_{name.upper()}_MANIFEST_PATH", str(tmp_path / f"{name}.json"))
    return tmp_path


def test_manifests_that_agree_with_the_settings_pass(manifests: Path) -> None:
    assert installation.manifests(copy_in(ROOT)).as_expected


@pytest.mark.parametrize(
    ("name", "edit", "said"),
    [
        ("app", {"version": "9.9"}, "version is 9.9"),
        ("app", {"type": "pipeline"}, "type is pipeline"),
        ("app", {"command": ""}, "no command"),
        ("app", {"input": {}}, "the path of the input is None"),
        ("app", {"environment": {"HOLOSCAN_OUTPUT_PATH": "/elsewhere"}}, "HOLOSCAN_OUTPUT_PATH has another"),
        ("pkg", {"version": "9.9"}, "version is 9.9"),
        ("pkg", {"models": []}, "models are none"),
        ("pkg", {"models": {"lungs": "/opt/holoscan/models/lungs", "classifier": "/tmp/x"}}, "classifier is in /tmp/x"),
    ],
)
def test_a_tampered_manifest_is_found(manifests: Path, name: str, edit: dict[str, Any], said: str) -> None:
    path = manifests / f"{name}.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | edit), encoding="utf-8")
    measured = installation.manifests(copy_in(ROOT))
    assert not measured.as_expected
    assert said in measured.figures


def test_a_manifest_that_asks_for_no_gpu_is_found_where_the_settings_require_one(
    manifests: Path, installed: Path
) -> None:
    settings = installed / "app.yaml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace("device: auto", "device: cuda"), encoding="utf-8")
    assert "no GPU is asked for" in installation.manifests(copy_in(installed)).figures


@pytest.mark.parametrize(
    ("needs", "said"),
    [("timeout_s: 60", "timeout is 3600"), ("memory_gib: 8", "memory is 4Gi"), ("cpus: 4", "cpu is 2")],
)
def test_a_manifest_that_states_other_needs_than_the_settings_is_found(
    manifests: Path, installed: Path, needs: str, said: str
) -> None:
    with (installed / "app.yaml").open("a", encoding="utf-8") as file:
        file.write(f"\npackage:\n  {needs}\n")
    assert said in installation.manifests(copy_in(installed)).figures


def test_a_manifest_that_is_missing_or_no_json_is_found(manifests: Path) -> None:
    (manifests / "app.json").unlink()
    (manifests / "pkg.json").write_text("{", encoding="utf-8")
    figures = installation.manifests(copy_in(ROOT)).figures
    assert "app.json can't be read" in figures
    assert "pkg.json can't be read" in figures


def test_any_change_of_a_recorded_manifest_is_found(installed: Path, manifests: Path) -> None:
    """A record may hold files outside of its folder, by their absolute paths: an image's holds its manifests."""
    manifest = manifests / "app.json"
    command = [sys.executable, "-B", "-m", "groundglass.selftest.build_record", *CODE, str(manifest)]
    subprocess.run(command, cwd=installed, check=True, capture_output=True)
    assert failed(installed) == {}
    manifest.write_text(json.dumps(APP | {"remark": "changed"}), encoding="utf-8")
    assert failed(installed) == {"IQ-02": f"{manifest} has been changed"}


def test_a_copy_without_manifests_is_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("APP", "PKG"):
        monkeypatch.setenv(f"HOLOSCAN_{name}_MANIFEST_PATH", str(tmp_path / "nowhere.json"))
    with pytest.raises(NotApplicable, match="not an image"):
        installation.manifests(copy_in(ROOT))
