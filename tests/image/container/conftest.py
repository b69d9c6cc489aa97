"""The container image, built here, offline, and run locked down in every way that it has to stand: `make map-test`.

`make test` leaves this folder out. Everything lies in a storage of its own, which is removed at the end. With `--quick`
tests marked slow or data are left out, settings are short, and the self-test is its installation part.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from image.build import Engine, build_image
from tests.image.container.containers import IMAGE, Containers, Run
from tests.image.container.storage import own_storage, why_not
from tests.image.container.studies import Studies, make_studies
from tests.image.container.table import MEASURED, CheckTable

HERE = Path(__file__).parent
ORDER = (
    *("test_build", "test_content", "test_commands", "test_locked_down", "test_exit_codes", "test_stop"),
    *("test_callers", "test_memory", "test_reproducible_build", "test_self_test"),
)
"""In which a reader wants the answers: what fails at once comes first."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--keep", type=Path, metavar="DIR", help="keep the images in this folder, for the next run")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(CheckTable())


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {HERE / f"{name}.py": place for place, name in enumerate(ORDER)}
    items.sort(key=lambda item: places.get(item.path, -1))


@pytest.fixture(scope="session")
def storage(request: pytest.FixtureRequest) -> Iterator[tuple[Engine, Path]]:
    """The engine, and a folder to work in."""
    if reason := why_not():
        pytest.exit(f"make map-test is skipped, nothing was tested: {reason}.", returncode=0)
    keep: Path | None = request.config.getoption("keep")
    with own_storage(keep and keep.resolve()) as opened:
        yield opened


@pytest.fixture(scope="session")
def engine(storage: tuple[Engine, Path]) -> Engine:
    return storage[0]


@pytest.fixture(scope="session")
def containers(storage: tuple[Engine, Path], request: pytest.FixtureRequest) -> Containers:
    """Of the image, which is built first; without it nothing else is tested."""
    engine, work = storage
    try:
        build_image(engine, "debian", tag=IMAGE, quiet=True)
    except Exception:
        request.session.shouldfail = "there is no image to test"
        raise
    return Containers(engine, work)


@pytest.fixture(scope="session")
def studies(storage: tuple[Engine, Path]) -> Studies:
    """To be read only."""
    return make_studies(storage[1] / "in")


@pytest.fixture(scope="session")
def is_quick(request: pytest.FixtureRequest) -> bool:
    """Whether the run is the short one."""
    return bool(request.config.getoption("quick"))


@pytest.fixture(scope="session")
def selftest(containers: Containers, is_quick: bool) -> Iterator[Future[tuple[Run, Path]]]:
    """The self-test in a container, begun: how it ended, and the folder of its report.

    It takes three minutes, and builds wait for the disk: neither measures a time, so that they go side by side.
    """
    results = containers.new_folder()
    options = ["--no-operational"] if is_quick else []

    def carry_out() -> tuple[Run, Path]:
        return containers.run("selftest", *options, mounts={results: "/var/holoscan/output"}), results

    with ThreadPoolExecutor(max_workers=1) as beside:
        yield beside.submit(carry_out)


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Tells the table what was measured."""
    return lambda figures: record_property(MEASURED, figures)
