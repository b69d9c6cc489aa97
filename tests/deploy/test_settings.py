"""The settings of the bridge, and what is made of the models of all settings."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from deploy.orthanc.archive import Archive, Unreachable
from deploy.orthanc.settings import DEFAULTS, load_settings
from deploy.settings_page import files
from groundglass.locations import ROOT, SETTINGS_FILE
from groundglass.settings_file import SettingsError


def test_the_shipped_settings_are_valid_and_others_take_their_place(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("queue: {attempts: 2}\ndestination: pacs\n")
    settings, shipped = load_settings(file), load_settings()
    assert (settings.attempts, settings.destination, settings.workers) == (2, "pacs", shipped.workers)
    assert settings.command_for(Path("/in"), Path("/out"))[:4] == [sys.executable, "-m", "groundglass", "worker"]
    assert settings.stays
    assert [shipped.retry_after_s(tries) for tries in (1, 2, 3, 100)] == [60, 120, 240, 3600]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("queue: {atempts: 2}", r"'queue\.atempts' is unknown"),
        ("queue: {workers: 0}", r"'queue\.workers' must lie between 1 and 64 \(a whole number\), and is 0\."),
        ("queue: {workers: true}", r"'queue\.workers' .* and is True"),
        ("queue: {first_retry_s: .nan}", r"'queue\.first_retry_s' must lie between .* and is nan"),
        ("queue: 5", "'queue' must hold named settings, and is 5"),
        ("queue: {workers: 1}\nqueue: {workers: 2}", "'queue' is given twice"),
        ("1: 2", "'1' is unknown"),
        ("orthanc: {url: localhost}", r"'orthanc\.url' must .* http.*, and is 'localhost'"),
        ("application: {command: ['{input}']}", "has no {output}"),
        ("application: {command: ['{volume}']}", "'{volume}'"),
        ("application: {command: [1]}", r"'application\.command' must be a list of words"),
        ("orthanc: {password_file: none}", r"password_file names can't be read"),
        ("monitoring: {log_level: loud}", "one of debug, info, warning, error, and is 'loud'"),
        ("- a list", "must hold named settings"),
        ("a: [", "is not valid YAML"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "site.yaml").write_text(text)
    with pytest.raises(SettingsError, match=said):
        load_settings(tmp_path / "site.yaml")


def test_every_fault_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("queue: {workers: 0, atempts: 2}\northanc: {url: localhost}\n")
    with pytest.raises(SettingsError) as refused:
        load_settings(tmp_path / "site.yaml")
    lines = str(refused.value).splitlines()
    assert len(lines) == 3
    assert all(line.startswith(str(tmp_path / "site.yaml")) and line.endswith(".") for line in lines)


def test_the_bridge_reads_its_settings_without_the_packages_of_the_application() -> None:
    program = "import sys, deploy.orthanc.settings as own; own.load_settings(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"torch", "numpy", "pydicom", "jsonschema"} & set(done.stdout.split()) == set()


@pytest.mark.parametrize(("path", "text"), files().items(), ids=lambda value: getattr(value, "name", ""))
def test_what_is_made_of_the_models_is_up_to_date(path: Path, text: str) -> None:
    told = f"Run `python -m deploy.settings_page` to write {path.name} again."
    assert path.read_text(encoding="utf-8") == text, told


@pytest.mark.parametrize(
    ("schema", "file"),
    [("groundglass/settings.schema.json", SETTINGS_FILE), ("deploy/orthanc/bridge.schema.json", DEFAULTS)],
)
def test_the_shipped_files_keep_to_their_schemas(schema: str, file: Path) -> None:
    content = json.loads((ROOT / schema).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(content)
    validator = jsonschema.Draft202012Validator(content)
    values = yaml.safe_load(file.read_text(encoding="utf-8"))
    validator.validate(values)
    assert not validator.is_valid(values | {"unknown": 1})
    named = file.read_text(encoding="utf-8").splitlines()[0].partition("$schema=")[2]
    assert (file.parent / named).resolve() == ROOT / schema


def test_an_editor_takes_a_file_of_a_site_with_some_settings_alone() -> None:
    schema = json.loads(DEFAULTS.with_name("bridge.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate({"queue": {"attempts": 2}}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"queue": {"attempts": 0}}, schema)


def test_an_orthanc_that_does_not_answer_is_told_with_what_to_check(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("orthanc: {url: 'http://127.0.0.1:1'}\n")  # no program listens there
    with pytest.raises(Unreachable, match=r"\(ConnectError\)\. Check orthanc\.url, and that Orthanc runs\."):
        Archive(load_settings(file)).last_change()
