"""A real archive: Orthanc on free loopback ports in a temporary folder, to store, find and fetch every object."""

import io
import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import URLError

import pydicom
from pydicom import Dataset

from validation.conformance.tools import ToolMissing, find, run

DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_START_S = 60
_SENDER = "DCMSEND"
_SEARCHED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "Modality", "PatientID")
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never a proxy for the loopback


@dataclass(frozen=True)
class Orthanc:
    """A running archive, by its ports on the loopback and the folder that it keeps everything in."""

    dicom_port: int
    http_port: int
    folder: Path

    def store(self, paths: Sequence[Path]) -> list[str]:
        """C-STORE with DCMTK's dcmsend; returns its errors."""
        if not paths:
            return []
        arguments = ("--aetitle", _SENDER, "--call", "ORTHANC", "--no-halt", "127.0.0.1", self.dicom_port)
        code, text = run("dcmsend", *arguments, *paths)
        errors = [line for line in text.splitlines() if line.startswith(("E:", "F:"))]
        return errors or ([f"dcmsend ended with the exit code {code}."] if code else [])

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
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http_port}/dicom-web/{place}", headers={"Accept": accept}
        )
        with _OPENER.open(request, timeout=60) as answer:
            return answer.read(), answer.headers.get("Content-Type", "")


@contextmanager
def running() -> Iterator[Orthanc]:
    """Starts Orthanc with a folder of its own; stops and removes it at the end, whatever happens in between.

    A service that the Debian package may have started is left alone: the ports are others.

    Raises:
        ToolMissing: Orthanc or its DICOMweb plugin is not installed.
        RuntimeError: it did not start.
    """
    program = find("Orthanc")
    if not DICOMWEB.is_file():
        raise ToolMissing("Orthanc's DICOMweb plugin is not installed. Run `apt-get install orthanc-dicomweb`.")
    with TemporaryDirectory(prefix="groundglass-orthanc-") as folder:
        dicom_port, http_port = _free_ports(2)
        archive = Orthanc(dicom_port, http_port, Path(folder))
        configuration = Path(folder, "orthanc.json")
        configuration.write_text(json.dumps(_settings(archive, folder)), encoding="utf-8")
        with Path(folder, "log").open("w+b") as log:
            process = subprocess.Popen([program, configuration], stdout=log, stderr=subprocess.STDOUT)
            try:
                _wait(archive, process, Path(folder, "log"))
                yield archive
            finally:
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _settings(archive: Orthanc, folder: str) -> dict[str, Any]:
    return {
        "Name": "groundglass conformance",
        "StorageDirectory": folder,
        "IndexDirectory": folder,
        "HttpPort": archive.http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        # Its DICOM port listens on every interface, so that it takes images from this machine only.
        "DicomPort": archive.dicom_port,
        "DicomAet": "ORTHANC",
        "DicomAlwaysAllowStore": False,
        "DicomAlwaysAllowEcho": False,
        "DicomCheckModalityHost": True,
        "DicomModalities": {"sender": {"AET": _SENDER, "Host": "127.0.0.1", "Port": 104, "AllowStore": True}},
        "Plugins": [str(DICOMWEB)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "OverwriteInstances": True,
        "UnknownSopClassAccepted": True,  # label maps are younger than Debian's version
    }


def _free_ports(count: int) -> list[int]:
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
