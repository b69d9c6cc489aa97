"""What the tests share: real CT, one small study and its results, the order of a run, what `--quick` leaves out."""

import os
from pathlib import Path

import pytest

from app.accelerator import load_cuda_runtime
from groundglass.locations import ROOT
from tests.app.runs import Run, call, write_quick_settings, write_small_study
from tests.progress import FileProgress

# The graph's engine, which tests import, needs it even where there is no GPU.
load_cuda_runtime()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="leave out the tests marked slow or data: what an edit needs")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # the process that tells, not one that xdist started
        config.pluginmanager.register(FileProgress(config))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files with the most slow tests come first, so that no process waits long for another's last file."""
    if config.getoption("quick"):
        slow_or_data = [any(item.get_closest_marker(name) for name in ("slow", "data")) for item in items]
        config.hook.pytest_deselected(items=[item for item, is_out in zip(items, slow_or_data, strict=True) if is_out])
        items[:] = [item for item, is_out in zip(items, slow_or_data, strict=True) if not is_out]
    slow: dict[Path, int] = {}
    for item in items:
        slow[item.path] = slow.get(item.path, 0) + (item.get_closest_marker("slow") is not None)
    items.sort(key=lambda item: -slow[item.path])  # stable: within a file the order stays


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real CT studies, outside the repository; tests that need it are marked `data`."""
    folder = Path(os.environ.get("GROUNDGLASS_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("no CT data: GROUNDGLASS_DATA, or else ../shared/data, is not a folder")
    return folder


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
