"""What a run of the tests shows: a line when a file begins, and each failure at once."""

import time
from typing import Any

import pytest


class FileProgress:
    """Takes the place of pytest's dots: which file runs, how far the run is, how long it has taken."""

    def __init__(self, config: pytest.Config) -> None:
        self._plugins = config.pluginmanager
        self._start = time.monotonic()
        self._begun: set[str] = set()
        self._total = self._done = 0

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        self._total = len(ids)  # each process collects all of them

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._total = len(session.items)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        file = nodeid.split("::")[0]
        if file not in self._begun:
            self._begun.add(file)
            self._tell(file)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._tell(f"FAILED {report.nodeid}")

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._done += 1

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        if report.passed and report.when == "call":
            return "passed", "", ""
        return None

    def _tell(self, what: str) -> None:
        minutes, seconds = divmod(round(time.monotonic() - self._start), 60)
        percent = 100 * self._done // max(1, self._total)
        terminal = self._plugins.get_plugin("terminalreporter")
        terminal.write_line(f"{percent:3} %  {minutes:2}:{seconds:02}  {what}")
