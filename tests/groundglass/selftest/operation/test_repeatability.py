"""Outputs of the same study that differ are found, and times of creation make no difference."""

from collections.abc import Callable

import pytest
from pydicom import Dataset

from tests.groundglass.selftest.operation.spoiling import Judged, case_of

pytestmark = pytest.mark.slow


def test_a_result_that_says_something_else_is_found(judged: Judged) -> None:
    judged.edit_result(lambda result: case_of(result).update(salient_fraction=0.5))
    assert judged.outcome("The same study again").verdict == "failed"


def lose_a_bit(images: Dataset) -> None:
    middle = len(images.PixelData) // 2
    images.PixelData = (
        images.PixelData[:middle] + bytes([images.PixelData[middle] ^ 1]) + images.PixelData[middle + 1 :]
    )


@pytest.mark.parametrize(
    ("kind", "change"),
    [("key-image-01", lose_a_bit), ("seg", lambda dataset: setattr(dataset, "SOPInstanceUID", "2.25.1"))],
)
def test_a_file_that_is_not_right_is_found(judged: Judged, kind: str, change: Callable[[Dataset], object]) -> None:
    judged.edit(kind, change)
    assert judged.outcome("The same study again").verdict == "failed"


def test_times_of_creation_do_not_make_a_difference(judged: Judged) -> None:
    judged.edit("sr", lambda report: setattr(report, "ContentTime", "010203"))
    assert judged.outcome("The same study again").verdict == "passed"
