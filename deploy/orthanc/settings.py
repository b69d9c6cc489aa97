"""The settings of the bridge: bridge.yaml, and a site's own file in place of parts of it."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import yaml

ROOT = Path(__file__).resolve().parents[2]
"""Holds `deploy` and, where the application is not a container, `app`."""
DEFAULTS = Path(__file__).with_name("bridge.yaml")
_SCHEMA = Path(__file__).with_name("bridge.schema.json")


class SettingsError(ValueError):
    """A settings file can't be used; the text says which setting, and why."""


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

    def command_for(self, study: Path, results: Path) -> list[str]:
        """The application's command line for one study."""
        return [_fill(part, str(study), str(results)) for part in self.command]

    def retry_after_s(self, attempts: int) -> float:
        """How long a study waits after so many failed attempts."""
        return min(self.first_retry_s * 2.0 ** min(attempts - 1, 60), self.longest_retry_s)


def load_settings(file: Path | None = None) -> Settings:
    """The defaults, with the settings of `file` in their place.

    Raises:
        SettingsError: a file can't be read, a setting is unknown, or its value is not allowed.
    """
    values = _read(DEFAULTS)
    if file is not None:
        for section, value in _read(file).items():
            values[section] = values[section] | value if isinstance(value, dict) else value
    orthanc, changes, application = values["orthanc"], values["changes"], values["application"]
    queue, folders, monitoring = values["queue"], values["folders"], values["monitoring"]
    for part in application["command"]:
        _check_placeholders(part)
    if not any("{output}" in part for part in application["command"]):
        raise SettingsError("The setting application.command has no {output}, so no results would be found.")
    return Settings(
        url=orthanc["url"].rstrip("/"),
        username=orthanc["username"],
        password=_first_line(orthanc["password_file"]),
        ca_file=orthanc["ca_file"],
        timeout_s=orthanc["timeout_s"],
        poll_s=changes["poll_s"],
        page=changes["page"],
        settle_s=changes["settle_s"],
        analyse_earlier_studies=changes["earlier_studies"] == "analyse",
        command=tuple(application["command"]),
        application_timeout_s=application["timeout_s"],
        workers=queue["workers"],
        maximum_waiting=queue["maximum"],
        attempts=queue["attempts"],
        first_retry_s=queue["first_retry_s"],
        longest_retry_s=queue["longest_retry_s"],
        destination=values["destination"],
        state_folder=Path(folders["state"]).absolute(),
        work_folder=Path(folders["work"]).absolute(),
        address=monitoring["address"],
        port=monitoring["port"],
        log_level=monitoring["log_level"],
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"The settings file {file} can't be read ({error.strerror}).") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings file {file} is not valid YAML: {error}") from error
    try:
        jsonschema.validate(values, json.loads(_SCHEMA.read_text(encoding="utf-8")))
    except jsonschema.ValidationError as error:
        name = ".".join(map(str, error.absolute_path)) or "the file as a whole"
        raise SettingsError(f"In the settings file {file}, {name}: {error.message}.") from error
    settings: dict[str, Any] = values
    return settings


def _fill(part: str, study: str, results: str) -> str:
    return part.format(input=study, output=results, python=sys.executable, uid=os.getuid(), gid=os.getgid())


def _check_placeholders(part: str) -> None:
    try:
        _fill(part, "", "")
    except (KeyError, IndexError, ValueError) as error:
        raise SettingsError(
            f"The setting application.command has {part!r}. In braces it may have input, output, python, uid and gid; "
            "a brace itself is written twice."
        ) from error


def _first_line(file: str) -> str:
    if not file:
        return ""
    try:
        return Path(file).read_text(encoding="utf-8").splitlines()[0]
    except (OSError, UnicodeDecodeError, IndexError) as error:
        raise SettingsError("The file that orthanc.password_file names can't be read, or is empty.") from error
