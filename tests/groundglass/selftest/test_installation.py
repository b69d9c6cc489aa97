"""The installation qualification passes a sound copy, and finds whatever is wrong with another."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from groundglass.domain.software import sha256_of
from groundglass.locations import ROOT
from groundglass.selftest import installation
from groundglass.selftest.build_record import FILE_NAME
from groundglass.selftest.catalogue import INSTALLATION
from groundglass.selftest.check import carry_out
from tests.groundglass.selftest.installed_copies import copy_in, failed

pytestmark = pytest.mark.slow  # each test has a copy of the code of its own


def test_a_sound_copy_has_no_failed_check(installed: Path) -> None:
    assert failed(installed) == {}


@pytest.mark.parametrize(
    "name",
    ["groundglass/method/boxes.py", "app.yaml", "groundglass/result.schema.json", "groundglass/selftest/check.py"],
)
def test_a_changed_file_is_found(installed: Path, name: str) -> None:
    with (installed / name).open("a", encoding="utf-8") as file:
        file.write("\n")
    assert failed(installed) == {"IQ-02": f"{name} has been changed"}


def test_a_missing_file_is_found(installed: Path) -> None:
    (installed / "groundglass" / "dicomio" / "writing" / "codes.py").unlink()
    assert failed(installed) == {"IQ-02": "groundglass/dicomio/writing/codes.py is missing"}


@pytest.mark.parametrize("name", ["groundglass/method/torch.py", "models/classifier/other.safetensors", "app/.hidden"])
def test_an_added_file_is_found(installed: Path, name: str) -> None:
    (installed / name).write_text("", encoding="utf-8")
    assert failed(installed) == {"IQ-03": f"{name} has been added"}


def test_a_changed_weight_file_is_found_by_the_record_and_by_the_settings(installed: Path) -> None:
    file = installed / "models" / "classifier" / "classifier.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    found = failed(installed)
    assert found.keys() == {"IQ-02", "IQ-05"}
    assert "app.yaml names" in found["IQ-05"]


def test_missing_weights_are_found(installed: Path, tmp_path: Path) -> None:
    other = replace(copy_in(installed), models=tmp_path / "elsewhere")
    measured = installation.weights(other)
    assert not measured.as_expected
    assert "lungs/lungs.safetensors is missing" in measured.figures


def test_weights_that_could_hold_a_program_are_found(installed: Path) -> None:
    file = installed / "models" / "lungs" / "lungs.safetensors"
    file.write_bytes(b"\x80\x04\x95 a pickle, not a safetensors file")
    settings = installed / "app.yaml"
    old = sha256_of(ROOT / "models" / "lungs" / "lungs.safetensors")
    settings.write_text(settings.read_text(encoding="utf-8").replace(old, sha256_of(file)), encoding="utf-8")
    assert "lungs.safetensors is not a safetensors file" in installation.weights(copy_in(installed)).figures


def test_a_compiled_file_that_is_not_its_source_is_found(installed: Path) -> None:
    code = "import sys; sys.dont_write_bytecode = False; import groundglass.method.morphology, groundglass.method.boxes"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, "-c", code], cwd=installed, env=environment, check=True)
    good = installation.compiled_files(copy_in(installed))
    assert good.as_expected
    assert not good.figures.startswith("0 ")
    (cache,) = (installed / "groundglass" / "method" / "__pycache__").glob("boxes.*.pyc")
    (other,) = (installed / "groundglass" / "method" / "__pycache__").glob("morphology.*.pyc")
    cache.write_bytes(
        cache.read_bytes()[:16] + other.read_bytes()[16:]
    )  # Python would run this as groundglass.method.boxes
    assert failed(installed) == {
        "IQ-04": f"groundglass/method/__pycache__/{cache.name} is not what its source compiles to"
    }


def edit_record(installed: Path, edit: Any) -> None:
    record = json.loads((installed / FILE_NAME).read_text(encoding="utf-8"))
    edit(record)
    (installed / FILE_NAME).write_text(json.dumps(record), encoding="utf-8")


@pytest.mark.parametrize(
    ("edit", "id", "said"),
    [
        (lambda record: record["packages"].update(numpy="0.9"), "IQ-07", "recorded is 0.9"),
        (lambda record: record["packages"].update(no_such_package="1.0"), "IQ-07", "no-such-package is missing"),
        (lambda record: record["packages"].pop("numpy"), "IQ-07", "has been added"),
        (lambda record: record.update(python="3.10.1"), "IQ-06", "recorded 3.10.1"),
        (lambda record: record.update(version="0.0.1"), "IQ-01", "the application says"),
        (lambda record: record.pop("files"), "IQ-02", "lacks version, files or packages"),
    ],
)
def test_another_environment_or_version_than_the_recorded_one_is_found(
    installed: Path, edit: Any, id: str, said: str
) -> None:
    edit_record(installed, edit)
    assert said in failed(installed)[id]


def test_without_a_record_nothing_is_proved(installed: Path) -> None:
    copy = replace(copy_in(installed), record_file=None)
    outcomes = {check.id: carry_out(check, copy) for check in INSTALLATION[:3]}
    assert {outcome.verdict for outcome in outcomes.values()} == {"failed"}
    assert "make validate" in outcomes["IQ-01"].measured


def test_a_changed_file_of_a_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    information = tmp_path / "sample-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.4\nName: sample\nVersion: 1.0\n")
    (tmp_path / "sample.py").write_text("x = 1\n")
    (information / "RECORD").write_text("sample.py,sha256=sXNi6BpEfUoDdwy5cAAOvZ6AZJNsfrYRQ90rTW0V0nU,6\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    (tmp_path / FILE_NAME).write_text(json.dumps({"version": "1.0", "files": {}, "packages": {}}))
    assert "sample.py has been changed" in installation.package_files(copy_in(tmp_path)).figures
    (tmp_path / "sample.py").unlink()
    assert "sample lacks 1 files of its wheel" in installation.package_files(copy_in(tmp_path)).figures
