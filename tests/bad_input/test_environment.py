"""Bad surroundings: folders, weights, settings and machines that are not as they should be."""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from app.command_line import main
from groundglass.exit_codes import ExitCode
from groundglass.locations import ROOT, SETTINGS_FILE
from tests.app.runs import read_result
from tests.bad_input.case import every, series

GAP = series(skip={12})


@dataclass
class Place:
    """Where a case is prepared: `PLANTED` in the path must not be told."""

    root: Path

    @property
    def input(self) -> Path:
        return self.root / "PLANTED in"

    @property
    def out(self) -> Path:
        return self.root / "PLANTED out"

    @property
    def settings(self) -> Path:
        return self.root / "app.yaml"

    def models(self) -> Path:
        """A copy of the weights, to be spoiled."""
        return Path(shutil.copytree(ROOT / "models", self.root / "models"))

    def with_settings(self, old: str, new: str) -> list[str]:
        """Settings in which one text is another."""
        text = SETTINGS_FILE.read_text(encoding="utf-8")
        assert old in text
        self.settings.write_text(text.replace(old, new, 1), encoding="utf-8")
        return ["--settings", str(self.settings)]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.input.mkdir()
    GAP(place.input)
    return place


Prepare = Callable[[Place], list[str] | None]
"""Spoils the surroundings and returns further arguments."""


def no_input(place: Place) -> None:
    shutil.rmtree(place.input)


def input_is_a_file(place: Place) -> None:
    no_input(place)
    place.input.write_bytes(b"")


def out_is_a_file(place: Place) -> None:
    place.out.write_bytes(b"")


def out_lies_under_a_file(place: Place) -> list[str]:
    place.out.write_bytes(b"")
    return ["-o", str(place.out / "deeper")]


def result_is_a_folder(place: Place) -> None:
    (place.out / "result.json").mkdir(parents=True)


def out_is_kernel_memory(place: Place) -> list[str]:
    return ["-o", "/proc/groundglass"]


def out_has_too_long_a_name(place: Place) -> list[str]:
    return ["-o", str(place.root / ("x" * 300))]


def out_is_a_link_to_nothing(place: Place) -> None:
    place.out.symlink_to("nowhere/at/all")


def no_models(place: Place) -> list[str]:
    return ["-m", str(place.root / "nowhere")]


def weights(spoil: Callable[[Path], object]) -> Prepare:
    def prepare(place: Place) -> list[str]:
        models = place.models()
        spoil(models / "classifier" / "classifier.safetensors")
        return ["-m", str(models)]

    return prepare


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def pickled(path: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, path)


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def settings(text: str | bytes) -> Prepare:
    def prepare(place: Place) -> list[str]:
        place.settings.write_bytes(text if isinstance(text, bytes) else text.encode())
        return ["--settings", str(place.settings)]

    return prepare


def changed(old: str, new: str) -> Prepare:
    return lambda place: place.with_settings(old, new)


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + last] * 9)}]\n" for last, name in zip("abcdefgh", "bcdefghi", strict=True)
)
BY_HASH = "SHA-256"

# fmt: off
UNUSABLE: dict[str, tuple[Prepare, str]] = {
    "no input folder": (no_input, "does not exist"),
    "the input folder is a file": (input_is_a_file, "The input is a file"),
    "the output folder is a file": (out_is_a_file, "can't be written"),
    "the output folder lies under a file": (out_lies_under_a_file, "can't be written"),
    "a folder stands where result.json belongs": (result_is_a_folder, "can't be written"),
    "the output folder is the kernel's": (out_is_kernel_memory, "can't be written"),
    "the output folder has too long a name": (out_has_too_long_a_name, "can't be written"),
    "the output folder is a link to nothing": (out_is_a_link_to_nothing, "can't be written"),
    "no folder of weights": (no_models, "lungs.safetensors"),
    "a weight file is missing": (weights(Path.unlink), "classifier.safetensors"),
    "a weight file is empty": (weights(lambda path: path.write_bytes(b"")), BY_HASH),
    "a weight file is cut": (weights(lambda path: os.truncate(path, 999)), BY_HASH),
    "one bit of a weight file is another": (weights(flipped), BY_HASH),
    "a weight file is a pickle": (weights(pickled), BY_HASH),
    "a weight file is a folder": (weights(as_folder), "classifier.safetensors"),
    "no settings file": (lambda place: ["--settings", str(place.settings)], "can't be read"),
    "settings that are empty": (settings(""), "app.yaml"),
    "settings that are no YAML": (settings("a: [1"), "not valid YAML"),
    "settings that are no text": (settings(b"\xff\xfe\x00"), "app.yaml"),
    "settings that build Python objects": (settings("a: !!python/object/apply:os.system [echo]"), "not valid YAML"),
    "settings that laugh a thousand million times": (settings(LAUGHS), "app.yaml"),
    "a setting left out": (changed("device: auto", ""), "'device' is missing"),
    "a setting nobody knows": (changed("threads: 2", "threads: 2\n  treads: 2"), "treads"),
    "a setting of another type": (changed("threads: 2", "threads: two"), "volume.threads"),
    "a setting out of its range": (changed("threads: 2", "threads: 0"), "must lie between 1 and 64"),
    "a setting that is not a number": (changed("grid_mm: 2.0", "grid_mm: .nan"), "lungs.grid_mm"),
    "a weight file outside the folder of weights": (
        changed("file: lungs/lungs.safetensors", "file: ../../../../etc/passwd"), ""),
    "a GPU that is not there": (changed("device: auto", "device: cuda"), "no usable GPU"),
}
# fmt: on


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_be_used_is_told_in_a_sentence_that_names_no_folder(
    name: str, place: Place, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    prepare, words = UNUSABLE[name]
    if "GPU" in name and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    arguments = prepare(place) or []
    with caplog.at_level(logging.INFO, "groundglass"):
        code = main(["-i", str(place.input), "-o", str(place.out), "-m", "models", *arguments])
    assert code == ExitCode.USAGE
    assert words in caplog.text
    told = caplog.text + "".join(capfd.readouterr())
    assert "Traceback" not in told
    assert "PLANTED" not in told
    assert not (place.out / "result.json").is_file()


def refused_with_gap(done_code: int, out: Path) -> None:
    assert done_code == ExitCode.ALL_FAILED
    assert sorted(path.name for path in out.iterdir() if path.name.startswith((".", "case", "result"))) == [
        "case-001.sr.dcm",
        "result.json",
    ]


def test_results_beside_the_images_are_no_input_of_the_next_run(place: Place) -> None:
    """The output folder is the input folder: each run replaces the results and finds the same series."""
    arguments = ["-i", str(place.input), "-o", str(place.input), "-m", "models"]
    images = {path.name for path in place.input.iterdir()}
    for _ in range(2):
        refused_with_gap(main(arguments), place.input)
    assert {path.name for path in place.input.iterdir()} == images | {"case-001.sr.dcm", "result.json"}


def test_what_a_killed_run_has_left_behind_is_cleared_away(place: Place) -> None:
    place.out.mkdir()
    (place.out / ".case-001.seg.dcm.7.part").write_bytes(b"half")
    (place.out / ".result.json.12345.part").write_bytes(b"half")
    (place.out / ".case-notes.part").write_bytes(b"mine")
    assert main(["-i", str(place.input), "-o", str(place.out), "-m", "models"]) == ExitCode.ALL_FAILED
    assert sorted(os.listdir(place.out)) == [".case-notes.part", "case-001.sr.dcm", "result.json"]


def run_in_shell(place: Place, closed: str, *before: str, **environment: str) -> int:
    """Exit code of the application in a process of its own, without some of its standard files; `before` starts it."""
    command = f'exec "$@" {closed}'
    program = [*before, sys.executable, "-m", "app", "-i", str(place.input), "-o", str(place.out), "-m", "models"]
    return subprocess.run(
        ["/bin/sh", "-c", command, "sh", *program],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
        timeout=300,
    ).returncode


@pytest.mark.slow
def test_it_runs_where_the_environment_offers_nothing(place: Place) -> None:
    """A locale without letters, no home, no folder for temporary files, and nothing to read from."""
    (place.input / "été \N{SNOWMAN}").write_bytes(b"?")
    (place.input / os.fsdecode(b"\xff\xfe")).write_bytes(b"?")
    nothing = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "HOME": "/nonexistent"}
    code = run_in_shell(place, "<&-", **nothing, TMPDIR="/nonexistent")
    refused_with_gap(code, place.out)
    assert len(read_result(place.out)["files_ignored"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "options"),
    [
        (("-m", "app"), ("-i", "in", "-o", "out", "-m", "models", "--settings", "app.yaml")),
        (("-m", "groundglass", "analyse"), ("in", "out", "-m", "models", "--settings", "app.yaml")),
    ],
)
def test_every_path_may_be_other_bytes_than_utf_8(
    place: Place, program: tuple[str, ...], options: tuple[str, ...]
) -> None:
    """As on a share that Windows or an old Linux has written; the graph's engine knows no such text."""
    folder = place.root / os.fsdecode(b"M\xfcller")
    folder.mkdir()
    place.input.rename(folder / "in")
    place.models().rename(folder / "models")
    shutil.copy(SETTINGS_FILE, folder / "app.yaml")
    arguments = [word if word.startswith("-") else str(folder / word) for word in options]
    done = subprocess.run(
        [sys.executable, *program, *arguments],
        cwd=ROOT,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == ExitCode.ALL_FAILED, done.stderr.decode("utf-8", "replace")
    assert read_result(folder / "out")["cases"][0]["reason"]["code"] == "GAP"


def test_a_study_of_links_out_of_the_folder_is_told_in_the_log(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = tmp_path / "elsewhere"
    place.input.rename(elsewhere)
    place.input.mkdir()
    for path in elsewhere.iterdir():
        (place.input / path.name).symlink_to(path)
    assert main(["-i", str(place.input), "-o", str(place.out), "-m", "models"]) == ExitCode.NO_ELIGIBLE_SERIES
    assert "23 files ignored: symbolic link to a folder or out of the input folder, not followed" in caplog.text


def test_folders_that_mix_patients_are_named_in_the_result_and_nowhere_else(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.input.rename(place.root / "study")
    place.input.mkdir()
    (place.root / "study").rename(place.input / "now UNTOLD")
    (place.input / "before").mkdir()
    series(every(PatientID="OTHER"))(place.input / "before")
    assert main(["-i", str(place.input), "-o", str(place.out), "-m", "models"]) == ExitCode.ALL_FAILED
    (case,) = read_result(place.out)["cases"]
    assert case["reason"]["code"] == "MIXED_PATIENTS"
    (told,) = (item["problem"] for item in case["source_defects"] if item["attribute"] == "PatientID")
    assert told == (
        "is not the same in all images; the folders of each patient: 24 images in 'before'; 23 images in 'now UNTOLD'"
    )
    assert "UNTOLD" not in caplog.text
    assert b"UNTOLD" not in (place.out / "case-001.sr.dcm").read_bytes()


def unlistable(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Folders of these names may not be listed, as for another user: root lists them all."""
    scandir = os.scandir

    def refuse(path: str) -> object:
        if os.path.basename(path) in names:
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)


@pytest.mark.parametrize("name", [".snapshot", ".Trash-1000", "@eaDir", "lost+found", "#recycle"])
def test_a_file_servers_own_folder_that_may_not_be_listed_is_told_and_left_out(
    name: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.input / "deep" / name).mkdir(parents=True)
    unlistable(monkeypatch, name)
    assert main(["-i", str(place.input), "-o", str(place.out), "-m", "models"]) == ExitCode.ALL_FAILED
    (ignored,) = read_result(place.out)["files_ignored"]
    assert ignored["file"] == f"deep/{name}"
    assert "file server" in ignored["reason"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (".private", "The folder .private in the input folder, 2 deep, can't be listed (Permission denied)"),
        ("PLANTED", "A folder in the input folder, 2 deep ('-l DEBUG' tells its name), can't be listed"),
    ],
)
def test_another_folder_that_may_not_be_listed_ends_the_run_and_is_told_apart(
    name: str, told: str, place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (place.input / "deep" / name).mkdir(parents=True)
    unlistable(monkeypatch, name)
    assert main(["-i", str(place.input), "-o", str(place.out), "-m", "models"]) == ExitCode.USAGE
    assert told in caplog.text
    assert "PLANTED" not in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-"])
def test_it_runs_where_nobody_listens(place: Place, closed: str) -> None:
    refused_with_gap(run_in_shell(place, closed), place.out)


@pytest.fixture
def read_only(place: Place) -> Iterator[Place]:
    """The input on a file system that takes no write."""
    commands = (["--bind", place.input, place.input], ["-o", "remount,ro,bind", place.input])
    for command in commands:
        if subprocess.run(["mount", *map(str, command)], capture_output=True, check=False).returncode:
            pytest.skip("no right to mount a file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place.input)], check=True)


def test_the_input_may_be_read_only(read_only: Place) -> None:
    refused_with_gap(main(["-i", str(read_only.input), "-o", str(read_only.out), "-m", "models"]), read_only.out)


def test_an_output_folder_that_is_read_only_is_told_before_anything_is_read(
    read_only: Place, caplog: pytest.LogCaptureFixture
) -> None:
    code = main(["-i", str(read_only.input), "-o", str(read_only.input), "-m", "models"])
    assert code == ExitCode.USAGE
    assert "Read-only file system" in caplog.text


@pytest.mark.slow
def test_files_that_may_not_be_read_are_told_and_their_slices_are_missed(place: Place) -> None:
    """Nobody listens to standard error here, as in the test above to the others."""
    before: list[str] = []
    if os.geteuid() == 0:  # root reads everything unless it does without that right
        if shutil.which("setpriv") is None:
            pytest.skip("root reads every file, and there is no setpriv to take that right away")
        rights = "-dac_override,-dac_read_search"
        before = ["setpriv", "--bounding-set", rights, "--inh-caps", rights]
    path = sorted(place.input.iterdir())[5]
    path.chmod(0)
    refused_with_gap(run_in_shell(place, "2>&-", *before), place.out)
    assert "check its permissions" in (place.out / "result.json").read_text(encoding="utf-8")
