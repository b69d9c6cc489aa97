"""The whole job on real studies."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from groundglass.demo import count_hits
from groundglass.dicomio.reading.scan import scan_folder
from groundglass.dicomio.reading.volume import read_images
from tests.app.jobs import Job, assert_conforms, assert_lungs_lie_on_lungs, lung_positions_mm, run

POSITION = ["ImagePositionPatient"]
pytestmark = [pytest.mark.data, pytest.mark.slow]


def copy_every(step: int, study: Path, folder: Path) -> None:
    """Copy every so-manieth slice from the feet to the head: the networks take seconds for each."""
    folder.mkdir()
    slices = sorted(study.iterdir(), key=lambda path: dcmread(path, specific_tags=POSITION).ImagePositionPatient[2])
    for path in slices[::step]:
        shutil.copy(path, folder)


@pytest.fixture(scope="module", params=[("P001", 4), ("lung_dx_A0001", 2)], ids=lambda each: each[0])
def real(request: pytest.FixtureRequest, data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    name, step = request.param
    folder = tmp_path_factory.mktemp(name)
    copy_every(step, data_folder / "dicom" / name, folder / "in")
    return run(folder / "in", folder / "out", classification={"minimum_lung_cm2": 150})


def test_a_real_study_gives_plausible_lungs_in_the_right_place(real: Job) -> None:
    assert 2500 <= real.case["lungs"]["volume_ml"] <= 7000
    assert_lungs_lie_on_lungs(real)


def test_dicom_outputs_of_a_real_study_conform(real: Job) -> None:
    assert_conforms(real)


def test_boxes_of_a_real_study_lie_inside_the_lungs(real: Job) -> None:
    right, left = lung_positions_mm(real.out / "case-001.seg.dcm")
    volume = read_images(scan_folder(real.study).series[0].instances).volume
    lungs = np.zeros(volume.hu.shape, dtype=bool)
    to_index = np.linalg.inv(volume.affine)
    for positions in (right, left):
        lungs[tuple(np.rint(positions @ to_index[:3, :3].T + to_index[:3, 3]).astype(int).T)] = True
    assert count_hits(real.case["boxes"], lungs) == len(real.case["boxes"])
