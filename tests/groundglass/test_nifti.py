"""NIfTI in and out: whatever the order of its axes, right is right, and results lie on the grid of the file."""

import gzip
import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from groundglass import Pipeline, Refusal, UsageError, read_nifti
from groundglass.__main__ import main
from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG
from tests.app.runs import small_chest

ORDERS = {
    "LPI": ((2, 1, 0), (1, 1, 1)),
    "RAS": ((2, 1, 0), (-1, -1, -1)),
    "ASR": ((1, 0, 2), (-1, -1, -1)),
    "SRP": ((0, 2, 1), (-1, -1, 1)),
}
"""For each axis of the file the one of the canonical volume, and whether it runs along it."""
_WORLD = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
"""Canonical slice, row and column in NIfTI's x, y, z, but for their signs, which are all -1."""


def write(path: Path, name: str = "RAS", **changes: Any) -> Path:
    """The small chest as NIfTI, its axes in this order."""
    chest = small_chest()
    order, signs = ORDERS[name]
    data = chest.hu[tuple(slice(None, None, signs[order.index(axis)]) for axis in range(3))].transpose(order)
    affine = np.eye(4)
    for column, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        affine[:3, column] = -sign * chest.spacing_mm[axis] * _WORLD[axis]
    affine[:3, 3] = changes.pop("origin", (10.0, -20.0, 30.0))
    data = changes.pop("data", np.ascontiguousarray(data))
    image = nibabel.Nifti1Image(data, changes.pop("affine", affine))
    image.header.set_xyzt_units(changes.pop("unit", "mm"))
    if changes.pop("no_form", False):
        image.set_sform(None, 0)
        image.set_qform(None, 0)
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("name", ORDERS)
def test_a_file_of_any_order_gives_one_volume_at_the_patients_place(name: str, tmp_path: Path) -> None:
    chest = small_chest()
    found = read_nifti(write(tmp_path / "ct.nii.gz", name))
    assert np.array_equal(found.volume.hu, chest.hu)
    assert found.volume.spacing_mm == pytest.approx(chest.spacing_mm)
    file = nibabel.load(tmp_path / "ct.nii.gz")
    voxel = np.array([3, 20, 30])  # (slice, row, col)
    place = (found.volume.affine @ [*voxel, 1])[:3] * [-1, -1, 1]
    index = np.linalg.inv(file.affine) @ [*place, 1]
    assert file.dataobj[tuple(np.rint(index[:3]).astype(int))] == chest.hu[tuple(voxel)]


@pytest.mark.parametrize("name", ORDERS)
def test_labels_go_back_to_the_files_own_grid(name: str, tmp_path: Path) -> None:
    found = read_nifti(write(tmp_path / "ct.nii.gz", name))
    (tmp_path / "back.nii.gz").write_bytes(found.encode(found.volume.hu))
    file, back = nibabel.load(tmp_path / "ct.nii.gz"), nibabel.load(tmp_path / "back.nii.gz")
    assert np.array_equal(np.asarray(file.dataobj), np.asarray(back.dataobj))
    assert back.affine == pytest.approx(file.affine)


@pytest.mark.slow
def test_the_command_analyses_nifti_and_the_right_lung_is_on_the_right(quick: Path, tmp_path: Path) -> None:
    write(tmp_path / "ct.nii.gz", "SRP")
    out = tmp_path / "out"
    assert main(["analyse", str(tmp_path / "ct.nii.gz"), str(out), "--settings", str(quick)]) == 0
    lungs = nibabel.load(out / "lungs.nii.gz")
    labels = np.asarray(lungs.dataobj)
    assert labels.shape == nibabel.load(tmp_path / "ct.nii.gz").shape

    def x_mm(label: int) -> float:
        return float((lungs.affine @ [*np.argwhere(labels == label).mean(axis=0), 1])[0])

    assert x_mm(RIGHT_LUNG) > x_mm(LEFT_LUNG)  # NIfTI's x grows to the right
    told = json.loads((out / "findings.json").read_text(encoding="utf-8"))
    voxel_ml = float(np.prod(small_chest().spacing_mm)) / 1000
    assert np.count_nonzero(labels == RIGHT_LUNG) * voxel_ml == pytest.approx(told["lungs"]["right_ml"], rel=1e-3)
    assert {"regions.nii.gz", "saliency.nii.gz", "preview.png"} <= {path.name for path in out.iterdir()}
    assert 0 < np.asarray(nibabel.load(out / "saliency.nii.gz").dataobj).max() <= 1


@pytest.mark.slow
def test_the_same_findings_as_of_the_array(quick: Path, tmp_path: Path) -> None:
    pipeline = Pipeline.load(quick)
    of_nifti = pipeline.analyse(read_nifti(write(tmp_path / "ct.nii.gz", "ASR")))
    assert of_nifti.probabilities == pytest.approx(pipeline.analyse(small_chest()).probabilities, abs=1e-5)


SHEARED = np.diag([2.88, 2.88, 10.0, 1.0])
SHEARED[1, 2] = 3.0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": np.zeros((64, 64, 12, 2), np.int16)}, "4 axes"),
        ({"no_form": True}, "right and left"),
        ({"unit": "meter"}, "another unit"),
        ({"affine": np.diag([0.288, 0.288, 1.0, 1.0])}, "no chest"),
    ],
)
def test_a_file_that_does_not_say_what_it_is_can_not_be_used(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        read_nifti(write(tmp_path / "ct.nii.gz", **changes))


def test_an_affine_without_a_spacing_can_not_be_used(tmp_path: Path) -> None:
    file = write(tmp_path / "ct.nii")
    content = bytearray(file.read_bytes())
    content[312:328] = bytes(16)  # srow_z, the third line of the affine (NIfTI-1)
    file.write_bytes(content)
    with pytest.raises(UsageError, match="no valid affine"):
        read_nifti(file)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"affine": SHEARED}, "TILT"),
        ({"data": np.linspace(0, 1, 128 * 128 * 12, dtype=np.float32).reshape(128, 128, 12)}, "NOT_HU"),
    ],
)
def test_a_volume_whose_result_could_be_wrong_is_refused(changes: dict[str, Any], code: str, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=code):
        read_nifti(write(tmp_path / "ct.nii.gz", **changes))


@pytest.mark.parametrize(
    "content",
    [b"", b"no NIfTI at all", gzip.compress(b"x" * 400, mtime=0), b"\x1f\x8b broken"],
    ids=["empty", "text", "another file in gzip", "broken gzip"],
)
def test_a_damaged_file_is_told_in_a_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "ct.nii.gz").write_bytes(content)
    with pytest.raises(UsageError, match="it is empty, cut, damaged, or no NIfTI"):
        read_nifti(tmp_path / "ct.nii.gz")


def test_a_file_cut_short_is_told_in_a_sentence(tmp_path: Path) -> None:
    file = write(tmp_path / "ct.nii.gz")
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(UsageError, match="damaged"):
        read_nifti(file)


def test_the_command_tells_what_is_wrong_by_its_exit_code(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["analyse", str(tmp_path / "nowhere.nii.gz"), str(tmp_path / "out")]) == 2
    zeros = np.zeros((128, 128, 12), np.float32)
    file = write(tmp_path / "ct.nii.gz", data=zeros)
    assert main(["analyse", str(file), str(tmp_path / "out")]) == 4
    assert not (tmp_path / "out").exists()
