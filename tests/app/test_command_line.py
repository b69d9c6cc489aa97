"""The command line as a user or an orchestrator calls it: exit codes, messages, what is in the output folder."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import DataElement

from groundglass.exit_codes import ExitCode
from groundglass.locations import ROOT, SETTINGS_FILE
from tests.app.runs import Run, call, run
from tests.groundglass.dicomio.ct_samples import PATIENT_NAME, Sample, cut_in_half, make_series, write_series
from tests.groundglass.dicomio.outputs_fixture import dciodvfy_errors


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


def sample(number: int) -> Sample:
    """A series of a study of its own."""
    return Sample(study=f"1.2.3.{number}", series=f"1.2.3.{number}.1")


@pytest.fixture(scope="module")
def nothing_eligible(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A text, a series of MR, one without the UID of its study, and one without its own."""
    folder = tmp_path_factory.mktemp("nothing")
    study = folder / "in"
    (study / "deep").mkdir(parents=True)
    (study / "deep" / "notes.txt").write_text("nothing to see", encoding="utf-8")
    spoilt = {"Modality": "MR", "StudyInstanceUID": "", "SeriesInstanceUID": ""}
    for number, (keyword, value) in enumerate(spoilt.items()):

        def spoil(image: pydicom.Dataset, index: int, keyword: str = keyword, value: str = value) -> None:
            setattr(image, keyword, value)

        write_series(study / keyword, make_series(sample(number), spoil))
    return call(study, folder / "out")


def test_where_no_series_is_eligible_the_code_says_so_and_there_is_a_result_alone(nothing_eligible: Run) -> None:
    assert nothing_eligible.code == ExitCode.NO_ELIGIBLE_SERIES
    assert len(nothing_eligible.result["series_rejected"]) == 3
    assert nothing_eligible.files == ["result.json"]


def test_files_that_are_no_dicom_are_listed_with_a_reason_and_no_others(nothing_eligible: Run) -> None:
    (ignored,) = nothing_eligible.result["files_ignored"]
    assert ignored["file"] == "deep/notes.txt"
    assert ignored["reason"]


def test_a_series_that_is_no_ct_is_rejected_with_a_reason(nothing_eligible: Run) -> None:
    (rejected,) = [
        each for each in nothing_eligible.result["series_rejected"] if each["series_instance_uid"] == "1.2.3.0.1"
    ]
    assert any("CT" in reason for reason in rejected["reasons"])


@pytest.mark.parametrize("level", ["Study", "Series"])
def test_a_series_without_the_uid_of_its_study_or_its_own_is_rejected_with_the_reason(
    nothing_eligible: Run, level: str
) -> None:
    firsts = [each["reasons"][0] for each in nothing_eligible.result["series_rejected"]]
    assert sum(first.startswith(f"30 images have no {level} Instance UID") for first in firsts) == 1


def test_a_missing_slice_is_never_passed_over(tmp_path: Path, study: Path) -> None:
    write_series(study, make_series(Sample(), skip=[13]))
    done = call(study, tmp_path / "out")
    assert done.code == ExitCode.ALL_FAILED
    assert done.result["cases"][0]["reason"]["code"] == "GAP"


@pytest.fixture(scope="module")
def mixed(small_study: Path, quick: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A process with a study that is analysed among bad ones: a gap, a file cut in half, defects of the headers."""
    folder = tmp_path_factory.mktemp("mixed")
    study = folder / "in"

    def spoil(image: pydicom.Dataset, index: int) -> None:
        image.add(DataElement("StudyDate", "DA", "SECRET DAY", validation_mode=pydicom.config.IGNORE))
        image.PatientID = "SECRET" * 20

    write_series(study / "a", make_series(sample(1), skip=[5]))
    shutil.copytree(small_study, study / "b")
    (study / "c").mkdir()
    (study / "c" / "readme.txt").write_text("no DICOM", encoding="utf-8")
    cut_in_half(write_series(study / "d", make_series(sample(2)))[-1])  # at the end, where no gap gives it away
    write_series(study / "e", make_series(sample(3), spoil, skip=[13]))
    return run(study, folder / "out", "--settings", str(quick))


def case_of(done: Run, study: str) -> dict[str, Any]:
    (case,) = [case for case in done.result["cases"] if case["study_instance_uid"] == study]
    return case


@pytest.mark.slow
def test_bad_studies_leave_the_others_untouched_and_the_code_says_so(mixed: Run, small_run: Run) -> None:
    assert mixed.code == ExitCode.PARTIAL
    assert mixed.result["status"] == "partial"
    assert [case["case"] for case in mixed.result["cases"]] == [f"case-{number:03d}" for number in range(1, 5)]
    assert case_of(mixed, "1.2.3.1")["reason"]["code"] == "GAP"
    (alone,) = small_run.result["cases"]
    beside = case_of(mixed, alone["study_instance_uid"])
    assert beside["status"] == "analysed"
    of_the_run = ("case", "outputs", "timings_s")
    assert {name: beside[name] for name in beside if name not in of_the_run} == {
        name: alone[name] for name in alone if name not in of_the_run
    }


@pytest.mark.slow
def test_a_file_cut_in_half_refuses_its_series_and_names_no_patient(mixed: Run) -> None:
    case = case_of(mixed, "1.2.3.2")
    assert case["status"] == "refused"
    assert case["reason"]["code"] == "DAMAGED_FILES"
    assert [name for name in mixed.files if name.startswith(case["case"])] == [f"{case['case']}.sr.dcm"]
    assert PATIENT_NAME not in mixed.told
    assert "SECRET" not in mixed.told


@pytest.mark.slow
def test_defects_of_the_headers_are_named_without_their_values(mixed: Run) -> None:
    case = case_of(mixed, "1.2.3.3")
    assert case["reason"]["code"] == "GAP"
    assert {"attribute": "StudyDate", "problem": "is not a date YYYYMMDD"} in case["source_defects"]
    assert {"attribute": "PatientID", "problem": "is longer than LO allows (64 characters)"} in case["source_defects"]
    assert "SECRET" not in mixed.told + (mixed.out / "result.json").read_text(encoding="utf-8")
    assert dciodvfy_errors(mixed.out / f"{case['case']}.sr.dcm") == []


def test_a_missing_input_folder_is_a_usage_error(tmp_path: Path) -> None:
    done = call(tmp_path / "nowhere", tmp_path / "out")
    assert done.code == ExitCode.USAGE
    assert "does not exist" in done.told


@pytest.mark.parametrize("option", ["-i", "-o", "-m"])
def test_an_empty_path_is_a_usage_error_and_not_the_folder_that_one_is_in(tmp_path: Path, option: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app", option, ""], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, "the path is empty" in done.stderr) == (ExitCode.USAGE, True)
    assert not list(tmp_path.iterdir())


def test_an_output_folder_that_cannot_be_written_is_a_usage_error(tmp_path: Path, study: Path) -> None:
    (tmp_path / "out").write_text("a file stands where the folder should be", encoding="utf-8")
    done = call(study, tmp_path / "out")
    assert done.code == ExitCode.USAGE
    assert "can't be written (it is a file)" in done.told


@pytest.mark.parametrize("place", ["in", "in/results", "link", "link/results", "out/../in"])
def test_results_among_the_images_are_warned_of(tmp_path: Path, study: Path, place: str) -> None:
    (tmp_path / "link").symlink_to(study)
    done = call(study, tmp_path / place)
    assert done.code == ExitCode.NO_ELIGIBLE_SERIES
    assert "The result folder lies in the study folder" in done.told


def test_a_study_may_lie_in_the_folder_of_its_results(tmp_path: Path, study: Path) -> None:
    assert "lies in the study folder" not in call(study, tmp_path).told


def test_a_second_run_into_one_output_folder_is_refused_and_takes_nothing_away(tmp_path: Path, study: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "case-001.sr.dcm").write_bytes(b"of the run under way")
    folder = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        second = call(study, out)
    finally:
        os.close(folder)
    assert (second.code, second.files) == (2, ["case-001.sr.dcm"])
    assert "Another run is writing into the output folder" in second.told


@pytest.mark.parametrize("wrong", ["-m", "-i", "--settings"])
def test_a_call_that_can_not_be_carried_out_keeps_the_results_of_the_last_one(
    tmp_path: Path, study: Path, wrong: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "case-001.sr.dcm").write_bytes(b"of the last run")
    done = call(study, out, wrong, str(tmp_path / "nowhere"))
    assert (done.code, done.files) == (ExitCode.USAGE, ["case-001.sr.dcm"])


def test_a_wrong_weight_file_is_refused_by_name(tmp_path: Path, study: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(ROOT / "models", models)
    weights = models / "classifier" / "classifier.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    done = call(study, tmp_path / "out", "-m", str(models))
    assert done.code == ExitCode.USAGE
    assert "classifier.safetensors" in done.told
    assert "SHA-256" in done.told


@pytest.mark.slow
def test_a_user_without_a_name_can_run_it(tmp_path: Path, study: Path) -> None:
    """Containers run with any uid, most of which the system's list of users does not have."""
    code = (
        "import os, pwd, sys\n"
        "def unknown(uid): raise KeyError(uid)\n"
        "pwd.getpwuid = unknown\n"
        "[os.environ.pop(name, None) for name in ('LOGNAME', 'USER', 'LNAME', 'USERNAME')]\n"
        "from app.command_line import run_and_exit\n"
        "run_and_exit()\n"
    )
    command = [sys.executable, "-c", code, "-i", str(study), "-o", str(tmp_path / "out"), "-m", "models"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.NO_ELIGIBLE_SERIES, done.stderr


def test_wrong_settings_are_refused_by_name(tmp_path: Path, study: Path) -> None:
    settings = tmp_path / "app.yaml"
    text = SETTINGS_FILE.read_text(encoding="utf-8")
    settings.write_text(text.replace("maximum_slices:", "maximum_slicse:"), encoding="utf-8")
    done = call(study, tmp_path / "out", "--settings", str(settings))
    assert done.code == ExitCode.USAGE
    assert "maximum_slices" in done.told


@pytest.mark.parametrize("command", [["-m", "app"], ["app"], ["."]])
def test_every_way_to_start_it_works(command: list[str]) -> None:
    done = subprocess.run([sys.executable, *command, "--help"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "exit codes" in done.stdout


def test_the_application_starts_without_the_networks_in_its_help() -> None:
    """`--help` must answer at once: nothing heavy is imported for it."""
    code = "import sys, app.command_line as c\ntry:\n c.main(['--help'])\nfinally:\n print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip().endswith("False")


@pytest.fixture(scope="module")
def by_environment(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A process without an option, on an empty folder, where an earlier run and somebody else have left files."""
    folder = tmp_path_factory.mktemp("environment")
    study, out = folder / "in", folder / "out"
    study.mkdir()
    out.mkdir()
    (out / "case-007.seg.dcm").write_bytes(b"stale")
    (out / "letter.txt").write_text("keep", encoding="utf-8")
    environment = {
        "HOLOSCAN_INPUT_PATH": str(study),
        "HOLOSCAN_OUTPUT_PATH": str(out),
        "HOLOSCAN_MODEL_PATH": str(ROOT / "models"),
        "PATH": "/usr/bin:/bin",
    }
    command = [sys.executable, str(ROOT / "app")]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return Run(out, done.returncode, done.stderr + done.stdout)


@pytest.mark.slow
def test_paths_come_from_the_environment_where_no_option_gives_them(by_environment: Run) -> None:
    assert by_environment.code == ExitCode.NO_ELIGIBLE_SERIES
    assert (by_environment.out / "result.json").is_file()


@pytest.mark.slow
def test_an_empty_folder_has_no_eligible_series(by_environment: Run) -> None:
    assert by_environment.result["status"] == "no_eligible_series"
    assert "No series can be analysed" in by_environment.told


@pytest.mark.slow
def test_results_of_an_earlier_run_are_replaced_and_other_files_stay(by_environment: Run) -> None:
    assert by_environment.files == ["letter.txt", "result.json"]


def test_a_package_of_the_graph_that_is_missing_is_named_with_what_to_do(
    small_study: Path, quick: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make demo` installs the library alone."""

    def missing() -> None:
        raise ModuleNotFoundError("No module named 'monai'", name="monai")

    monkeypatch.setattr("app.engine.import_engine", missing)
    done = call(small_study, tmp_path / "out", "--settings", str(quick))
    assert done.code == ExitCode.USAGE
    assert "The package monai is missing" in done.told
    assert "groundglass analyse" in done.told


def test_an_empty_folder_is_told_as_one(quick: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    done = call(tmp_path / "in", tmp_path / "out", "--settings", str(quick))
    assert done.code == ExitCode.NO_ELIGIBLE_SERIES
    assert "the folder holds no file" in done.told


def test_the_log_gives_the_reason_of_each_series_that_is_rejected(nothing_eligible: Run) -> None:
    lines = nothing_eligible.told.splitlines()
    assert "No series can be analysed: 3 series rejected, 1 files ignored." in lines
    assert "1 series rejected: The modality is MR, not CT." in lines
    assert any(line.startswith("1 files ignored: ") for line in lines)
