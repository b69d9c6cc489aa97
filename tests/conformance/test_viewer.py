"""The viewer's screen shows what the files hold, and a screen that shows something else is noticed."""

import json
from pathlib import Path

import numpy as np
import pytest

from conformance.objects import write_outputs
from conformance.series import case_of, write_phantom
from conformance.tools import VIEWER_PACKAGES, ToolMissing, find
from conformance.viewer.__main__ import main
from conformance.viewer.browser import Measured, show
from conformance.viewer.screen import Case, Line, compare

pytestmark = pytest.mark.slow

FILES = {"SEG": "seg", "SR": "sr", "key images": "key-image-01", "saliency map": "saliency"}


def write_case(orientation: str, folder: Path) -> Case:
    """Outputs of the phantom as a run of the application leaves them."""
    series = write_phantom(orientation, folder / "study")
    (folder / "results").mkdir()
    for output in write_outputs(series, folder / "written", FILES.__contains__):
        output.path.rename(folder / "results" / f"case-001.{FILES[output.name]}.dcm")
    source = {"case": "case-001", "series_instance_uid": series.sources[0].SeriesInstanceUID}
    result = {"cases": [{**source, **case_of(series)}]}
    (folder / "results" / "result.json").write_text(json.dumps(result, default=float))
    return Case.read(folder / "study", folder / "results", "case-001")


@pytest.fixture(scope="module", params=["axial, feet to head", "non-square pixels"])
def shown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Measured]:
    for program in VIEWER_PACKAGES:
        try:
            find(program)
        except ToolMissing as missing:
            pytest.skip(str(missing))
    folder = tmp_path_factory.mktemp("viewer")
    case = write_case(request.param, folder)
    measured = show(case.files, case.job, folder / "screen.png")
    assert (folder / "screen.png").stat().st_size > 10_000
    return case, measured


def differing(case: Case, measured: Measured) -> dict[str, int]:
    lines: list[Line] = list(compare(case, measured))
    return {line.what: line.differing for line in lines if line.differing}


def test_the_screen_shows_what_the_files_hold(shown: tuple[Case, Measured]) -> None:
    case, measured = shown
    lines = {line.what.partition(",")[0] for line in compare(case, measured) if line.held}
    assert {"Right lung", "Left lung", "Saliency of COVID-19", "Boxes", "Saliency map", "Key image 1"} <= lines
    # cornerstone3D 5.14.0 takes the two pixel spacings for one another where it places a box of a report.
    known = set() if case.grid[0] == case.grid[1] else {f"Boxes, slice {index + 1}" for index in case.job["slices"]}
    assert differing(case, measured).keys() == known


def test_a_screen_that_shows_something_else_is_noticed(shown: tuple[Case, Measured]) -> None:
    case, measured = shown
    if differing(case, measured):
        return  # of non-square pixels, see above
    index = case.job["slices"][0]
    mask = np.frombuffer(measured[f"case-001.seg.dcm/{index}/1"], np.uint8).reshape(case.grid)
    boxes = [[left + 1, *others] for left, *others in json.loads(measured[f"boxes/{index}"])]
    changed = {f"case-001.seg.dcm/{index}/1": mask[:, ::-1].tobytes(), f"boxes/{index}": json.dumps(boxes).encode()}
    assert differing(case, measured | changed).keys() == {f"Right lung, slice {index + 1}", f"Boxes, slice {index + 1}"}


def test_results_of_a_patient_are_shown_only_where_a_place_for_the_picture_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["--results", str(tmp_path), "--study", str(tmp_path)])
