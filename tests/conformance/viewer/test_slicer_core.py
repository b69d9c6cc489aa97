"""What 3D Slicer has in its scene is held against the files, and whatever it has otherwise is noticed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from conformance.tools import ToolMissing
from conformance.viewer import slicer_core
from conformance.viewer.case import Case, affine_of
from tests.conformance.viewer.results import write_case

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return write_case(tmp_path_factory.mktemp("case"))


def saved(case: Case, folder: Path) -> dict[str, Any]:
    """What in_slicer.py saves of a case that Slicer has as it is, slices from the other end; returns the job."""
    flip = np.diag([-1.0, 1.0, 1.0, 1.0])
    flip[0, 3] = len(case.sources) - 1
    images = [dcmread(path) for path in case.source_paths]
    np.save(
        folder / "images.npy", np.stack([i.pixel_array * i.RescaleSlope + i.RescaleIntercept for i in images])[::-1]
    )
    np.save(folder / "affine.npy", affine_of(case.sources) @ flip)
    ((path, masks),) = case.masks.items()
    for number, (_, mask) in masks.items():
        np.save(folder / f"0-{number}.npy", mask[::-1])
    names = {f"0-{number}": label for number, (label, _) in masks.items()}
    (folder / "result.json").write_text(json.dumps({"names": names, "problem": ""}))
    return {"segmentations": [{"of": str(path), "segments": {str(number): {} for number in masks}}]}


def problems(case: Case, folder: Path, job: dict[str, Any]) -> list[str]:
    return [finding.what.partition(",")[0] for finding in slicer_core.compare(case, folder, job) if finding.problem]


def test_a_scene_that_holds_everything_has_no_problem(case: Case, tmp_path: Path) -> None:
    job = saved(case, tmp_path)
    assert problems(case, tmp_path, job) == []
    assert len(list(slicer_core.compare(case, tmp_path, job))) == 1 + len(next(iter(case.masks.values())))


def test_what_slicer_has_otherwise_is_noticed(case: Case, tmp_path: Path) -> None:
    job = saved(case, tmp_path)
    mask = np.load(tmp_path / "0-1.npy")
    np.save(tmp_path / "0-1.npy", np.roll(mask, 1, axis=2))
    assert problems(case, tmp_path, job) == ["seg: Right lung"]
    np.save(tmp_path / "0-1.npy", mask)
    affine = np.load(tmp_path / "affine.npy")
    np.save(tmp_path / "affine.npy", affine + np.diag([0.0, 0, 0, 0]) + np.pad([[0.5]], ((0, 3), (3, 0))))
    assert problems(case, tmp_path, job)[0] == "source: 24 images"
    np.save(tmp_path / "affine.npy", affine)
    result = json.loads((tmp_path / "result.json").read_text())
    result["names"]["0-1"] = "Segment_1"
    del result["names"]["0-2"]
    (tmp_path / "result.json").write_text(json.dumps(result))
    assert problems(case, tmp_path, job) == ["seg: Right lung", "seg: Left lung"]
    (tmp_path / "result.json").write_text(json.dumps({"names": {}, "problem": "ValueError: Slicer makes 2 volumes"}))
    assert problems(case, tmp_path, job) == ["loads"]


def test_the_environment_that_is_missing_is_named_with_the_command_that_makes_it(
    case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(slicer_core, "PYTHON", tmp_path / "venv" / "bin" / "python")
    with pytest.raises(ToolMissing, match="make viewer"):
        list(slicer_core.look([case]))
