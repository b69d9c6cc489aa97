"""One small study and its results, which many tests of whole jobs look at."""

from pathlib import Path

import pytest

from tests.app.runs import Run, call, write_quick_settings, write_small_study


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A settings file, to be read only."""
    return write_quick_settings(tmp_path_factory.mktemp("settings") / "quick.yaml")


@pytest.fixture(scope="session")
def small_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that is analysed within seconds with quick settings, to be read only."""
    folder = tmp_path_factory.mktemp("small") / "in"
    write_small_study(folder)
    return folder


@pytest.fixture(scope="session")
def small_run(small_study: Path, quick: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The small study, analysed with quick settings."""
    run = call(small_study, tmp_path_factory.mktemp("small") / "out", "--settings", str(quick))
    assert run.code == 0, run.told
    return run
