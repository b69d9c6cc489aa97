"""Small studies rebuilt from what users of other tools report, each with its right outcome.

Their generators lie outside the repository, beside the CT data; the equals of them are in the corpus.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from groundglass.dicomio.reading.defects import find_defects
from groundglass.dicomio.reading.scan import scan_folder
from groundglass.dicomio.reading.select import choose_series
from groundglass.dicomio.reading.volume import read_grid
from groundglass.domain.errors import Refusal
from groundglass.domain.statement import NO_ADULT
from groundglass.presets import SHIPPED
from tests.app.runs import call, run


@dataclass(frozen=True)
class Outcome:
    """What becomes of a study.

    Attributes:
        slices: of the volume that is read; 0 where none is.
        said: parts of what is told of it: of its refusal, of other series and files, of its defects.
        never_said: what would be untrue, or no help.
    """

    slices: int
    said: tuple[str, ...] = ()
    never_said: tuple[str, ...] = ()


OUTCOMES = {
    "plain": Outcome(32),
    "partial_thin": Outcome(147, ("369 mm wide over 291 mm, this one has images 369 mm wide over 131 mm",)),
    "cardiac_fov": Outcome(160, ("this one has images 173 mm wide over 141 mm",)),
    "dicomdir_by_level_scout": Outcome(32),
    "max_ip": Outcome(0, ("projections",)),
    "ge_scout_in_series": Outcome(32, ("left out",)),
    "result_page_in_series": Outcome(32, ("left out",)),
    "jpeg_trailing": Outcome(32),
    "jpeg_extended_12": Outcome(32, ("lossy",)),
    "frame_of_reference_each": Outcome(32, ("FrameOfReferenceUID",)),
    "body_part_abdomen": Outcome(32),
    "two_slabs": Outcome(
        0, ("DUPLICATE_POSITION", "AcquisitionNumber tells 2 acquisitions apart"), ("no acquisition",)
    ),
    "bits_by_slice_tight": Outcome(32),
    "high_bit": Outcome(32, (), ("uncompressed",)),
    "rescale_type": Outcome(32),
    "snapshot_before_correction": Outcome(32, (".snapshot",)),
    "iodine_map": Outcome(0),
    "charset_undeclared": Outcome(32, ("TimezoneOffsetFromUTC is no time zone like +0100",)),
}


@pytest.fixture(scope="session")
def shared_cases(data_folder: Path) -> Path:
    """The folder of the generators."""
    folder = data_folder.parent / "cases"
    if not folder.is_dir():
        pytest.skip("there is no folder cases beside the CT data")
    return folder


def make(shared_cases: Path, name: str, folder: Path) -> Path:
    subprocess.run(
        [sys.executable, str(shared_cases / f"{name}.py"), str(folder)],
        env={**os.environ, "PYTHONPATH": str(shared_cases)},
        check=True,
        capture_output=True,
    )
    return folder


@pytest.mark.data
@pytest.mark.parametrize("name", OUTCOMES)
def test_each_case_has_its_right_outcome(name: str, shared_cases: Path, tmp_path: Path) -> None:
    expected = OUTCOMES[name]
    scan = scan_folder(make(shared_cases, name, tmp_path / "in"))
    selection = choose_series(scan.series, SHIPPED.selection)
    told = [f"{item.file}: {item.reason}" for item in scan.ignored]
    told += [reason for item in selection.rejected for reason in item.reasons]
    slices = 0
    if selection.chosen is not None:
        try:
            read = read_grid(selection.chosen.grid)
            slices = len(read.sources)
            told += [f"{item.attribute} {item.problem}" for item in (*read.notes, *find_defects(read.sources))]
        except Refusal as refusal:
            told.append(str(refusal))
    assert slices == expected.slices, told
    assert [part for part in expected.said if part not in "\n".join(told)] == [], told
    assert [part for part in expected.never_said if part in "\n".join(told)] == [], told


@pytest.mark.data
@pytest.mark.slow
def test_the_chest_of_an_infant_has_a_warning(shared_cases: Path, quick: Path, tmp_path: Path) -> None:
    done = call(make(shared_cases, "infant", tmp_path / "in"), tmp_path / "out", "--settings", str(quick))
    (case,) = done.result["cases"]
    assert case["warnings"] == [NO_ADULT]
    assert NO_ADULT in done.told


@pytest.mark.data
@pytest.mark.slow
def test_a_path_that_is_no_utf_8_is_read(shared_cases: Path, quick: Path, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/M\xfcller"))
    shutil.copytree(shared_cases / "phantom", folder)
    done = run(folder, tmp_path / "out", "--settings", str(quick), LC_ALL="C.UTF-8")
    assert done.code == 0, done.told


@pytest.mark.data
def test_every_case_has_its_outcome_here(shared_cases: Path) -> None:
    names = {path.stem for path in shared_cases.iterdir() if path.suffix in (".py", ".sh")}
    assert names - {"base"} == {*OUTCOMES, "infant", "folder_name_latin1"}
