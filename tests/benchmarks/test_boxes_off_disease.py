"""Boxes where no disease is, on lungs whose shape, marks and boxes are known."""

import numpy as np
import pytest

from benchmarks.boxes_off_disease import Judge, add_counts, as_markdown, count_boxes, count_slices, explain_patient
from benchmarks.lung_places import near_root, over_dome, roots_of_lungs
from groundglass.domain.findings import Box
from groundglass.domain.volume import LEFT_LUNG, RIGHT_LUNG
from groundglass.method.classifier_network import INPUT_SIZE, MultiScaleClassifier
from groundglass.method.decision import DecisionRule
from groundglass.method.explanation import Explanation
from groundglass.phantom.thorax import make_thorax
from training.data.slices import SliceSet


def two_lungs() -> np.ndarray:
    """Two lungs of 60 rows, ten columns of mediastinum between them."""
    lung = np.zeros((80, 100), dtype=bool)
    lung[10:70, 5:45] = lung[10:70, 55:95] = True
    return lung


def test_the_root_is_next_to_the_mediastinum_in_the_middle_of_the_depth() -> None:
    root = near_root(two_lungs(), pixel_mm=5.0)
    assert root[40, 40:45].all()
    assert root[40, 55:60].all()
    assert not root[40, :38].any()
    assert not root[:18].any()
    assert not root[40, 45:55].any()  # the mediastinum is no lung
    assert not near_root(np.zeros((4, 4), dtype=bool), 5.0).any()


def test_roots_are_in_the_middle_of_the_height() -> None:
    roots = roots_of_lungs(np.stack([two_lungs()] * 9), pixel_mm=5.0)
    assert roots.any(axis=(1, 2)).tolist() == [False] * 2 + [True] * 5 + [False] * 2


def test_a_dome_is_where_tissue_begins_soon_below() -> None:
    lungs = np.zeros((6, 8, 8), dtype=np.uint8)
    lungs[:, 2:6, 2:6] = 1
    lungs[4:, 2:4, 2:4] = 0
    hu = np.where(lungs > 0, -850, 40)
    hu[4:, 3, 3] = -900  # gas below is no dome
    domes = over_dome(lungs, hu, slice_mm=5.0)
    assert domes[2:4, 2, 2:4].all()
    assert not domes[2:4, 3, 3].any()
    assert not domes[:2].any()
    assert not domes[:, 4:].any()


def box(slice_index: int, row: int, column: int) -> Box:
    return Box(slice_index, "covid19", column, row, column + 1, row + 1, 4.0, 0.9)


def test_boxes_count_by_lung_marks_and_place() -> None:
    labels = np.zeros((2, 8, 8), dtype=np.uint8)
    labels[:, :, :4], labels[:, :, 4:] = RIGHT_LUNG, LEFT_LUNG
    boxes = (box(0, 0, 0), box(0, 0, 5), box(1, 4, 5), box(1, 0, 5))
    salient = np.zeros_like(labels)
    for one in boxes:
        salient[(one.slice_index, *one.place)] = 1
    explained = Explanation((), {}, salient, boxes, (), 0, (), 0.1)
    free = np.ones((2, 3), dtype=bool)
    free[0, RIGHT_LUNG] = free[1, LEFT_LUNG] = False
    free[1] = [True, True, True]
    place = np.zeros(labels.shape, dtype=bool)
    place[:, :2] = True
    assert count_boxes(explained, free, {"hila": place, "domes": ~place}, labels) == {
        "boxes": 4,
        "free": 3,
        "hila": 2,
        "domes": 1,
        "hila, all": 3,
        "domes, all": 1,
    }


@pytest.fixture
def network() -> MultiScaleClassifier:
    return MultiScaleClassifier().eval().requires_grad_(False)


def always(state: str) -> DecisionRule:
    return DecisionRule(0.0, 0.0, 1.0) if state == "present" else DecisionRule(1.1, 1.2, 1.0)


def test_slices_that_are_absent_get_no_boxes(network: MultiScaleClassifier) -> None:
    lung = np.zeros((2, INPUT_SIZE, INPUT_SIZE), dtype=bool)
    lung[:, 40:180, 30:100] = lung[:, 40:180, 120:190] = True
    hu = np.where(lung, -850, 40).astype(np.int16)
    slices = SliceSet(hu, lung, np.tile([-1040.0, 360.0], (2, 1)), np.full(2, 1.4), np.arange(2), np.full(2, np.nan))
    absent = count_slices(slices, Judge(network, always("absent")))
    assert absent == {"slices": 2, "not_absent": 0, "with_boxes": 0, "boxes": 0, "hila": 0}
    both = add_counts([absent, absent | {"boxes": 3}])
    assert (both["slices"], both["boxes"]) == (4, 3)


@pytest.mark.slow
def test_an_absent_patient_is_told_as_absent_and_explained_all_the_same(network: MultiScaleClassifier) -> None:
    volume, truth = make_thorax("covid19", slices=8, size=64)
    with_bias = network.requires_grad_(False)
    for head in with_bias.heads:
        head.bias[0] = -50.0  # disease everywhere
    state, explained = explain_patient(volume, truth.lungs, Judge(with_bias, always("absent")))
    assert state == "absent"
    assert any(item.explained for item in explained.slices)


def test_the_table_brackets_what_the_shipped_network_says() -> None:
    slices = {"slices": 5, "not_absent": 2, "with_boxes": 1, "boxes": 3, "hila": 1}
    patient = {"state": "absent", "regions": 2, "boxes": 7, "free": 6, "hila": 4, "domes": 1}
    table = as_markdown({
        "slices": {"folds": slices, "shipped": slices | {"boxes": 0}},
        "patients": {"normal001": {"label": "np", "folds": patient, "shipped": patient | {"state": "present"}}},
    })  # fmt: skip
    assert (
        "| MosMedData CT-0, 5 slices | 2 not absent, 1 with boxes [2 not absent, 1 with boxes] | – | 3 [0] |" in table
    )
    assert "| normal001 (np) | absent [present] | 2 [2] | 7 [7] | 6 [6] | 4 [4] | 1 [1] |" in table
