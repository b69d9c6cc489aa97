"""The self-test passes a sound copy, finds whatever is wrong with another, and tells it to the validator."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from groundglass.domain.software import sha256_of
from groundglass.locations import ROOT
from groundglass.selftest import __main__ as command_line
from groundglass.selftest import installation, traceability
from groundglass.selftest.build_record import CODE, FILE_NAME
from groundglass.selftest.catalogue import CHECKS, INSTALLATION, NOT_COVERED, OPERATION, REQUIREMENTS
from groundglass.selftest.check import Check, Measured, NotApplicable, carry_out
from groundglass.selftest.installed_copy import Copy
from groundglass.selftest.report import to_html, to_picture
from groundglass.selftest.samples import SAMPLES

pytestmark = pytest.mark.slow  # each test has a copy of the code of its own

WITHOUT_CACHES = shutil.ignore_patterns("__pycache__")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what runs, with its build's record."""
    folder = tmp_path_factory.mktemp("sound")
    for name in CODE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=WITHOUT_CACHES)
        else:
            shutil.copy(ROOT / name, folder / name)
    command = [sys.executable, "-B", "-m", "groundglass.selftest.build_record", "--commit", "1f0c2d3"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def installed(sound: Path, tmp_path: Path) -> Path:
    """A copy of that copy, to be spoilt."""
    return shutil.copytree(sound, tmp_path / "installed", ignore=WITHOUT_CACHES)


def copy_in(folder: Path) -> Copy:
    return Copy(folder.parent, folder / "models", folder / FILE_NAME, code=folder)


def start_selftest(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output of the self-test in the copy in `folder`."""
    command = [sys.executable, "-B", "-m", "groundglass.selftest", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1200, check=False)
    return done.returncode, done.stdout + done.stderr


QUICK = [check for check in INSTALLATION if check.measure not in (installation.package_files, installation.device)]
"""Without what hashes all packages."""


def failed(folder: Path) -> dict[str, str]:
    """What was measured by the quick checks of the installation that fail."""
    copy = copy_in(folder)
    outcomes = [carry_out(check, copy) for check in QUICK]
    return {outcome.id: outcome.measured for outcome in outcomes if outcome.verdict == "failed"}


# Installation qualification


@pytest.mark.slow
def test_a_sound_copy_passes_and_its_report_is_written(installed: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    code, told = start_selftest(installed, "--out", str(out), "--no-operational")
    assert code == 0, told
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "results.json"]
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert results["verdict"] == "passed"
    assert results["software"]["Commit"] == "1f0c2d3"
    assert [check["id"] for check in results["checks"]] == [check.id for check in INSTALLATION]
    assert {item["verdict"] for item in results["requirements"] if item["id"] == "R-15"} == {"not run"}


@pytest.mark.slow
def test_the_exit_code_and_the_report_say_what_is_wrong(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_line, "INSTALLATION", QUICK)
    (installed / "groundglass" / "method" / "boxes.py").unlink()
    record = ["--build-record", str(installed / FILE_NAME)]  # what it records lies beside it
    assert command_line.main(["--out", str(tmp_path / "report"), "--no-operational", *record]) == 1
    assert "groundglass/method/boxes.py is missing" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")


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


# Manifests


APP = {
    "apiVersion": "1.0.0",
    "command": '["python3", "-u", "/opt/holoscan/app"]',
    "input": {"path": "input", "formats": None},
    "output": {"path": "output", "format": None},
    "timeout": 3600,
    "type": "application",
    "version": "0.1.0",
    "workingDirectory": "/var/holoscan",
}
PKG = {
    "apiVersion": "1.0.0",
    "version": "0.1.0",
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


@pytest.mark.slow
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


# The command line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--out"),
        (["--out", "{file}"], "can't be written"),
        (["--out", "{folder}", "--models", "{folder}/nowhere"], "does not exist"),
        (["--out", "{folder}", "--build-record", "{folder}/nowhere"], "does not exist"),
    ],
)
def test_a_call_that_cannot_be_carried_out_is_refused(
    tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    filled = [argument.format(file=tmp_path / "file", folder=tmp_path) for argument in arguments]
    with pytest.raises(SystemExit) as refused:
        command_line.main(filled)
    assert refused.value.code == 2
    assert said in capsys.readouterr().err


def test_help_has_examples_and_exit_codes() -> None:
    code, told = start_selftest(ROOT, "--help")
    assert code == 0
    assert "examples:" in told
    assert "exit codes: 0 passed; 1 a check failed" in told


# The catalogue


def test_ids_are_unique_and_in_order() -> None:
    ids = [check.id for check in CHECKS]
    assert ids == [f"IQ-{n:02d}" for n in range(1, len(INSTALLATION) + 1)] + [
        f"OQ-{n:02d}" for n in range(1, len(OPERATION) + 1)
    ]


def test_every_check_covers_requirements_that_exist() -> None:
    assert [
        check.id for check in CHECKS if not check.requirements or set(check.requirements) - REQUIREMENTS.keys()
    ] == []


def test_every_requirement_has_a_check_or_is_named_as_not_covered_with_the_reason() -> None:
    covered = {requirement for check in CHECKS for requirement in check.requirements}
    assert REQUIREMENTS.keys() - covered == NOT_COVERED.keys()
    assert all(NOT_COVERED.values())


def test_every_sample_of_bad_input_has_a_check() -> None:
    names = [check.measure.keywords["name"] for check in OPERATION if "name" in getattr(check.measure, "keywords", {})]
    assert sorted(names) == sorted(SAMPLES)


def test_docs_traceability_is_current() -> None:
    """Write it again with: python -m groundglass.selftest.traceability"""
    assert traceability.DOCUMENT.read_text(encoding="utf-8") == traceability.to_markdown()


def test_a_check_that_cannot_come_to_its_end_has_failed() -> None:
    def fall_over(subject: object) -> Measured:
        raise KeyError("lungs")

    outcome = carry_out(Check("X", (), "", "", fall_over), None)
    assert outcome.verdict == "failed"
    assert "KeyError" in outcome.measured


# The report


class Page(HTMLParser):
    """What a page loads, and the text that it shows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attributes if name in ("src", "href", "action", "srcset")]

    def handle_data(self, data: str) -> None:
        self.text += data


def results_of(*checks: dict[str, Any]) -> dict[str, Any]:
    filled = {"requirements": ["R-15"], "title": "Lungs", "expected": "5 %", "measured": "1 %", "seconds": 1.0}
    return {
        "created": "2026-01-01 12:00:00 UTC",
        "verdict": "failed" if any(check["verdict"] == "failed" for check in checks) else "passed",
        "operational": True,
        "counts": {v: sum(c["verdict"] == v for c in checks) for v in ("passed", "failed", "not applicable")},
        "software": {"Name": "Groundglass", "Version": "0.1.0"},
        "machine": {"Machine": "<node>"},
        "checks": [filled | check for check in checks],
        "requirements": [
            {"id": "R-15", "text": "Volumes.", "checks": ["OQ-07"], "not_covered": "", "verdict": "passed"},
            {"id": "R-14", "text": "Defects.", "checks": [], "not_covered": "No defect.", "verdict": "not covered"},
        ],
    }


def test_the_report_needs_no_other_file_and_has_fields_to_sign(tmp_path: Path) -> None:
    Image.new("RGB", (2000, 1000)).save(tmp_path / "preview.png")
    picture = to_picture("Phantom <covid19>", tmp_path / "preview.png")
    text = to_html(results_of({"id": "OQ-07", "verdict": "passed"}), [picture])
    page = Page(text)
    assert [load[:23] for load in page.loads] == ["data:image/jpeg;base64,"]
    assert not re.search(r"@import|url\(", text)
    for field in ("Name", "Date", "Signature", "<node>", "Phantom <covid19>", "Not covered: No defect."):
        assert field in page.text


def test_the_report_names_what_failed_before_anything_else() -> None:
    checks = [{"id": "IQ-02", "verdict": "passed"}, {"id": "OQ-07", "verdict": "failed", "measured": "12 % off"}]
    text = Page(to_html(results_of(*checks), [])).text
    assert text.index("Failed") < text.index("OQ-07 Lungs: 12 % off") < text.index("Installation qualification")
