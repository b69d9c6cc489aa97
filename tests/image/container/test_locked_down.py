"""An analysis succeeds without network, rights, a GPU, and anything writable but /tmp and the output."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.image.container.containers import Containers
from tests.image.container.studies import Studies


def test_a_phantom_is_analysed_from_dicom_to_dicom_by_any_user(
    containers: Containers, studies: Studies, is_quick: bool, measured: Callable[[str], None]
) -> None:
    run, results = containers.analyse(studies.covid, settings=studies.quick if is_quick else None)
    result = run.result(results)
    assert (run.code, result["status"]) == (0, "success")
    case = result["cases"][0]
    assert len(case["outputs"]) >= 4
    assert [name for name in case["outputs"] if not (results / name).is_file()] == []
    assert case["prediction"]["state"] == "present"
    assert case["boxes"]
    measured(f"covid19 found, {len(case['boxes'])} boxes, {len(case['outputs'])} files, {run.seconds:.0f} s")


@pytest.mark.data
def test_a_real_study_is_analysed(
    containers: Containers, studies: Studies, data_folder: Path, measured: Callable[[str], None]
) -> None:
    study = data_folder / "dicom" / "P001"
    if not study.is_dir():
        pytest.skip("there is no folder dicom/P001 in GROUNDGLASS_DATA")
    run, results = containers.analyse(study, settings=studies.brief)
    result = run.result(results)
    assert run.code == 0, run.err[-300:]
    assert 1000 < result["cases"][0]["lungs"]["volume_ml"] < 9000
    measured(f"{len(result['cases'][0]['slices'])} slices classified, {run.seconds:.0f} s")


def test_user_0_needs_no_rights_and_owns_the_results(
    containers: Containers, studies: Studies, measured: Callable[[str], None]
) -> None:
    run, results = containers.analyse(studies.small, settings=studies.quick, options=("--user=0:0",))
    assert run.code == 0, run.err[-300:]
    assert {path.stat().st_uid for path in results.iterdir()} == {0}
    measured(f"exit code 0, files are the user's own, {run.seconds:.0f} s")


def test_without_a_gpu_the_cpu_computes_and_one_line_says_so(
    containers: Containers, studies: Studies, measured: Callable[[str], None]
) -> None:
    run, results = containers.analyse(studies.small, settings=studies.quick)
    assert run.code == 0, run.err[-300:]
    (line,) = [line for line in run.err.splitlines() if "GPU" in line or "CUDA" in line.upper()]
    assert run.result(results)["software"]["device"] == "cpu"
    measured(line)


def test_two_containers_beside_each_other_find_the_same(
    containers: Containers, studies: Studies, measured: Callable[[str], None]
) -> None:
    with ThreadPoolExecutor() as beside:
        both = list(beside.map(lambda _: containers.analyse(studies.small, settings=studies.quick), range(2)))
    assert [run.code for run, _ in both] == [0, 0]
    one, other = (run.result(folder)["cases"][0]["prediction"] for run, folder in both)
    assert one == other
    measured("both exit code 0, and the same prediction")
