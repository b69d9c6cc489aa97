"""Whole cohorts: killed and resumed here, and on a Ray cluster that loses workers."""

import contextlib
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from pyarrow import parquet
from pydicom import dcmread
from ray.cluster_utils import Cluster

from groundglass.cohort.results import Results, name_study
from tests.app.runs import Run
from tests.groundglass.cohort.archives import start, wait_for, write_archive


def results_of(folder: Path) -> dict[str, Any]:
    """What result.json tells of the study itself: not how long it took, nor where the archive has its files."""
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    for case in result["cases"]:
        del case["timings_s"]
    return {name: value for name, value in result.items() if name != "files_ignored"}


def under_way(results: Results) -> list[Path]:
    """The folders that workers write a study into, with the worker's process in their names."""
    return list(results.folder.glob("studies/*/.*.part"))


def patiently(start_node: Callable[[], Any]) -> Any:
    """What starts a part of a Ray cluster, again where the machine is too busy for the 30 s that Ray gives it."""
    for _ in range(4):
        with contextlib.suppress(Exception):
            return start_node()
    return start_node()


@pytest.mark.slow
def test_a_cohort_redoes_no_study_but_one_whose_images_changed_and_finds_what_the_application_finds(
    tmp_path: Path, quick: Path, small_run: Run
) -> None:
    sources = write_archive(tmp_path / "archive", studies=2)
    results = Results(tmp_path / "out")
    killed = start(tmp_path / "archive", results.folder, quick)
    (first,) = wait_for(lambda: list(results.finished()), killed)
    wait_for(lambda: under_way(results), killed)
    killed.kill()
    killed.communicate()
    before = {path: (path / "result.json").stat().st_mtime_ns for path in results.finished()}
    assert first in before
    assert len(before) < 2

    resumed = start(tmp_path / "archive", results.folder, quick)
    told = resumed.communicate(timeout=600)[1]
    assert resumed.returncode == 0, told
    assert f"Studies that have their results already: {len(before)}." in told
    assert {path.name for path in results.finished()} == sources.keys()
    assert {path: (path / "result.json").stat().st_mtime_ns for path in before} == before
    assert list(results.folder.glob("studies/*/.*")) == []
    assert parquet.read_table(results.folder / "cases.parquet").column("status").to_pylist() == ["analysed"] * 2

    # One of the two is the small study, which the application itself has analysed.
    (uid,) = {case["study_instance_uid"] for case in small_run.result["cases"]}
    same = results.place(name_study(uid))
    assert results_of(same) == results_of(small_run.out)
    assert sorted(path.name for path in same.iterdir()) == sorted([*small_run.files, "images.sha256"])
    for name in (name for name in small_run.files if name.endswith(".dcm")):
        ours, expected = dcmread(same / name), dcmread(small_run.out / name)
        assert ours.SOPInstanceUID == expected.SOPInstanceUID
        if "PixelData" in expected:
            assert np.array_equal(ours.pixel_array, expected.pixel_array)

    sorted(sources[first.name].iterdir())[5].unlink()  # from the middle: the gap is refused at once
    before = {path: (path / "result.json").stat().st_mtime_ns for path in results.finished()}
    changed = start(tmp_path / "archive", results.folder, quick)
    told = changed.communicate(timeout=600)[1]
    assert changed.returncode == 0, told
    assert "Studies whose images have changed since their last results: 1." in told
    after = {path: (path / "result.json").stat().st_mtime_ns for path in results.finished()}
    assert [path for path in before if after[path] != before[path]] == [first]
    statuses = {row["study"]: row["status"] for row in parquet.read_table(results.folder / "cases.parquet").to_pylist()}
    assert statuses == {name: "refused" if name == first.name else "analysed" for name in sources}


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_and_a_machine_ends_with_every_study_once(
    tmp_path: Path, quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    sources = write_archive(tmp_path / "archive", studies=3)
    results = Results(tmp_path / "out")
    cluster = patiently(lambda: Cluster(initialize_head=True, head_node_args={"num_cpus": 1}))
    try:
        second = patiently(lambda: cluster.add_node(num_cpus=1))
        cohort = start(tmp_path / "archive", results.folder, quick, "--ray", cluster.address)
        (killed, *_) = wait_for(lambda: under_way(results), cohort)
        os.kill(int(killed.name.split(".")[-2]), signal.SIGKILL)
        # Whose study is done again: one more is under way for certain, on either machine.
        wait_for(lambda: [folder for folder in under_way(results) if folder.name != killed.name], cohort)
        cluster.remove_node(second, allow_graceful=False)
        told = cohort.communicate(timeout=600)[1]
    finally:
        cluster.shutdown()
        ray.shutdown()
    assert cohort.returncode == 0, told
    assert {path.name for path in results.finished()} == sources.keys()
    cases = parquet.read_table(results.folder / "cases.parquet").to_pylist()
    assert sorted((case["study"], case["status"]) for case in cases) == [(name, "analysed") for name in sorted(sources)]
