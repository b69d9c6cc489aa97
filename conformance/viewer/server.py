"""OHIF and the archive under one address of the loopback, as a hospital's server has them; keeps what a page sends."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from conformance.orthanc import Orthanc

Measured = dict[str, bytes]
"""What was found in the viewer, by name."""

_DICOMWEB = "/dicom-web"
_CONFIGURATION = """window.config = {
  routerBasename: '/',
  extensions: [],
  modes: [],
  showStudyList: true,
  maxNumberOfWebWorkers: 2,
  showCPUFallbackMessage: false,
  investigationalUseDialog: { option: 'never' },
  httpErrorHandler: (error) => console.error(`HTTP ${error.message}`),
  defaultDataSourceName: 'archive',
  dataSources: [{
    namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
    sourceName: 'archive',
    configuration: {
      friendlyName: 'The archive',
      qidoRoot: '/dicom-web',
      wadoRoot: '/dicom-web',
      imageRendering: 'wadors',
      thumbnailRendering: 'wadors',
      enableStudyLazyLoad: true,
      qidoSupportsIncludeField: false,
      supportsFuzzyMatching: false,
      supportsWildcard: false,
      omitQuotationForMultipartRequest: true,
      bulkDataURI: { enabled: true, relativeResolution: 'studies' },
    },
  }],
};
"""
"""OHIF's own defaults, with the archive as the only source, and without what a person would have to click away."""
_TYPES = {
    ".css": "text/css",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}


@contextmanager
def serving(viewer: Path, archive: Orthanc) -> Iterator[tuple[str, Measured]]:
    """Serves the files of `viewer` and the archive's DICOMweb; yields the address, and what is sent to /measured/NAME.

    Args:
        viewer: folder of OHIF as it is built.
        archive: which runs already.
    """
    measured: Measured = {}
    handler = partial(_Handler, viewer.resolve(), archive, measured)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", measured
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, viewer: Path, archive: Orthanc, measured: Measured, *arguments: Any) -> None:
        self._viewer, self._archive, self._measured = viewer, archive, measured
        super().__init__(*arguments)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith(f"{_DICOMWEB}/"):
            asked = {name: self.headers[name] for name in ("Accept", "Host") if name in self.headers}
            status, kind, content = self._archive.answer(self.path, asked)
            self._answer(status, content, kind)
        elif path == "/app-config.js":
            self._answer(200, _CONFIGURATION.encode(), _TYPES[".js"])
        else:
            self._answer_with_file(path)

    def _answer_with_file(self, path: str) -> None:
        """A file of the viewer; its page, where the path is one of the viewer's own places."""
        file = (self._viewer / path.lstrip("/")).resolve()
        if not file.is_relative_to(self._viewer):
            self._answer(404)
        elif file.is_file():
            self._answer(200, file.read_bytes(), _TYPES.get(file.suffix, "application/octet-stream"), keep=True)
        elif file.suffix:
            self._answer(404)
        else:
            self._answer(200, (self._viewer / "index.html").read_bytes(), _TYPES[".html"])

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._measured[self.path.removeprefix("/measured/")] = body
        self._answer(204)

    def _answer(self, status: int, content: bytes = b"", kind: str = "text/plain", keep: bool = False) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            if keep:
                self.send_header("Cache-Control", "max-age=86400")
            self.end_headers()
            self.wfile.write(content)
        except ConnectionError:  # the page was closed while it was loading
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are no news."""
