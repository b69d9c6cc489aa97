"""The bridge is ended before every single step of a case, and slices arrive before it is back: one set of results."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from conformance.orthanc import Orthanc
from deploy.orthanc.application import Application
from deploy.orthanc.archive import Archive
from deploy.orthanc.case import work_on
from deploy.orthanc.monitoring import Monitor
from deploy.orthanc.settings import Settings, load_settings
from deploy.orthanc.state import State
from tests.deploy.loop import archive, assert_one_set_of_results, need_orthanc, small_application, write_studies

pytestmark = pytest.mark.slow

LEAST_IMAGES = 5  # that the small application analyses
ARCHIVE_STEPS = ("ct_images", "store", "series", "delete_series")
STATE_STEPS = ("count_attempt", "expect_results", "results", "results_stored", "finish")
STEPS = 12
"""Of a run that supersedes two series by two others: four of the archive's are done twice, or with each series."""


class PowerCut(BaseException):
    """What no code of the bridge catches."""


class Cutter:
    """Ends a run before the step with this number."""

    def __init__(self, number: int) -> None:
        self.left = number

    def watch(self, thing: object, names: tuple[str, ...]) -> None:
        for name in names:
            setattr(thing, name, self._cutting(getattr(thing, name)))

    def _cutting(self, step: Callable[..., object]) -> Callable[..., object]:
        def cut(*arguments: object) -> object:
            self.left -= 1
            if self.left == 0:
                raise PowerCut
            return step(*arguments)

        return cut


@pytest.fixture
def running() -> Iterator[Orthanc]:
    need_orthanc()
    with archive() as started:
        yield started


@pytest.fixture
def settings(running: Orthanc, tmp_path: Path) -> Settings:
    own = {
        "orthanc": {"url": running.url},
        "application": small_application(),
        "folders": {"state": str(tmp_path / "state"), "work": str(tmp_path / "work")},
    }
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(own))
    return load_settings(tmp_path / "settings.yaml")


def store(settings: Settings, files: list[Path]) -> str:
    """Store images as a sender does; returns Orthanc's identifier of their study."""
    orthanc = Archive(settings)
    before = orthanc.last_change()
    for path in files:
        orthanc.store(path)
    (study,) = orthanc.studies_of(orthanc.changes(before, 100).instances)
    return study


def work(settings: Settings, study: str, cutter: Cutter | None = None) -> None:
    """A bridge's start, its work on one study that it is told of, and its end."""
    state, orthanc = State(settings.state_folder), Archive(settings)
    try:
        state.take_over()
        state.note({study: 0.0}, 1)
        if cutter is not None:
            cutter.watch(orthanc, ARCHIVE_STEPS)
            cutter.watch(state, STATE_STEPS)
        job = state.take()
        assert job is not None
        stop = threading.Event()
        work_on(job, orthanc, Application(settings, stop), state, settings, Monitor(state), stop)
        state.finish(job)
    finally:
        state.close()


def test_a_bridge_that_is_ended_at_any_step_leaves_one_set_of_results(
    running: Orthanc, settings: Settings, tmp_path: Path
) -> None:
    """One study grows: before each step another slice arrives, and another one after the bridge was ended there."""
    (files,) = write_studies(tmp_path / "studies", 1, slices=LEAST_IMAGES + 2 * (STEPS + 1))
    there = LEAST_IMAGES
    study = store(settings, files[:there])
    work(settings, study)
    for number in range(1, STEPS + 2):
        store(settings, files[there : there + 1])
        cutter = Cutter(number)
        if number <= STEPS:
            with pytest.raises(PowerCut):
                work(settings, study, cutter)
        else:
            work(settings, study, cutter)
            assert cutter.left == 1, "the steps have changed"
        there += 2
        store(settings, files[there - 1 : there])
        work(settings, study)
        assert_one_set_of_results(running, [files[:there]])
