"""Whole jobs, and what has to hold for the outputs of each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest

from groundglass.changed_settings import write_changed_settings
from groundglass.dicomio.reading.scan import scan_folder
from groundglass.dicomio.reading.volume import read_images
from tests.app.runs import call, read_result
from tests.groundglass.dicomio.outputs_fixture import dciodvfy_errors


@dataclass(frozen=True)
class Job:
    """A finished run of the application."""

    study: Path
    out: Path

    @property
    def result(self) -> dict[str, Any]:
        return read_result(self.out)

    @property
    def case(self) -> dict[str, Any]:
        (case,) = self.result["cases"]
        return case


def run(study: Path, out: Path, **changes: Any) -> Job:
    """The whole job, but with one view and one window on a coarser grid, and the two most diseased slices explained.

    With everything, as shipped, it takes minutes.

    Args:
        study, out: the folders; the settings are written beside `out`.
        changes: by section of app.yaml, beside those or in their place.
    """
    quicker: dict[str, Any] = {
        "lungs": {"grid_mm": 3.0, "views": ["axial"], "windows_hu": [[1400, 700]]},
        "saliency": {"maximum_slices": 2},
    }
    settings = write_changed_settings(out.parent / f"{out.name}.yaml", **(quicker | changes))
    done = call(study, out, "--settings", str(settings))
    assert done.code == 0, done.told
    return Job(study, out)


def segments_of(path: Path, uids: list[str]) -> dict[int, np.ndarray]:
    """Each segment on the source images, `(slice, row, col)`, by its number."""
    segmentation = highdicom.seg.segread(path)
    numbers = list(segmentation.segment_numbers)
    masks = segmentation.get_pixels_by_source_instance(
        uids, segment_numbers=numbers, rescale_fractional=False, assert_missing_frames_are_empty=True
    )
    return {number: masks[..., place] > 0 for place, number in enumerate(numbers)}


def lung_positions_mm(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Patient positions of all right-lung voxels' centres and of the left's, from the SEG alone."""
    segmentation = highdicom.seg.segread(path)
    volume = segmentation.get_volume(combine_segments=False)
    affine = volume.affine
    sides = []
    for segment in (0, 1):
        indices = np.argwhere(volume.array[..., segment] > 0)
        sides.append(indices @ affine[:3, :3].T + affine[:3, 3])
    return sides[0], sides[1]


def assert_lungs_lie_on_lungs(job: Job) -> None:
    """Every SEG position, looked up in the source by patient coordinates, is mostly aerated; right is on the right."""
    volume = read_images(scan_folder(job.study).series[0].instances).volume
    right, left = lung_positions_mm(job.out / "case-001.seg.dcm")
    to_index = np.linalg.inv(volume.affine)
    hu_of_lungs = []
    for positions in (right, left):
        indices = np.rint(positions @ to_index[:3, :3].T + to_index[:3, 3]).astype(int)
        assert (indices >= 0).all()
        assert (indices < volume.hu.shape).all()
        hu_of_lungs.append(volume.hu[tuple(indices.T)])
    hu = np.concatenate(hu_of_lungs)
    assert (hu < -500).mean() > 0.8
    assert right[:, 0].mean() < left[:, 0].mean()  # x grows to the patient's left
    assert len(hu) * volume.voxel_volume_ml == pytest.approx(job.case["lungs"]["volume_ml"], rel=1e-3)


def assert_conforms(job: Job) -> None:
    for path in sorted(job.out.glob("*.dcm")):
        assert dciodvfy_errors(path) == [], path.name
