"""The settings of the bridge: bridge.yaml, and a site's own file in place of parts of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.orthanc.bridge_yaml import BridgeYaml, fill
from groundglass.settings_file import SettingsError, check_settings, read_settings

ROOT = Path(__file__).resolve().parents[2]
"""Holds `deploy` and, where the application is not a container, `app`."""
DEFAULTS = Path(__file__).with_name("bridge.yaml")


@dataclass(frozen=True)
class Settings:
    """As in bridge.yaml, which says what each is for and in which unit."""

    url: str
    username: str
    password: str
    ca_file: str
    timeout_s: float
    poll_s: float
    page: int
    settle_s: float
    analyse_earlier_studies: bool
    command: tuple[str, ...]
    application_timeout_s: float
    worker_studies: int
    worker_memory_mib: int
    workers: int
    maximum_waiting: int
    attempts: int
    first_retry_s: float
    longest_retry_s: float
    destination: str
    state_folder: Path
    work_folder: Path
    address: str
    port: int
    log_level: str

    @property
    def stays(self) -> bool:
        """Whether the application is a worker that takes study after study: its command names no study."""
        return not any(mark in word for word in self.command for mark in ("{input}", "{output}"))

    def command_for(self, study: Path, results: Path) -> list[str]:
        """The application's command line for one study."""
        return [fill(part, str(study), str(results)) for part in self.command]

    def retry_after_s(self, attempts: int) -> float:
        """How long a study waits after so many failed attempts."""
        return min(self.first_retry_s * 2.0 ** min(attempts - 1, 60), self.longest_retry_s)


def load_settings(file: Path | None = None) -> Settings:
    """The defaults, with the settings of `file` in their place.

    Raises:
        SettingsError: a file can't be read; or with a line for each fault: the setting, its value, what is allowed.
    """
    values = read_settings(DEFAULTS, DEFAULTS.name)
    if file is not None:
        own = read_settings(file, str(file))
        values = _in_place(values, own) if isinstance(own, dict) else own
    read = check_settings(BridgeYaml, values, str(file or DEFAULTS.name))
    return Settings(
        url=read.orthanc.url.rstrip("/"),
        username=read.orthanc.username,
        password=_first_line(read.orthanc.password_file),
        ca_file=read.orthanc.ca_file,
        timeout_s=read.orthanc.timeout_s,
        poll_s=read.changes.poll_s,
        page=read.changes.page,
        settle_s=read.changes.settle_s,
        analyse_earlier_studies=read.changes.earlier_studies == "analyse",
        command=tuple(read.application.command),
        application_timeout_s=read.application.timeout_s,
        worker_studies=read.application.worker_studies,
        worker_memory_mib=read.application.worker_memory_mib,
        workers=read.queue.workers,
        maximum_waiting=read.queue.maximum,
        attempts=read.queue.attempts,
        first_retry_s=read.queue.first_retry_s,
        longest_retry_s=read.queue.longest_retry_s,
        destination=read.destination,
        state_folder=Path(read.folders.state).absolute(),
        work_folder=Path(read.folders.work).absolute(),
        address=read.monitoring.address,
        port=read.monitoring.port,
        log_level=read.monitoring.log_level,
    )


def _in_place(defaults: dict[str, Any], own: dict[Any, Any]) -> dict[Any, Any]:
    """The defaults, with a site's own settings in place of theirs."""
    sections = {
        name: defaults[name] | value if isinstance(value, dict) and isinstance(defaults.get(name), dict) else value
        for name, value in own.items()
    }
    return defaults | sections


def _first_line(file: str) -> str:
    if not file:
        return ""
    try:
        return Path(file).read_text(encoding="utf-8").splitlines()[0]
    except (OSError, UnicodeDecodeError, IndexError) as error:
        raise SettingsError("The file that orthanc.password_file names can't be read, or is empty.") from error
