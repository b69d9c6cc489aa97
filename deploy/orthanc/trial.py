"""A bridge in a process of its own, with state and work in one folder: for the demonstration, tests and benchmark."""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import yaml

from conformance.orthanc import free_ports
from deploy.orthanc.settings import ROOT
from deploy.orthanc.state import State

HANGS_S = 300.0
"""After which the bridge will not do any more what takes it some seconds at most."""
_ANSWER_S = 60

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never a proxy for the loopback


class NotInTime(Exception):
    """What was waited for did not come; the text has the bridge's last lines."""


class TrialBridge:
    """`python -m deploy.orthanc`, which can be started, stopped, killed and started again.

    Attributes:
        url: that it serves /health and /metrics at.
        state: folder of its state.
        log: file with all its lines.
        process: the latest one; None before the first start.
    """

    def __init__(self, folder: Path, orthanc_url: str, **settings: Any) -> None:
        """Write its settings file; `settings` are sections of bridge.yaml in place of those that suit a trial."""
        folder.mkdir(parents=True, exist_ok=True)
        (port,) = free_ports(1)
        self._orthanc_url = orthanc_url
        self.url = f"http://127.0.0.1:{port}"
        own: dict[str, Any] = {
            "orthanc": {"url": orthanc_url},
            "changes": {"poll_s": 0.2, "settle_s": 15},
            "folders": {"state": str(folder / "state"), "work": str(folder / "work")},
            "monitoring": {"port": port},
        }
        for section, value in settings.items():
            own[section] = own.get(section, {}) | value if isinstance(value, dict) else value
        self._file = folder / "settings.yaml"
        self._file.write_text(yaml.safe_dump(own), encoding="utf-8")
        self.state = folder / "state"
        self.log = folder / "bridge.log"
        self.process: subprocess.Popen | None = None

    def command(self, *words: str) -> list[str]:
        """The bridge's command line, with the trial's settings."""
        return [sys.executable, "-m", "deploy.orthanc", "--settings", str(self._file), *words]

    @property
    def pid(self) -> int:
        """Of the running process; 0 before the first start."""
        return self.process.pid if self.process else 0

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command(), cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        self.wait_until(lambda: self.health() is not None)

    def stop(self) -> int:
        """End it as systemd does; returns its exit code."""
        if self.process is None:
            return 0
        self.process.terminate()
        return self.process.wait(HANGS_S)

    def kill(self) -> None:
        """End it as a power cut does."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def health(self) -> dict[str, Any] | None:
        """What /health tells, healthy or not; None where nothing answers."""
        try:
            return self._health(_OPENER.open(f"{self.url}/health", timeout=_ANSWER_S))
        except HTTPError as unhealthy:
            return self._health(unhealthy)
        except (URLError, OSError):
            return None

    @staticmethod
    def _health(answer: Any) -> dict[str, Any]:
        with answer:
            told: dict[str, Any] = json.load(answer)
            return told

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics, by name and labels as they are written there."""
        with _OPENER.open(f"{self.url}/metrics", timeout=_ANSWER_S) as answer:
            lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """The lines of its log, all or those of one event."""
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.is_file() else []
        events = [json.loads(line) for line in lines if line.startswith("{")]
        return [event for event in events if not name or event["event"] == name]

    def wait_until(self, condition: Callable[[], object], timeout_s: float = HANGS_S) -> None:
        """Wait for something that the bridge brings about.

        Raises:
            NotInTime: it did not come, or the bridge has ended.
        """
        deadline = time.monotonic() + timeout_s
        while not condition():
            ended = self.process is not None and self.process.poll() is not None
            if ended or time.monotonic() > deadline:
                last = "\n".join(self.log.read_text(encoding="utf-8").splitlines()[-10:])
                what = "The bridge has ended" if ended else f"The bridge did not get there within {timeout_s:g} s"
                raise NotInTime(f"{what}. Its last lines:\n{last}")
            time.sleep(0.1)

    def wait_until_idle(self, done: int, timeout_s: float = HANGS_S) -> None:
        """Wait until so many studies are done, none waits, and nothing that Orthanc tells is still to be read.

        Stored results look like new images at first, so that numbers of studies alone would not say it.
        """

        def idle() -> bool:
            last = self.last_change()
            if self.position() < last:
                return False
            told = self.health() or {}
            under_way = sum(told.get(kind, 1) for kind in ("waiting", "receiving", "retrying", "running"))
            return told.get("done") == done and not under_way and self.last_change() == last

        self.wait_until(idle, timeout_s)

    def last_change(self) -> int:
        """Number of the last change that Orthanc has on record."""
        with _OPENER.open(f"{self._orthanc_url}/changes?last", timeout=_ANSWER_S) as answer:
            return int(json.load(answer)["Last"])

    def position(self) -> int:
        """Number of the last change that the bridge has read; -1 before the first."""
        state = State(self.state)
        try:
            return -1 if state.position is None else state.position
        finally:
            state.close()
