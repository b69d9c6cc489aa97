"""The networks of the tables' rows, cut to the classes of a task."""

import pytest
import torch

from groundglass.domain.class_names import CLASSES
from groundglass.method.classifier_network import INPUT_SIZE, SCALES, MultiScaleClassifier
from training.networks.nts_net import NTSNet
from training.networks.table_rows import ROWS, TASKS, Row, SingleScaleClassifier, build, keep_classes


def test_a_single_scale_scores_with_its_own_map_alone() -> None:
    torch.manual_seed(0)
    network = MultiScaleClassifier().eval()
    images = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        scores = network.score_maps(images).scores()
        for number, scale in enumerate(SCALES):
            torch.testing.assert_close(SingleScaleClassifier(network, scale).eval()(images), scores[number])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("make", "size"), [(MultiScaleClassifier, 64), (NTSNet, INPUT_SIZE)])
def test_the_classes_of_a_task_keep_their_scores(make: type[torch.nn.Module], size: int, task: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    network = make().eval()
    images = torch.rand(1, 1, size, size)
    with torch.no_grad():
        expected = network(images)[:, [CLASSES.index(name) for name in task]]
        torch.testing.assert_close(keep_classes(network, task).eval()(images), expected)
        assert network(images).shape == (1, 3)  # the original is as it was


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_scores_the_classes_of_its_task(row: Row) -> None:
    torch.manual_seed(0)
    size = 64 if row.scales else INPUT_SIZE
    with torch.no_grad():
        assert build(row, ("cap", "covid19"), None).eval()(torch.rand(1, 1, size, size)).shape == (1, 2)
