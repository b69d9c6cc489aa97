"""A series and its findings belong together, slice by slice."""

import dataclasses

import numpy as np
import pytest

from groundglass.dicomio.reading.volume import read_images
from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.domain.findings import Findings, Prediction, SliceFinding
from tests.groundglass.dicomio.ct_samples import Sample, make_series
from tests.groundglass.dicomio.outputs_fixture import SOFTWARE, make_case


def test_findings_of_another_series_are_refused() -> None:
    case = make_case()
    with pytest.raises(ValueError, match="source images make up"):
        dataclasses.replace(case, sources=case.sources[:-1])
    with pytest.raises(ValueError, match="no source image"):
        dataclasses.replace(case, sources=[])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"lungs": np.zeros((8, 32, 41), np.uint8)}, "lungs has the shape"),
        ({"salient": np.zeros((7, 32, 40), bool)}, "salient regions has the shape"),
        ({"saliency": {3: np.zeros((32, 41), np.float32)}}, "saliency of slice 3"),
        ({"saliency": {8: np.zeros((32, 40), np.float32)}}, "saliency of slice 8"),
    ],
)
def test_arrays_of_another_shape_are_refused(change: dict, told: str) -> None:
    case = make_case()
    with pytest.raises(ValueError, match=told):
        dataclasses.replace(case, findings=dataclasses.replace(case.findings, **change))


def test_a_volume_of_another_shape_is_refused() -> None:
    case = make_case()
    volume = dataclasses.replace(case.volume, hu=case.volume.hu[:, :-1])
    with pytest.raises(ValueError, match="volume has the shape"):
        dataclasses.replace(case, volume=volume)


def test_slices_that_were_placed_on_a_grid_come_back_to_their_images() -> None:
    sample = Sample(rows=40, columns=40, spacing_mm=(5.0, 1.0, 2.0))

    def tilt(image, index: int) -> None:
        image.ImagePositionPatient = [0, index, -5 * index]

    read = read_images(make_series(sample, tilt))
    assert read.placement is not None
    assert read.volume.hu.shape != (30, 40, 40)
    lungs = (read.volume.hu == -850).astype(np.uint8)
    analysed = AnalysedSeries.of(
        read, Findings(lungs, 1.0, 1.0, Prediction((0.9, 0.1, 0.0), "absent", "undetermined"), 0.0, ()), SOFTWARE
    )
    assert analysed.volume.hu.shape == (30, 40, 40)
    np.testing.assert_array_equal(analysed.findings.lungs, analysed.volume.hu == -850)
    assert analysed.sources == read.sources


def test_slices_beyond_the_budget_are_warned_of_after_the_choice_of_the_series() -> None:
    read = read_images(make_series(Sample(rows=40, columns=40, spacing_mm=(5.0, 1.0, 2.0))))
    slices = tuple(
        SliceFinding(index, 500.0, (0.1, 0.8, 0.1), index < 4, why_not_explained=None if index < 4 else "budget")
        for index in range(13)
    )
    prediction = Prediction((0.1, 0.8, 0.1), "present", "undetermined")
    lungs = (read.volume.hu == -850).astype(np.uint8)
    findings = Findings(lungs, 2000.0, 1500.0, prediction, 0.1, slices)
    first, second = AnalysedSeries.of(read, findings, SOFTWARE, ("Look out.",)).warnings
    assert first == "Look out."
    assert "on 4 of 13 slices" in second
