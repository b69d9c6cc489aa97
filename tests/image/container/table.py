"""The table at the end of `make map-test`: what each check measured and how long it took, and what can't be tested."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

MEASURED = "measured"
"""The property of a test that holds what it measured."""
NOT_TESTED = (
    "NVIDIA's base image, and the CUDA variant: no registry is asked, and there is no GPU here",
    "a GPU in the container, and NVIDIA's container runtime, which `monai-deploy run` asks for",
    "Python 3.12 in the image: the Debian base has 3.11",
    "docker's own daemon: podman stands in for it",
)


@dataclass
class Row:
    """One check."""

    name: str
    verdict: str = ""
    measured: str = ""
    seconds: float = 0.0


class CheckTable:
    """Collects the rows while the tests run, and prints them after the last."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._left_out: list[str] = []

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self._left_out += [in_words(item.nodeid) for item in items]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        row = self._rows.setdefault(report.nodeid, Row(in_words(report.nodeid)))
        row.seconds += report.duration
        if report.failed:
            row.verdict, row.measured = "FAILED", what_failed(report)
        elif report.skipped and isinstance(report.longrepr, tuple):
            row.verdict, row.measured = "skipped", report.longrepr[2].removeprefix("Skipped: ")
        elif report.when == "call":
            figures = [str(value) for name, value in report.user_properties if name == MEASURED]
            row.verdict, row.measured = "passed", "; ".join(figures)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        rows = self._rows.values()
        if not rows:
            return
        terminalreporter.section("what was tested")
        width = max(len(row.name) for row in rows)
        for row in rows:
            measured = " ".join(row.measured.split())[: 600 if row.verdict == "FAILED" else 300]
            terminalreporter.write_line(f"{row.verdict:<7}  {row.name:<{width}}  {row.seconds:4.0f} s  {measured}")
        for name in self._left_out:
            terminalreporter.write_line(f"{'left out':<8} {name}")
        terminalreporter.section("not tested here")
        for line in NOT_TESTED:
            terminalreporter.write_line(line)


def in_words(nodeid: str) -> str:
    """A test's name as a sentence without a full stop."""
    return nodeid.rpartition("::")[2].removeprefix("test_").replace("_", " ")


def what_failed(report: pytest.TestReport) -> str:
    """The message of what went wrong, without the trace."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longrepr).strip()
