"""The command line as a user or an orchestrator calls it: exit codes, messages, what is in the output folder."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from pydicom import DataElement

from app import SETTINGS_FILE
from app.exit_codes import ExitCode
from tests.app.runs import read_result
from tests.dicomio.ct_samples import PATIENT_NAME, Sample, cut_in_half, make_series, write_series
from tests.dicomio.outputs_fixture import dciodvfy_errors
from validation.phantom.study import write_study
from validation.phantom.thorax import make_thorax

REPOSITORY = Path(__file__).resolve().parents[2]


class Run:
    """One call of the application in a process of its own."""

    def __init__(self, tmp_path: Path, study: Path, *extra: str) -> None:
        self.out = tmp_path / "out"
        command = [sys.executable, "-m", "app", "-i", str(study), "-o", str(self.out), "-m", "models", *extra]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)
        self.code, self.told = done.returncode, done.stderr + done.stdout

    @property
    def result(self) -> dict:
        return read_result(self.out)

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.out.iterdir())


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


def test_an_empty_folder_has_no_eligible_series(tmp_path: Path, study: Path) -> None:
    run = Run(tmp_path, study)
    assert run.code == ExitCode.NO_ELIGIBLE_SERIES
    assert run.result["status"] == "no_eligible_series"
    assert run.files == ["result.json"]
    assert "No series can be analysed" in run.told


def test_files_that_are_no_dicom_are_listed_with_a_reason(tmp_path: Path, study: Path) -> None:
    (study / "deep").mkdir()
    (study / "deep" / "notes.txt").write_text("nothing to see", encoding="utf-8")
    run = Run(tmp_path, study)
    assert run.code == ExitCode.NO_ELIGIBLE_SERIES
    (ignored,) = run.result["files_ignored"]
    assert ignored["file"] == "deep/notes.txt"
    assert ignored["reason"]


def test_a_study_with_no_ct_is_rejected_with_a_reason(tmp_path: Path, study: Path) -> None:
    def as_mr(image, index: int) -> None:
        image.Modality = "MR"

    write_series(study, make_series(Sample(), as_mr))
    run = Run(tmp_path, study)
    assert run.code == ExitCode.NO_ELIGIBLE_SERIES
    (rejected,) = run.result["series_rejected"]
    assert any("CT" in reason for reason in rejected["reasons"])
    assert run.files == ["result.json"]


def test_a_file_cut_in_half_refuses_its_series_and_names_no_patient(tmp_path: Path, study: Path) -> None:
    paths = write_series(study, make_series(Sample()))
    cut_in_half(paths[-1])  # at the end of the series, where no gap gives it away
    run = Run(tmp_path, study)
    assert run.code == ExitCode.ALL_FAILED
    (case,) = run.result["cases"]
    assert case["status"] == "refused"
    assert case["reason"]["code"] == "DAMAGED_FILES"
    assert run.files == ["case-001.sr.dcm", "result.json"]
    assert PATIENT_NAME not in run.told
    assert "SECRET" not in run.told


def test_defects_of_the_headers_are_named_without_their_values(tmp_path: Path, study: Path) -> None:
    def edit(image, index: int) -> None:
        image.add(DataElement("StudyDate", "DA", "SECRET DAY", validation_mode=pydicom.config.IGNORE))
        image.PatientID = "SECRET" * 20

    write_series(study, make_series(Sample(), edit, skip=[13]))
    run = Run(tmp_path, study)
    (case,) = run.result["cases"]
    assert case["reason"]["code"] == "GAP"
    assert {"attribute": "StudyDate", "problem": "is not a date YYYYMMDD"} in case["source_defects"]
    assert {"attribute": "PatientID", "problem": "is longer than LO allows (64 characters)"} in case["source_defects"]
    assert "SECRET" not in run.told + (run.out / "result.json").read_text(encoding="utf-8")
    assert dciodvfy_errors(run.out / "case-001.sr.dcm") == []


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_a_series_without_the_uid_of_its_study_or_its_own_is_rejected_with_the_reason(
    tmp_path: Path, study: Path, keyword: str
) -> None:
    write_series(study, make_series(Sample(), lambda image, index: setattr(image, keyword, "")))
    run = Run(tmp_path, study)
    assert run.code == ExitCode.NO_ELIGIBLE_SERIES
    (rejected,) = run.result["series_rejected"]
    level = keyword.removesuffix("InstanceUID")
    assert rejected["reasons"][0].startswith(f"30 images have no {level} Instance UID")
    assert run.result["files_ignored"] == []


def test_a_missing_slice_is_never_passed_over(tmp_path: Path, study: Path) -> None:
    write_series(study, make_series(Sample(), skip=[13]))
    run = Run(tmp_path, study)
    assert run.code == ExitCode.ALL_FAILED
    assert run.result["cases"][0]["reason"]["code"] == "GAP"


@pytest.mark.slow
def test_one_bad_study_leaves_the_others_untouched_and_the_code_says_so(tmp_path: Path, study: Path) -> None:
    volume, truth = make_thorax("normal", slices=40, size=192)
    write_study(volume, study / "b", preset="normal")
    write_series(study / "a", make_series(Sample(study="1.2.3.1", series="1.2.3.1.1"), skip=[5]))
    (study / "c").mkdir()
    (study / "c" / "readme.txt").write_text("no DICOM", encoding="utf-8")
    run = Run(tmp_path, study)
    assert run.code == ExitCode.PARTIAL
    assert run.result["status"] == "partial"
    by_status = {case["status"]: case for case in run.result["cases"]}
    assert by_status["refused"]["reason"]["code"] == "GAP"
    assert by_status["analysed"]["lungs"]["volume_ml"] == pytest.approx(truth.right_ml + truth.left_ml, rel=0.05)
    assert sorted(case["case"] for case in run.result["cases"]) == ["case-001", "case-002"]


def test_a_missing_input_folder_is_a_usage_error(tmp_path: Path) -> None:
    run = Run(tmp_path, tmp_path / "nowhere")
    assert run.code == ExitCode.USAGE
    assert "does not exist" in run.told


@pytest.mark.parametrize("option", ["-i", "-o", "-m"])
def test_an_empty_path_is_a_usage_error_and_not_the_folder_that_one_is_in(tmp_path: Path, option: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app", option, ""], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, "the path is empty" in done.stderr) == (ExitCode.USAGE, True)
    assert not list(tmp_path.iterdir())


def test_an_output_folder_that_cannot_be_written_is_a_usage_error(tmp_path: Path, study: Path) -> None:
    (tmp_path / "out").write_text("a file stands where the folder should be", encoding="utf-8")
    run = Run(tmp_path, study)
    assert run.code == ExitCode.USAGE
    assert "can't be written" in run.told


def test_a_second_run_into_one_output_folder_is_refused_and_takes_nothing_away(tmp_path: Path, study: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "case-001.sr.dcm").write_bytes(b"of the run under way")
    folder = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        second = Run(tmp_path, study)
    finally:
        os.close(folder)
    assert (second.code, second.files) == (2, ["case-001.sr.dcm"])
    assert "Another run is writing into the output folder" in second.told


def test_a_wrong_weight_file_is_refused_by_name(tmp_path: Path, study: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(REPOSITORY / "models", models)
    weights = models / "classifier" / "classifier.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    run = Run(tmp_path, study, "-m", str(models))
    assert run.code == ExitCode.USAGE
    assert "classifier.safetensors" in run.told
    assert "SHA-256" in run.told


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
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.NO_ELIGIBLE_SERIES, done.stderr


def test_wrong_settings_are_refused_by_name(tmp_path: Path, study: Path) -> None:
    settings = tmp_path / "app.yaml"
    text = SETTINGS_FILE.read_text(encoding="utf-8")
    settings.write_text(text.replace("maximum_slices:", "maximum_slicse:"), encoding="utf-8")
    run = Run(tmp_path, study, "--settings", str(settings))
    assert run.code == ExitCode.USAGE
    assert "maximum_slices" in run.told


def test_results_of_an_earlier_run_are_replaced_and_other_files_stay(tmp_path: Path, study: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "case-007.seg.dcm").write_bytes(b"stale")
    (out / "letter.txt").write_text("keep", encoding="utf-8")
    run = Run(tmp_path, study)
    assert run.files == ["letter.txt", "result.json"]


@pytest.mark.parametrize("command", [["-m", "app"], ["app"], ["."]])
def test_every_way_to_start_it_works(command: list[str]) -> None:
    run = subprocess.run(
        [sys.executable, *command, "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0
    assert "exit codes" in run.stdout


def test_paths_come_from_the_environment_where_no_option_gives_them(tmp_path: Path, study: Path) -> None:
    out = tmp_path / "out"
    environment = {
        "HOLOSCAN_INPUT_PATH": str(study),
        "HOLOSCAN_OUTPUT_PATH": str(out),
        "HOLOSCAN_MODEL_PATH": str(REPOSITORY / "models"),
        "PATH": "/usr/bin:/bin",
    }
    command = [sys.executable, str(REPOSITORY / "app")]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert run.returncode == ExitCode.NO_ELIGIBLE_SERIES
    assert (out / "result.json").is_file()
