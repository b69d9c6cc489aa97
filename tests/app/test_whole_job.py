"""The whole job on studies whose truth is known, and on real ones: what comes out lies where it belongs."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom
import jsonschema
import numpy as np
import pytest
from pydicom import dcmread

from app.result import result_schema
from dicomio.scan import scan_folder
from dicomio.volume import read_volume
from method.classifier_network import SCALES
from method.types import CTVolume
from tests.dicomio.outputs_fixture import dciodvfy_errors
from validation.demo import count_hits, run_application
from validation.phantom.study import write_study
from validation.phantom.thorax import Truth, make_thorax


@dataclass(frozen=True)
class Job:
    """A finished run of the application."""

    study: Path
    out: Path

    @property
    def result(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads((self.out / "result.json").read_text(encoding="utf-8"))
        jsonschema.validate(result, result_schema())
        return result

    @property
    def case(self) -> dict[str, Any]:
        (case,) = self.result["cases"]
        return case


def run(study: Path, out: Path, **output: object) -> Job:
    assert run_application(study, out, **output) == 0
    return Job(study, out)


@dataclass(frozen=True)
class PhantomJob(Job):
    volume: CTVolume
    truth: Truth


@pytest.fixture(scope="module", params=["covid19", "cap", "normal"])
def phantom(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PhantomJob:
    folder = tmp_path_factory.mktemp(request.param)
    volume, truth = make_thorax(request.param, slices=60, size=320)
    write_study(volume, folder / "in", preset=request.param)
    job = run(folder / "in", folder / "out")
    return PhantomJob(job.study, job.out, volume, truth)


def test_each_lung_volume_of_the_phantom_is_found_within_5_percent(phantom: PhantomJob) -> None:
    lungs = phantom.case["lungs"]
    assert lungs["right_ml"] == pytest.approx(phantom.truth.right_ml, rel=0.05)
    assert lungs["left_ml"] == pytest.approx(phantom.truth.left_ml, rel=0.05)


def test_a_diseased_phantom_is_seen_as_diseased_and_a_healthy_one_as_healthy(phantom: PhantomJob) -> None:
    assert (phantom.case["prediction"]["label"] == "np") == (phantom.truth.label == "np")


def test_boxes_lie_on_lesions(phantom: PhantomJob) -> None:
    boxes = phantom.case["boxes"]
    if phantom.truth.label == "np":
        assert boxes == []
        return
    assert boxes
    assert count_hits(boxes, phantom.truth.lesions) >= 0.7 * len(boxes)


def names_of(phantom: PhantomJob) -> list[str]:
    """The DICOM files of the contract: a study without boxes has no presentation state."""
    kinds = ["seg", "sr", "key-images", *(["boxes"] if phantom.truth.label != "np" else [])]
    return [f"case-001.{kind}.dcm" for kind in kinds]


def test_all_files_of_the_contract_are_there_and_nothing_else(phantom: PhantomJob) -> None:
    outputs = [*names_of(phantom), "case-001.preview.png"]
    assert phantom.case["outputs"] == outputs
    assert sorted(path.name for path in phantom.out.iterdir()) == sorted([*outputs, "result.json"])


def test_the_presentation_state_draws_the_boxes_of_the_result_on_their_slices(phantom: PhantomJob) -> None:
    if phantom.truth.label == "np":
        return  # no box, no file
    drawn = []
    for annotation in dcmread(phantom.out / "case-001.boxes.dcm").GraphicAnnotationSequence:
        for graphic in annotation.GraphicObjectSequence:
            (left, top), (right, bottom) = (
                corners(np.reshape(graphic.GraphicData, (-1, 2)), axis=0) for corners in (np.min, np.max)
            )
            uid = annotation.ReferencedImageSequence[0].ReferencedSOPInstanceUID
            drawn.append((uid, left, top, right - 1, bottom - 1))
    keys = ("sop_instance_uid", "column_min", "row_min", "column_max", "row_max")
    assert drawn == [tuple(box[key] for key in keys) for box in phantom.case["boxes"]]


def test_slices_are_numbered_as_the_source_lies_in_the_patient(phantom: PhantomJob) -> None:
    _, sources = read_volume(scan_folder(phantom.study).series[0].instances)
    for item in phantom.case["slices"]:
        assert sources[item["index"]].SOPInstanceUID == item["sop_instance_uid"]


def test_explained_slices_carry_their_completeness_error_and_others_none(phantom: PhantomJob) -> None:
    explained = [item for item in phantom.case["slices"] if item["explained"]]
    assert all(item["completeness_error"] is None for item in phantom.case["slices"] if not item["explained"])
    assert bool(explained) == (phantom.truth.label != "np")
    if explained:
        # A map that is wrong misses the score's change by about all of it. Conv4's score bends most along the path.
        for scale in SCALES:
            assert np.median([item["completeness_error"][scale] for item in explained]) < 0.35


def test_the_same_study_gives_the_same_sop_instance_uids(phantom: PhantomJob, tmp_path: Path) -> None:
    if phantom.truth.label != "np":
        return  # one preset is enough: the whole job runs again
    again = run(phantom.study, tmp_path / "out")
    for name in names_of(phantom):
        first, second = (dcmread(job.out / name, stop_before_pixels=True) for job in (phantom, again))
        assert first.SOPInstanceUID == second.SOPInstanceUID
    assert again.case["boxes"] == phantom.case["boxes"]


def segments_of(path: Path, uids: list[str]) -> dict[int, np.ndarray]:
    """Each segment on the source images, `(slice, row, col)`, by its number."""
    segmentation = highdicom.seg.segread(path)
    numbers = list(segmentation.segment_numbers)
    masks = segmentation.get_pixels_by_source_instance(uids, segment_numbers=numbers, rescale_fractional=False)
    return {number: masks[..., place] > 0 for place, number in enumerate(numbers)}


def test_label_maps_hold_the_same_voxels_as_the_binary_segmentation(phantom: PhantomJob, tmp_path: Path) -> None:
    if phantom.truth.label != "cap":
        return  # one preset is enough: the whole job runs again
    label_maps = run(phantom.study, tmp_path / "out", segmentation="labelmap")
    names = [name.replace("case-001.seg.dcm", "case-001.salient-seg.dcm") for name in phantom.case["outputs"]]
    assert sorted(label_maps.case["outputs"]) == sorted([*names, "case-001.seg.dcm"])
    _, sources = read_volume(scan_folder(phantom.study).series[0].instances)
    uids = [source.SOPInstanceUID for source in sources]
    lungs, salient = (label_maps.out / f"case-001.{kind}.dcm" for kind in ("seg", "salient-seg"))
    assert all(dcmread(path, stop_before_pixels=True).SegmentationType == "LABELMAP" for path in (lungs, salient))
    binary = segments_of(phantom.out / "case-001.seg.dcm", uids)
    assert list(segments_of(lungs, uids)) == [1, 2]
    mapped = segments_of(lungs, uids) | segments_of(salient, uids)
    assert mapped.keys() == binary.keys()
    for number, mask in binary.items():
        assert mask.any()
        np.testing.assert_array_equal(mapped[number], mask)


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
    volume, _ = read_volume(scan_folder(job.study).series[0].instances)
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


def test_lungs_of_the_segmentation_lie_on_the_lungs_of_the_source(phantom: PhantomJob) -> None:
    assert_lungs_lie_on_lungs(phantom)


def assert_conforms(job: Job) -> None:
    for path in sorted(job.out.glob("*.dcm")):
        assert dciodvfy_errors(path) == [], path.name


def test_dicom_outputs_conform(phantom: PhantomJob) -> None:
    assert_conforms(phantom)


@pytest.fixture(scope="module", params=["P001", "lung_dx_A0001"])
def real(request: pytest.FixtureRequest, data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    return run(data_folder / "dicom" / request.param, tmp_path_factory.mktemp(request.param) / "out")


@pytest.mark.data
@pytest.mark.slow
def test_a_real_study_gives_plausible_lungs_in_the_right_place(real: Job) -> None:
    assert 2500 <= real.case["lungs"]["volume_ml"] <= 7000
    assert_lungs_lie_on_lungs(real)


@pytest.mark.data
@pytest.mark.slow
def test_dicom_outputs_of_a_real_study_conform(real: Job) -> None:
    assert_conforms(real)


@pytest.mark.data
@pytest.mark.slow
def test_boxes_of_a_real_study_lie_inside_the_lungs(real: Job) -> None:
    right, left = lung_positions_mm(real.out / "case-001.seg.dcm")
    volume, _ = read_volume(scan_folder(real.study).series[0].instances)
    lungs = np.zeros(volume.hu.shape, dtype=bool)
    to_index = np.linalg.inv(volume.affine)
    for positions in (right, left):
        lungs[tuple(np.rint(positions @ to_index[:3, :3].T + to_index[:3, 3]).astype(int).T)] = True
    assert count_hits(real.case["boxes"], lungs) == len(real.case["boxes"])


def test_the_application_starts_without_the_networks_in_its_help() -> None:
    """`--help` must answer at once: nothing heavy is imported for it."""
    code = "import sys, app.command_line as c\ntry:\n c.main(['--help'])\nfinally:\n print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip().endswith("False")
