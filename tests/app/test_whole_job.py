"""The whole job on studies whose truth is known: what comes out lies where it belongs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from scipy import ndimage

from groundglass.demo import count_hits
from groundglass.dicomio.reading.scan import scan_folder
from groundglass.dicomio.reading.volume import read_images
from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG, CTVolume
from groundglass.method.classifier_network import SCALES
from groundglass.phantom.study import write_study
from groundglass.phantom.thorax import Truth, make_thorax
from groundglass.presets import SHIPPED
from tests.app.jobs import Job, assert_conforms, assert_lungs_lie_on_lungs, run, segments_of
from tests.app.runs import QUICK, Run

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class PhantomJob(Job):
    volume: CTVolume
    truth: Truth


MIDDLE = {"slices": 20, "spacing_mm": (6.5, 1.153, 1.153)}
WHOLE = {"slices": 50, "spacing_mm": (6.0, 1.153, 1.153)}
ALL_VIEWS = {"lungs": {"grid_mm": 2.5, "views": ["axial", "coronal", "sagittal"], "windows_hu": [[1400, 20]]}}


@pytest.fixture(
    scope="module",
    params=[("covid19", MIDDLE, {}), ("cap", WHOLE, ALL_VIEWS), ("normal", WHOLE, {})],
    ids=lambda each: each[0],
)
def phantom(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PhantomJob:
    """A chest or the middle of one, its pixels small enough for a healthy one to be told from a diseased one.

    Slices with much lung alone are classified, some six of each; the views that need the whole chest vote on one.
    """
    preset, size, changes = request.param
    folder = tmp_path_factory.mktemp(preset)
    volume, truth = make_thorax(preset, size=320, **size)
    write_study(volume, folder / "in", preset=preset)
    job = run(folder / "in", folder / "out", classification={"minimum_lung_cm2": 265}, **changes)
    return PhantomJob(job.study, job.out, volume, truth)


def test_each_lung_volume_of_the_phantom_is_found_within_5_percent(phantom: PhantomJob) -> None:
    lungs = phantom.case["lungs"]
    assert lungs["right_ml"] == pytest.approx(phantom.truth.right_ml, rel=0.05)
    assert lungs["left_ml"] == pytest.approx(phantom.truth.left_ml, rel=0.05)


def test_a_consolidation_stays_inside_the_lung(phantom: PhantomJob) -> None:
    if phantom.truth.label != "cap":
        return
    sources = read_images(scan_folder(phantom.study).series[0].instances).sources
    lungs = segments_of(phantom.out / "case-001.seg.dcm", [source.SOPInstanceUID for source in sources])
    inner = ndimage.binary_erosion(phantom.truth.lesions > 0)
    assert inner.any()
    assert (lungs[1] | lungs[2])[inner].mean() > 0.85


def test_pneumonia_is_present_in_diseased_phantoms_alone(phantom: PhantomJob) -> None:
    state = phantom.case["prediction"]["state"]
    assert (state == "present") == (phantom.truth.label != "np")
    assert phantom.case["prediction"]["kind"] == "undetermined"
    assert phantom.result["__mercure_notification"]["requested"] == (state != "absent")


def test_boxes_lie_on_lesions(phantom: PhantomJob) -> None:
    boxes = phantom.case["boxes"]
    if phantom.truth.label == "np":
        assert boxes == []
        return
    assert boxes
    assert count_hits(boxes, phantom.truth.lesions) >= 0.7 * len(boxes)


def test_the_regions_lie_on_lesions_each_in_the_lung_that_is_named(phantom: PhantomJob) -> None:
    regions = phantom.case["regions"]
    assert bool(regions) == (phantom.truth.label != "np")
    boxes = [{"slice_index": region["best_slice"], **region["box"]} for region in regions]
    assert count_hits(boxes, phantom.truth.lesions) >= 0.7 * len(boxes)
    for region, box in zip(regions, boxes, strict=True):
        middle = (box["column_min"] + box["column_max"]) // 2, (box["row_min"] + box["row_max"]) // 2
        side = phantom.truth.lungs[box["slice_index"], middle[1], middle[0]]
        assert side in (0, {"right": RIGHT_LUNG, "left": LEFT_LUNG}.get(region["side"], side))
        assert {box["region"] for box in phantom.case["boxes"]} >= {region["number"]}


def names_of(phantom: PhantomJob) -> list[str]:
    """The DICOM files of the contract: a study without boxes has neither regions nor a presentation state."""
    kinds = ["seg", "sr", "summary", *(f"key-image-{number:02d}" for number in range(1, 7))]
    kinds += ["regions", "boxes"] if phantom.case["boxes"] else []
    return [f"case-001.{kind}.dcm" for kind in kinds]


def test_all_files_of_the_contract_are_there_and_nothing_else(phantom: PhantomJob) -> None:
    outputs = [*names_of(phantom), "case-001.preview.png"]
    assert sorted(phantom.case["outputs"]) == sorted(outputs)
    assert sorted(path.name for path in phantom.out.iterdir()) == sorted([*outputs, "result.json"])


def test_the_presentation_state_draws_the_boxes_of_the_result_on_their_slices(phantom: PhantomJob) -> None:
    if not phantom.case["boxes"]:
        return  # no file
    drawn = []
    for annotation in dcmread(phantom.out / "case-001.boxes.dcm").GraphicAnnotationSequence:
        for graphic in annotation.GraphicObjectSequence:
            (left, top), (right, bottom) = (
                corners(np.reshape(graphic.GraphicData, (-1, 2)), axis=0) for corners in (np.min, np.max)
            )
            uid = annotation.ReferencedImageSequence[0].ReferencedSOPInstanceUID
            drawn.append((uid, left, top, right - 1, bottom - 1))
    keys = ("sop_instance_uid", "column_min", "row_min", "column_max", "row_max")
    assert set(drawn) >= {tuple(box[key] for key in keys) for box in phantom.case["boxes"]}  # holes have outlines too


def test_slices_are_numbered_as_the_source_lies_in_the_patient(phantom: PhantomJob) -> None:
    sources = read_images(scan_folder(phantom.study).series[0].instances).sources
    for item in phantom.case["slices"]:
        assert sources[item["index"]].SOPInstanceUID == item["sop_instance_uid"]


def test_some_explained_slices_carry_their_completeness_error_and_others_none(phantom: PhantomJob) -> None:
    explained = [item for item in phantom.case["slices"] if item["explained"]]
    proved = [item for item in phantom.case["slices"] if item["completeness_error"] is not None]
    assert len(proved) == min(SHIPPED.explanation.proved_slices, len(explained))
    assert all(item["explained"] for item in proved)
    state = phantom.case["prediction"]["state"]
    assert explained or state != "present"
    assert not explained or state != "absent"
    if explained:
        # A map that is wrong misses the score's change by about all of it. Conv4's score bends most along the path.
        for scale in SCALES:
            assert np.median([item["completeness_error"][scale] for item in proved]) < 0.35


@pytest.fixture(scope="module")
def binary(small_study: Path, small_run: Run) -> Job:
    return Job(small_study, small_run.out)


def test_the_same_study_gives_the_same_sop_instance_uids(binary: Job, tmp_path: Path) -> None:
    again = run(binary.study, tmp_path / "again", **QUICK)
    assert len(binary.case["outputs"]) >= 5
    for path in binary.out.glob("*.dcm"):
        first, second = (dcmread(job.out / path.name, stop_before_pixels=True) for job in (binary, again))
        assert first.SOPInstanceUID == second.SOPInstanceUID
    assert again.case["boxes"] == binary.case["boxes"] != []


def test_label_maps_hold_the_same_voxels_as_the_binary_segmentations(binary: Job, tmp_path: Path) -> None:
    label_maps = run(binary.study, tmp_path / "label-maps", **QUICK, output={"segmentation": "labelmap"})
    assert label_maps.case["outputs"] == binary.case["outputs"]
    sources = read_images(scan_folder(binary.study).series[0].instances).sources
    uids = [source.SOPInstanceUID for source in sources]
    for name in ("case-001.seg.dcm", "case-001.regions.dcm"):
        assert dcmread(label_maps.out / name, stop_before_pixels=True).SegmentationType == "LABELMAP"
        mapped, masks = (segments_of(job.out / name, uids) for job in (label_maps, binary))
        assert mapped.keys() == masks.keys()
        for number, mask in masks.items():
            assert mask.any()
            np.testing.assert_array_equal(mapped[number], mask)


def test_segmentations_that_are_left_out_and_contours_that_are_asked_for(binary: Job, tmp_path: Path) -> None:
    output = {"segmentations": ["regions"], "rt_structure_set": True}
    asked = run(binary.study, tmp_path / "asked", **QUICK, output=output)
    names = [name.replace("case-001.seg.dcm", "case-001.rtstruct.dcm") for name in binary.case["outputs"]]
    assert sorted(asked.case["outputs"]) == sorted(names)


def test_lungs_of_the_segmentation_lie_on_the_lungs_of_the_source(phantom: PhantomJob) -> None:
    assert_lungs_lie_on_lungs(phantom)


def test_dicom_outputs_conform(phantom: PhantomJob) -> None:
    assert_conforms(phantom)
