"""bridge.yaml, section by section: what each setting means, its unit, its source, and which values it may have.

`bridge.schema.json` and `docs/settings.md` are made of it; `deploy.orthanc.settings` is what the code uses.
"""

import os
import sys
from typing import Literal

from pydantic import field_validator

from groundglass.settings_file import Section, setting

_LEAST_S = 0.001
_WEEK_S = 604_800


class OrthancSection(Section):
    """How Orthanc is reached."""

    url: str = setting(
        "Address of the REST API.",
        "",
        "the site",
        pattern="^https?://[^/]+",
        allowed="be an address that begins with http:// or https://",
    )
    username: str = setting("Of a user of Orthanc's; empty where it asks for none.", "", "the site")
    password_file: str = setting("File whose first line is the password; empty for none.", "", "the site")
    ca_file: str = setting(
        "PEM file of the authority behind Orthanc's certificate; empty for the system's.", "", "the site"
    )
    timeout_s: float = setting(
        "Without an answer, after which Orthanc counts as unreachable.", "s", "choice", low=_LEAST_S, high=_WEEK_S
    )


class ChangesSection(Section):
    """How Orthanc's changes are followed."""

    poll_s: float = setting("Between two looks at Orthanc's changes.", "s", "choice", low=0.05, high=60)
    page: int = setting("Changes read at a time.", "changes", "choice", low=1, high=10_000)
    settle_s: float = setting(
        "Without a new image, after which a study is complete even though Orthanc has not called it stable; more than "
        "Orthanc's own StableAge.",
        "s",
        "choice: five times the StableAge of orthanc.json",
        low=_LEAST_S,
        high=_WEEK_S,
    )
    earlier_studies: Literal["skip", "analyse"] = setting(
        "What becomes of the studies that Orthanc holds at the very first start.", "", "the site"
    )


class ApplicationSection(Section):
    """How the application is started."""

    command: list[str] = setting(
        "Words of its command line, run in the folder that holds `deploy`. {input} and {output} are folders of the "
        "study and of its results: it is started for each study. Without both it is a worker, `groundglass worker`, "
        "which stays and takes study after study. {python} is the bridge's own, {uid} and {gid} are those of the "
        "bridge's user.",
        "",
        "the site",
        least=1,
        allowed="be a list of words, one of them with {output} where one has {input}; in braces they may have input, "
        "output, python, uid and gid, and a brace itself is written twice",
    )
    timeout_s: float = setting("After which a run is ended and tried again.", "s", "choice", low=_LEAST_S, high=_WEEK_S)
    worker_studies: int = setting(
        "After so many a worker that stays is replaced by a fresh one.", "studies", "choice", low=1, high=1_000_000
    )
    worker_memory_mib: int = setting(
        "So is one that holds more than this between two studies: what it leaks would only grow.",
        "MiB",
        "choice: four times what it holds",
        low=1,
        high=4_194_304,
    )

    @field_validator("command")
    @classmethod
    def _check_command(cls, command: list[str]) -> list[str]:
        for word in command:
            try:
                fill(word, "", "")
            except (KeyError, IndexError, ValueError, AttributeError):
                raise ValueError(f"it has {word!r}") from None
        marks = [mark for mark in ("{input}", "{output}") if any(mark in word for word in command)]
        if marks == ["{input}"]:
            raise ValueError("it has no {output}, so no results would be found")
        return command


class QueueSection(Section):
    """Which studies wait for how long."""

    workers: int = setting(
        "Studies analysed at a time; each needs the application's cores and memory.",
        "studies",
        "the site",
        low=1,
        high=64,
    )
    maximum: int = setting(
        "Waiting studies above which no more changes are read: Orthanc keeps them.",
        "studies",
        "choice",
        low=1,
        high=1_000_000,
    )
    attempts: int = setting("Tries of one study before it is a dead letter.", "tries", "choice", low=1, high=1_000_000)
    first_retry_s: float = setting(
        "To the second try; each further one waits twice as long.", "s", "choice", low=_LEAST_S, high=_WEEK_S
    )
    longest_retry_s: float = setting("Never longer than this.", "s", "choice", low=_LEAST_S, high=_WEEK_S)


class FoldersSection(Section):
    """Where the bridge keeps what."""

    state: str = setting(
        "The queue, in one SQLite file. It names studies: readable for the bridge's user alone.",
        "",
        "the site",
        least=1,
        allowed="be the path of a folder",
    )
    work: str = setting(
        "A study and its results while it is worked on, times `workers`; logs of failed runs.",
        "",
        "the site",
        least=1,
        allowed="be the path of a folder",
    )


class MonitoringSection(Section):
    """What the bridge tells."""

    address: str = setting(
        "That /health and /metrics are served on.", "", "the site", least=1, allowed="be an address of this machine"
    )
    port: int = setting("TCP port.", "", "the site", low=1, high=65_535)
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "Of the lines on standard output; debug has Orthanc's identifiers.", "", "the site"
    )


class BridgeYaml(Section):
    """Every setting of the bridge. A file of a site's own needs only those that differ."""

    orthanc: OrthancSection
    changes: ChangesSection
    application: ApplicationSection
    queue: QueueSection
    destination: str = setting(
        "Name of a modality in Orthanc's configuration that results are sent on to; empty for none.", "", "the site"
    )
    folders: FoldersSection
    monitoring: MonitoringSection


def fill(word: str, study: str, results: str) -> str:
    """A word of the application's command line, with what its braces stand for."""
    return word.format(input=study, output=results, python=sys.executable, uid=os.getuid(), gid=os.getgid())
