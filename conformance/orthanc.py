"""A real archive: Orthanc on free loopback ports in a temporary folder, to store, find and fetch every object."""

import io
import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import HTTPError, URLError

import pydicom
from pydicom import Dataset

from conformance.tools import ToolMissing, find, run

DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_START_S = 300
SENDERS = ("DCMSEND", "SCANNER-A", "SCANNER-B")
"""Application entity titles that it takes images from."""
_SEARCHED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "Modality", "PatientID")
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never a proxy for the loopback


@dataclass
class Orthanc:
    """An archive, by its ports on the loopback and the folder that it keeps everything in."""

    dicom_port: int
    http_port: int
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    """Of Orthanc's own configuration, in place of those below."""
    process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        """Of its REST API."""
        return f"http://127.0.0.1:{self.http_port}"

    def start(self) -> None:
        """Start it, with all that its folder holds, and wait until it answers.

        Raises:
            ToolMissing: Orthanc is not installed.
            RuntimeError: it did not start.
        """
        configuration = Path(self.folder, "orthanc.json")
        configuration.write_text(json.dumps(_settings(self) | self.settings), encoding="utf-8")
        with Path(self.folder, "log").open("ab") as log:
            self.process = subprocess.Popen([find("Orthanc"), configuration], stdout=log, stderr=subprocess.STDOUT)
        _wait(self, self.process, Path(self.folder, "log"))

    def stop(self) -> None:
        """End it, and wait until it has."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it as a power cut does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def store(self, paths: Sequence[Path], sender: str = SENDERS[0]) -> list[str]:
        """C-STORE with DCMTK's dcmsend, as one of SENDERS; returns its errors."""
        if not paths:
            return []
        # As they are: by default it sends compressed pixels uncompressed.
        arguments = ("--decompress-never", "--aetitle", sender, "--call", "ORTHANC", "--no-halt")
        code, text = run("dcmsend", *arguments, "127.0.0.1", self.dicom_port, *paths)
        errors = [line for line in text.splitlines() if line.startswith(("E:", "F:"))]
        return errors or ([f"dcmsend ended with the exit code {code}."] if code else [])

    def take(self, paths: Sequence[Path]) -> list[str]:
        """Put files in by HTTP; returns a line for each refused one.

        Unlike `store` it takes images with a UID that no standard allows, as some de-identified ones have: dcmsend
        sends none of these, and archives hold them all the same.
        """
        errors = []
        for path in paths:
            request = urllib.request.Request(f"{self.url}/instances", data=path.read_bytes())
            try:
                with _OPENER.open(request, timeout=60):
                    pass
            except URLError as error:
                errors.append(f"{path.name}: {error}")
        return errors

    def store_and_compare(self, path: Path) -> list[str]:
        """The errors of the way there and back."""
        return self.store([path]) or self.compare(path)

    def compare(self, path: Path) -> list[str]:
        """What differs between a file and what the archive finds (QIDO-RS) and hands out (WADO-RS) of it."""
        sent = pydicom.dcmread(path)
        try:
            found = self._search(sent)
            back = self._fetch(sent)
        except (URLError, ValueError) as error:
            return [f"DICOMweb: {error}"]
        errors = [] if len(found) == 1 else [f"QIDO-RS finds {len(found)} instances in place of one."]
        for keyword in _SEARCHED:
            values = {str(item.get(keyword, "")) for item in found}
            if found and values != {str(sent.get(keyword, ""))}:
                errors.append(f"QIDO-RS has another {keyword}.")
        differing = [element.keyword or str(element.tag) for element in sent if element != back.get(element.tag)]
        added = [str(element.tag) for element in back if element.tag not in sent]
        if differing or added:
            errors.append(f"WADO-RS returns other values of: {', '.join(differing + added)}")
        for keyword in ("PixelData", "FloatPixelData"):
            if sent.get(keyword) != back.get(keyword):
                errors.append(f"The bytes of {keyword} differ.")
        return errors

    def _search(self, sent: Dataset) -> list[Dataset]:
        fields = "&".join(f"includefield={keyword}" for keyword in _SEARCHED)
        query = f"studies/{sent.StudyInstanceUID}/instances?SOPInstanceUID={sent.SOPInstanceUID}&{fields}"
        return [Dataset.from_json(item) for item in json.loads(self._get(query, "application/dicom+json")[0] or "[]")]

    def _fetch(self, sent: Dataset) -> Dataset:
        place = f"studies/{sent.StudyInstanceUID}/series/{sent.SeriesInstanceUID}/instances/{sent.SOPInstanceUID}"
        body, kind = self._get(place, 'multipart/related; type="application/dicom"; transfer-syntax=*')
        boundary = kind.split("boundary=")[1].split(";")[0].strip('"').encode()
        part = body.split(b"--" + boundary)[1]
        return pydicom.dcmread(io.BytesIO(part.partition(b"\r\n\r\n")[2]))

    def _get(self, place: str, accept: str) -> tuple[bytes, str]:
        request = urllib.request.Request(f"{self.url}/dicom-web/{place}", headers={"Accept": accept})
        with _OPENER.open(request, timeout=60) as answer:
            return answer.read(), answer.headers.get("Content-Type", "")

    def answer(self, path: str, headers: Mapping[str, str]) -> tuple[int, str, bytes]:
        """What it answers to a GET that somebody else asks: the status, the type of the content, and the content."""
        request = urllib.request.Request(f"{self.url}{path}", headers=dict(headers))
        try:
            with _OPENER.open(request, timeout=60) as answer:
                return answer.status, answer.headers.get("Content-Type", ""), answer.read()
        except HTTPError as error:
            return error.code, error.headers.get("Content-Type", ""), error.read()


@contextmanager
def running(**settings: Any) -> Iterator[Orthanc]:
    """Starts Orthanc with a folder of its own; stops and removes it at the end, whatever happens in between.

    A service that the Debian package may have started is left alone: the ports are others.

    Args:
        settings: of Orthanc's configuration, in place of those below.

    Raises:
        ToolMissing: Orthanc or its DICOMweb plugin is not installed.
        RuntimeError: it did not start.
    """
    if not DICOMWEB.is_file():
        raise ToolMissing("Orthanc's DICOMweb plugin is not installed. Run `apt-get install orthanc-dicomweb`.")
    with TemporaryDirectory(prefix="groundglass-orthanc-") as folder:
        dicom_port, http_port = free_ports(2)
        archive = Orthanc(dicom_port, http_port, Path(folder), settings)
        try:
            archive.start()
            yield archive
        finally:
            archive.stop()


def _settings(archive: Orthanc) -> dict[str, Any]:
    senders = {name: {"AET": name, "Host": "127.0.0.1", "Port": 104, "AllowStore": True} for name in SENDERS}
    return {
        "Name": "groundglass",
        "StorageDirectory": str(archive.folder),
        "IndexDirectory": str(archive.folder),
        "HttpPort": archive.http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        # Its DICOM port listens on every interface, so that it takes images from this machine only.
        "DicomPort": archive.dicom_port,
        "DicomAet": "ORTHANC",
        "DicomAlwaysAllowStore": False,
        "DicomAlwaysAllowEcho": False,
        "DicomCheckModalityHost": True,
        "DicomModalities": senders,
        "Plugins": [str(DICOMWEB)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "OverwriteInstances": True,
        "UnknownSopClassAccepted": True,  # label maps are younger than Debian's version
    }


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _wait(archive: Orthanc, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            archive._get("studies?limit=1", "application/dicom+json")
            return
        except (URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"Orthanc did not start: {log.read_text(errors='replace').strip()[-500:]}")
