"""What the bridge tells: a line of JSON for each event, /health and /metrics. Never anything of a patient.

Orthanc's identifiers are hashes of a patient's identifiers: whoever knows those can find the patient's lines by them.
So the log names a study by its number in the bridge's state, and Orthanc's identifier appears at level debug alone.
"""

import json
import logging
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, make_wsgi_app
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from deploy.orthanc.state import State

LOG = logging.getLogger("groundglass.bridge")
_PREFIX = "groundglass_bridge"
_SECONDS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)

Health = Callable[[], tuple[bool, dict[str, Any]]]
"""Whether the bridge does what it is for, and what to tell about it."""


class Monitor:
    """The bridge's log and its counters, which begin at 0 with each start."""

    def __init__(self, state: State) -> None:
        disable_created_metrics()
        self.registry = CollectorRegistry()
        self.registry.register(_QueueCollector(state))
        ProcessCollector(registry=self.registry)
        self._studies = Counter(
            f"{_PREFIX}_studies", "Studies whose results are stored, by outcome", ["outcome"], registry=self.registry
        )
        self._failures = Counter(f"{_PREFIX}_failures", "Tries that failed", registry=self.registry)
        self._stages = Histogram(
            f"{_PREFIX}_stage_seconds", "Seconds of each stage", ["stage"], buckets=_SECONDS, registry=self.registry
        )
        self._orthanc_up = Gauge(f"{_PREFIX}_orthanc_up", "1 while Orthanc answers", registry=self.registry)
        for outcome in ("analysed", "refused", "not_eligible"):
            self._studies.labels(outcome)

    def tell(self, level: str, event: str, **fields: object) -> None:
        """One line in the log."""
        LOG.log(logging.getLevelNamesMapping()[level.upper()], event, extra={"fields": fields})

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Count the seconds of a stage that ends without an error."""
        start = time.perf_counter()
        yield
        self._stages.labels(stage).observe(time.perf_counter() - start)

    def count_study(self, outcome: str) -> None:
        """A study has got its results."""
        self._studies.labels(outcome).inc()

    def count_failure(self) -> None:
        """A try has failed."""
        self._failures.inc()

    def orthanc_answers(self, answers: bool) -> None:
        """Whether Orthanc was there just now."""
        self._orthanc_up.set(answers)


class _QueueCollector(Collector):
    """The queue as it is at the moment of asking."""

    def __init__(self, state: State) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        counts = self._state.counts()
        studies = GaugeMetricFamily(f"{_PREFIX}_queue_studies", "Studies by state", labels=["state"])
        for name in ("waiting", "receiving", "retrying", "running", "done"):
            studies.add_metric([name], getattr(counts, name))
        yield studies
        yield GaugeMetricFamily(f"{_PREFIX}_dead_letters", "Studies that were given up", value=counts.dead)
        age = "How long the oldest study has waited for a worker"
        yield GaugeMetricFamily(f"{_PREFIX}_queue_oldest_seconds", age, value=counts.oldest_s)


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"time": now, "level": record.levelname.lower(), "event": record.getMessage()}
        return json.dumps(line | getattr(record, "fields", {}))


def set_up_log(level: str) -> None:
    """Lines go to standard output; nothing but the bridge writes there."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Lines())
    LOG.handlers = [handler]
    LOG.propagate = False
    LOG.setLevel(level.upper())


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Leave out a line for each look at the metrics."""


def serve(monitor: Monitor, health: Health, address: str, port: int) -> WSGIServer:
    """Serve /health and /metrics in a thread of its own.

    Raises:
        OSError: the port is taken, or the address is not this machine's.
    """
    metrics = make_wsgi_app(monitor.registry)

    def respond(environment: WSGIEnvironment, start: StartResponse) -> Any:
        path = environment["PATH_INFO"]
        if path == "/metrics":
            return metrics(environment, start)
        if path != "/health":
            start("404 Not Found", [("Content-Type", "text/plain")])
            return [b"There are /health and /metrics.\n"]
        healthy, told = health()
        start("200 OK" if healthy else "503 Service Unavailable", [("Content-Type", "application/json")])
        return [json.dumps(told).encode() + b"\n"]

    server = make_server(address, port, respond, server_class=_Server, handler_class=_Quiet)
    threading.Thread(target=server.serve_forever, name="monitoring", daemon=True).start()
    return server
