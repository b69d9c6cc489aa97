"""Asked to stop, the container does, within seconds, and leaves no half a file."""

import os
import time
from collections.abc import Callable

from tests.image.container.containers import ANY_USER, IMAGE, LOCKED_DOWN, Containers
from tests.image.container.studies import Studies

STOP_S = 5.0
BEGIN_S = 240


def test_sigterm_ends_the_container_within_seconds_and_leaves_nothing_half_written(
    containers: Containers, studies: Studies, measured: Callable[[str], None]
) -> None:
    engine, results = containers.engine, containers.new_folder()
    mounts = [f"--volume={studies.covid}:/var/holoscan/input:ro", f"--volume={results}:/var/holoscan/output"]
    named = f"--name=stop-{os.getpid()}"
    started = engine.run("run", "--detach", named, *LOCKED_DOWN, ANY_USER, *mounts, IMAGE, capture_output=True)
    container = started.stdout.strip()
    deadline = time.monotonic() + BEGIN_S
    while "reading slices" not in engine.run("logs", container, capture_output=True).stderr:
        assert time.monotonic() < deadline, "the run did not begin"
        time.sleep(0.5)
    start = time.monotonic()
    engine.run("kill", "--signal=TERM", container, capture_output=True)
    code = engine.run("wait", container, capture_output=True).stdout.strip()
    seconds = time.monotonic() - start
    engine.run("rm", "--force", container, capture_output=True)
    assert seconds <= STOP_S
    assert code == "143"
    assert list(results.iterdir()) == []
    measured(f"ended after {seconds:.1f} s with exit code {code}, nothing half-written")
