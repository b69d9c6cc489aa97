"""What the bridge asks of Orthanc, over its REST API. Nothing here holds more than a piece of an image."""

import json
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage
from pyorthanc import Orthanc

from deploy.orthanc.settings import Settings

CT_IMAGES = frozenset({CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage})
"""SOP classes that are analysed. None of the application's results is of one of these."""

_PIECE_BYTES = 1 << 18
_LOOK_S = 0.5


class Unreachable(Exception):
    """Orthanc does not answer; all that can be done is to wait."""


class Refused(Exception):
    """Orthanc answers, but not with what was asked for. The text never quotes the answer, which may name a patient."""


@dataclass(frozen=True)
class Changes:
    """A page of Orthanc's changes.

    Attributes:
        instances: Orthanc's identifiers of new instances.
        stable: of studies that have not changed for Orthanc's StableAge.
        last: number of the last change of the page; of an empty one, of the last change that there ever was.
        done: there are no further ones yet.
    """

    instances: tuple[str, ...]
    stable: tuple[str, ...]
    last: int
    done: bool


@dataclass(frozen=True)
class CTImages:
    """The CT images of a study: Orthanc's identifiers, sorted, and the Series Instance UIDs of their series."""

    instances: tuple[str, ...]
    series_uids: frozenset[str]


class Archive:
    """Orthanc. Every call raises `Unreachable` or `Refused` where it can't be answered.

    Instances belong to one thread each.
    """

    def __init__(self, settings: Settings) -> None:
        self._client = Orthanc(
            settings.url,
            settings.username or None,
            settings.password or None,
            return_raw_response=True,
            timeout=settings.timeout_s,
            verify=ssl.create_default_context(cafile=settings.ca_file or None),
            # Orthanc closes connections that are idle: one that it is about to close must not be used again.
            limits=httpx.Limits(keepalive_expiry=0.5),
            # Orthanc would compress each image, at 60 ms a slice: 18 s for 300, where 0.3 s do (benchmarks.pacs_loop).
            headers={"Accept-Encoding": "identity"},
            trust_env=False,  # an archive is in the house: never behind the proxy that leads out of it
        )

    def answers(self) -> bool:
        """Whether it is there."""
        try:
            with _talking("its version"):
                self._client.get_system().raise_for_status()
        except (Unreachable, Refused):
            return False
        return True

    def last_change(self) -> int:
        """Number of the latest change that is on record; 0 where there is none. Those of what was deleted are not."""
        with _talking("its changes"):
            return int(_json(self._client.get_changes(params={"last": ""}))["Last"])

    def changes(self, since: int, limit: int) -> Changes:
        """The changes after number `since`, at most `limit`."""
        with _talking("its changes"):
            page = _json(self._client.get_changes(params={"since": since, "limit": limit}))
            by_type: dict[str, list[str]] = {}
            for change in page["Changes"]:
                by_type.setdefault(change["ChangeType"], []).append(change["ID"])
            new, stable = by_type.get("NewInstance", []), by_type.get("StableStudy", [])
            return Changes(tuple(new), tuple(stable), page["Last"], page["Done"])

    def studies_of(self, instances: Sequence[str]) -> frozenset[str]:
        """The studies of instances; those that are gone by now have none."""
        if not instances:
            return frozenset()
        with _talking("studies of new images"):
            asked = {"Resources": list(instances), "Level": "Study", "Metadata": False}
            return frozenset(study["ID"] for study in _json(self._client.post_tools_bulk_content(json=asked)))

    def ct_images(self, study: str) -> CTImages:
        """The CT images that a study has now; none where the study is gone."""
        with _talking("the series of a study"):
            series = [each for each in self._series_of(study) if each["MainDicomTags"].get("Modality") == "CT"]
            # A captured screen among the images, say, may stand first.
            series = [each for each in series if any(self._sop_class(name) in CT_IMAGES for name in each["Instances"])]
            uids = frozenset(each["MainDicomTags"]["SeriesInstanceUID"] for each in series)
            return CTImages(tuple(sorted(name for each in series for name in each["Instances"])), uids)

    def series(self, study: str) -> dict[str, str]:
        """Orthanc's identifiers of the series that a study has now, by their Series Instance UIDs."""
        with _talking("the series of a study"):
            return {each["MainDicomTags"]["SeriesInstanceUID"]: each["ID"] for each in self._series_of(study)}

    def _series_of(self, study: str) -> list[Any]:
        answer = self._client.get_studies_id_series(study)
        return [] if answer.status_code == httpx.codes.NOT_FOUND else list(_json(answer))

    def _sop_class(self, instance: str) -> str:
        answer = self._client.get_instances_id_metadata_name(instance, "SopClassUid")
        return str(answer.raise_for_status().text.strip())

    def download(self, instance: str, path: Path) -> None:
        """Write an instance as a DICOM file. Raises OSError where the file can't be written."""
        with (
            _talking("an image"),
            self._client.stream("GET", f"{self._client.url}/instances/{instance}/file") as answer,
            path.open("wb") as file,
        ):
            for piece in answer.raise_for_status().iter_bytes(_PIECE_BYTES):
                file.write(piece)

    def store(self, path: Path) -> None:
        """Store a DICOM file; one that is there already is no error."""
        with path.open("rb") as file, _talking("to store a result"):
            if _json(self._client.post_instances(content=file))["Status"] not in ("Success", "AlreadyStored"):
                raise Refused("Orthanc did not store a result. Its log says why.")

    def delete_series(self, series: str) -> None:
        """Delete a series; one that is gone already is no error."""
        with _talking("to delete a former result"):
            answer = self._client.delete_series_id(series)
            if answer.status_code != httpx.codes.NOT_FOUND:
                answer.raise_for_status()

    def send(self, series: Sequence[str], modality: str, stop: threading.Event) -> bool:
        """Send series to a modality of Orthanc's configuration (C-STORE), and wait until they are there.

        It takes as long as the modality needs: only Orthanc itself has to answer meanwhile. Returns whether they are
        there; they may yet get there where `stop` ended the waiting.
        """
        with _talking("to send results to their destination"):
            order = {"Resources": list(series), "Synchronous": False}
            job = _json(self._client.post_modalities_id_store(modality, json=order))["ID"]
            while (state := _json(self._client.get_jobs_id(job))["State"]) != "Success":
                if state == "Failure":
                    raise Refused("Orthanc could not send results to their destination. Its log says why.")
                if stop.wait(_LOOK_S):
                    return False
        return True


def _json(answer: httpx.Response) -> Any:
    return answer.raise_for_status().json()


@contextmanager
def _talking(asked: str) -> Iterator[None]:
    try:
        yield
    except httpx.HTTPStatusError as error:
        code = error.response.status_code
        if code in (httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT):
            raise Unreachable("Orthanc, or the proxy before it, is not available.") from None
        hint = " Check orthanc.username and orthanc.password_file." if code in (401, 403) else " Its log says why."
        raise Refused(f"Orthanc was asked for {asked} and answered with HTTP status {code}.{hint}") from None
    except httpx.TransportError as error:
        raise Unreachable(
            f"Orthanc does not answer ({type(error).__name__}). Check orthanc.url, and that Orthanc runs."
        ) from None
    except (KeyError, json.JSONDecodeError):
        raise Refused(
            f"What answers at orthanc.url, asked for {asked}, is no Orthanc of version 1.9.4 or newer."
        ) from None
