"""On a GPU the application finds what it finds on the CPU, and the same every time."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from pydicom import dcmread

from groundglass.phantom.study import write_study
from groundglass.phantom.thorax import make_thorax
from tests.app.jobs import Job, run, segments_of

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU here"),
]
Analyse = Callable[[str, str], Job]


@pytest.fixture(scope="module")
def analyse(tmp_path_factory: pytest.TempPathFactory) -> Analyse:
    """Runs of one study with lesions, by name and device."""
    folder = tmp_path_factory.mktemp("gpu")
    write_study(make_thorax("covid19", slices=40)[0], folder / "study", preset="covid19")
    done: dict[str, Job] = {}

    def analysed(name: str, device: str) -> Job:
        if name not in done:
            # The lungs as shipped: what the devices may differ by was measured so.
            done[name] = run(folder / "study", folder / name, device=device, lungs={}, saliency={"maximum_slices": 10})
        return done[name]

    return analysed


def lungs_of(job: Job) -> np.ndarray:
    uids = [item["sop_instance_uid"] for item in job.case["slices"]]
    return np.stack([*segments_of(job.out / "case-001.seg.dcm", uids).values()])[:2]


def test_the_gpu_computes(analyse: Analyse) -> None:
    assert analyse("gpu", "cuda").result["software"]["device"] == "cuda"
    assert analyse("cpu", "cpu").result["software"]["device"] == "cpu"


def test_the_lungs_are_those_of_the_cpu(analyse: Analyse) -> None:
    ours, reference = (lungs_of(analyse(name, device)) for name, device in (("gpu", "cuda"), ("cpu", "cpu")))
    for side in (0, 1):
        assert 2 * (ours[side] & reference[side]).sum() / (ours[side].sum() + reference[side].sum()) > 0.998


def test_the_probabilities_and_the_label_are_those_of_the_cpu(analyse: Analyse) -> None:
    ours, reference = analyse("gpu", "cuda").case, analyse("cpu", "cpu").case
    assert ours["prediction"]["state"] == reference["prediction"]["state"]
    assert ours["prediction"]["probabilities"] == pytest.approx(reference["prediction"]["probabilities"], abs=0.02)
    for mine, other in zip(ours["slices"], reference["slices"], strict=True):
        assert mine["sop_instance_uid"] == other["sop_instance_uid"]
        assert mine["probabilities"] == pytest.approx(other["probabilities"], abs=0.05)


def test_the_boxes_are_those_of_the_cpu(analyse: Analyse) -> None:
    ours, reference = analyse("gpu", "cuda"), analyse("cpu", "cpu")
    masks = []
    for job in (ours, reference):
        uids = [item["sop_instance_uid"] for item in job.case["slices"]]
        mask = np.zeros((len(uids), 512, 512), dtype=bool)
        for box in job.case["boxes"]:
            rows, columns = slice(box["row_min"], box["row_max"] + 1), slice(box["column_min"], box["column_max"] + 1)
            mask[uids.index(box["sop_instance_uid"]), rows, columns] = True
        masks.append(mask)
    assert masks[1].any()
    assert (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum() > 0.9


def test_the_same_input_gives_the_same_result(analyse: Analyse) -> None:
    first, second = (analyse(name, "cuda") for name in ("gpu", "gpu again"))
    assert first.case | {"timings_s": None} == second.case | {"timings_s": None}
    for name in ("case-001.seg.dcm", "case-001.key-image-01.dcm"):
        assert dcmread(first.out / name).PixelData == dcmread(second.out / name).PixelData, name
