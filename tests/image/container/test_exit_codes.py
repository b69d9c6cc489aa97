"""Every exit code comes out of the container, with the reason."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from groundglass.locations import ROOT
from tests.image.container.containers import Containers
from tests.image.container.studies import Studies

Expect = Callable[..., None]


@pytest.fixture
def expect(containers: Containers, measured: Callable[[str], None]) -> Expect:
    """Analyse a study, and hold the exit code and the words of the log or of result.json against what is expected."""

    def hold(study: Path, code: int, said: str, *command: str, **options: Any) -> None:
        run, results = containers.analyse(study, *command, **options)
        result = results / "result.json"
        told = run.err + (result.read_text(encoding="utf-8") if result.exists() else "")
        assert run.code == code, run.err[-300:]
        assert said in told
        measured(f"exit code {code}: {run.err.strip().splitlines()[-1][:150]}")

    return hold


def test_a_defect_ends_with_1_and_tells_nothing_of_a_patient(
    containers: Containers, studies: Studies, measured: Callable[[str], None]
) -> None:
    broken = containers.new_folder() / "saliency.py"
    broken.write_text('raise RuntimeError("a secret of the patient")\n', encoding="utf-8")
    mounts = {broken: "/opt/holoscan/app/operators/saliency.py:ro"}
    run, _ = containers.analyse(studies.small, mounts=mounts)
    assert run.code == 1
    assert "secret" not in run.err
    assert "defect" in run.err
    measured(f"exit code 1: {run.err.strip().splitlines()[-1]}")


def test_a_weight_file_that_is_not_the_validated_one_ends_with_2(
    containers: Containers, studies: Studies, expect: Expect
) -> None:
    models = containers.new_folder()
    shutil.copytree(ROOT / "models", models, dirs_exist_ok=True)
    file = next((models / "classifier").iterdir())
    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    expect(studies.small, 2, "weight file 'classifier.safetensors'", mounts={models: "/opt/holoscan/models:ro"})


def test_a_gpu_that_is_insisted_on_and_missing_ends_with_2(studies: Studies, expect: Expect) -> None:
    expect(studies.small, 2, "'cuda'", settings=studies.insists_on_gpu)


def test_an_unknown_option_ends_with_2(studies: Studies, expect: Expect) -> None:
    expect(studies.small, 2, "unrecognized", "--nonsense")


def test_no_eligible_series_ends_with_3(studies: Studies, expect: Expect) -> None:
    expect(studies.none, 3, "no_eligible_series")


def test_a_series_with_a_gap_ends_with_4(studies: Studies, expect: Expect) -> None:
    expect(studies.gap, 4, "GAP")


def test_one_case_of_two_ends_with_5(studies: Studies, expect: Expect) -> None:
    expect(studies.both, 5, "partial", settings=studies.quick)
