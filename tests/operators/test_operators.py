"""Each operator does its step of the run and hands on what came of it; studies come one after another."""

from collections.abc import Callable
from typing import Any

import pytest
from monai.deploy.core.domain.dicom_series import DICOMSeries
from monai.deploy.core.domain.dicom_study import DICOMStudy

from app.application import GroundglassApplication
from groundglass.case import Case
from groundglass.dicomio.reading.checked_series import CheckedSeries, check_series
from groundglass.dicomio.reading.scan import Scan, Series
from groundglass.dicomio.reading.select import Selection
from operators.dicom_loader import ChosenSeries, ScannedSeries, as_checked, as_scanned, others_of
from tests.groundglass.dicomio.ct_samples import Sample, make_series

STEPS = ("select", "read", "segment", "classify", "explain", "write")


class Recorder:
    """Stands for the run: tells which step was done on what; the study `rejected` has no eligible series."""

    def __init__(self) -> None:
        self.done: list[tuple[str, Any]] = []

    def studies(self, scan: Scan) -> list[list[Series]]:
        return [[series] for series in scan.series]

    def select(self, study: list[Series]) -> Selection:
        self.done.append(("select", study[0].study_instance_uid))
        return Selection(None if study[0].study_instance_uid == "rejected" else check_series(study[0]), ())

    def read(self, chosen: CheckedSeries, number: int, others: tuple[CheckedSeries, ...]) -> Case[str]:
        series = chosen.series
        self.done.append(("read", series.study_instance_uid))
        return Case(number, series.study_instance_uid, series.series_instance_uid, (), "read")

    def segment(self, case: Case) -> Case:
        return self._done("segment", case)

    def classify(self, case: Case) -> Case:
        return self._done("classify", case)

    def explain(self, case: Case) -> Case:
        return self._done("explain", case)

    def write(self, case: Case) -> None:
        self._done("write", case)

    def _done(self, step: str, case: Case) -> Case:
        self.done.append((step, case.found))
        return case.with_found(f"{case.found} {step}")


@pytest.fixture(scope="module")
def ran() -> Recorder:
    """The graph on three studies, the second of which has nothing to analyse."""
    images = tuple(make_series(Sample(slices=2)))
    series = tuple(Series(study, f"{study}.1", images) for study in ("first", "rejected", "last"))
    recorder = Recorder()
    find: Callable[[], Scan] = lambda: Scan(series, ())  # noqa: E731
    GroundglassApplication(find, recorder).run()  # type: ignore[arg-type]
    return recorder


@pytest.mark.parametrize("step", STEPS)
def test_each_operator_does_its_step_once_for_each_study_that_reaches_it(ran: Recorder, step: str) -> None:
    assert sum(name == step for name, _ in ran.done) == (3 if step == "select" else 2)


def test_a_study_leaves_the_graph_before_the_next_one_enters(ran: Recorder) -> None:
    assert [name for name, _ in ran.done] == [*STEPS, "select", *STEPS]


def test_what_an_operator_gives_is_what_the_next_one_gets(ran: Recorder) -> None:
    assert ran.done[-1] == ("write", "read segment classify explain")


def test_a_series_of_another_loader_is_taken_as_it_is() -> None:
    images = make_series(Sample(slices=2))
    study, series = DICOMStudy("1.2"), DICOMSeries("1.2.3")
    for image in images:
        series.add_sop_instance(image)
    assert as_scanned(study, series) == Series("1.2", "1.2.3", tuple(images))
    scanned = Series("1.2", "1.2.3", tuple(images), damaged=1)
    assert as_scanned(study, ScannedSeries(scanned)) is scanned


def test_a_series_is_checked_by_the_selection_alone_unless_another_selector_chose_it() -> None:
    images = make_series()
    study, series = DICOMStudy("1.2"), DICOMSeries("1.2.3")
    for image in images:
        series.add_sop_instance(image)
    assert as_checked(study, series).grid.shape == (30, 24, 32)
    checked = check_series(Series("1.2", "1.2.3", tuple(images)))
    assert as_checked(study, ChosenSeries(checked)) is checked
    assert others_of(series) == ()
    assert others_of(ChosenSeries(checked, (checked,))) == (checked,)
