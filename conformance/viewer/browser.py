"""The viewer's page in headless Chromium: built by npm's packages, served on the loopback, photographed when done."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from conformance.tools import find

HERE = Path(__file__).resolve().parent
_PACKAGES = HERE / "node_modules"
_WORKER = "@cornerstonejs/dicom-image-loader/dist/esm/decodeImageFrameWorker.js"
_SHOWN_WITHIN_S = 400
_TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript"}

Measured = dict[str, bytes]
"""What the page found on its screen, by name."""


class ViewerFailed(Exception):
    """The page could not be built, or did not get to its end; the text says where."""


def show(files: Mapping[str, Path], job: Mapping[str, Any], picture: Path) -> Measured:
    """Shows files as the page is told to by `job`, and writes a picture of its screen.

    Args:
        files: what the page may read, by its address.
        job: see `main` of viewer.js; `width` and `height` are those of the picture, in pixels.
        picture: PNG.

    Raises:
        ToolMissing: Chromium or npm is not installed.
        ViewerFailed: the page was not shown.
    """
    chromium = find("chromium")
    with TemporaryDirectory(prefix="groundglass-page-") as folder:
        place = Path(folder)
        build(place)
        pages: dict[str, bytes | Path] = dict(files)
        pages |= {path.name: path for path in (HERE / "index.html", *place.glob("*.js"))}
        pages["job.json"] = json.dumps(job).encode()
        page = _Page(pages)
        with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, page)) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                said = _photograph(chromium, server.server_port, job["width"], job["height"], place)
            finally:
                page.shown.set()
                server.shutdown()
        if "error" in page.measured:
            raise ViewerFailed(f"The viewer's page failed: {page.measured['error'].decode()}")
        if not page.ended or not (place / "screen.png").is_file():
            raise ViewerFailed(f"The viewer's page did not get to its end. Chromium said: {said[-1000:]}")
        picture.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(place / "screen.png", picture)
        return page.measured


def build(folder: Path) -> None:
    """The page's script and its worker in `folder`, from the pinned packages, which are installed where they are not.

    Raises:
        ToolMissing: npm is not installed.
        ViewerFailed: npm or esbuild failed.
    """
    npm, lock = find("npm"), HERE / "package-lock.json"
    installed = _PACKAGES / ".package-lock.json"
    if not installed.is_file() or installed.stat().st_mtime < lock.stat().st_mtime:
        # No package's own scripts run: none of these needs them.
        _run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"])
        installed.touch()
    _run(
        [
            str(_PACKAGES / ".bin" / "esbuild"),
            "viewer.js",
            f"decodeImageFrameWorker=node_modules/{_WORKER}",
            "--bundle",
            "--format=esm",
            f"--outdir={folder}",
            "--define:global=globalThis",
            # What only a program outside of a browser asks for.
            "--external:fs",
            "--external:path",
            "--alias:xmlbuilder2=xmlbuilder2/lib/xmlbuilder2.min.js",
            "--log-level=error",
        ]
    )


def _run(command: list[str]) -> None:
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ViewerFailed(f"{Path(command[0]).name} failed: {(done.stdout + done.stderr).strip()[-1000:]}")


def _photograph(chromium: str, port: int, width: int, height: int, folder: Path) -> str:
    """Chromium takes the picture when the page is loaded, which lasts until its last image, /shown, is there."""
    command = [
        chromium,
        "--headless",
        # Software rendering, the same on every machine.
        "--use-angle=swiftshader",
        "--enable-unsafe-swiftshader",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--force-device-scale-factor=1",
        f"--window-size={width},{height}",
        f"--user-data-dir={folder / 'profile'}",
        f"--screenshot={folder / 'screen.png'}",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),  # it refuses to start as root with one
        f"http://127.0.0.1:{port}/index.html",
    ]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=_SHOWN_WITHIN_S + 60, check=False
        )
    except subprocess.TimeoutExpired as error:
        return str(error)
    return done.stdout.decode("utf-8", "replace")


class _Page:
    """What is served to the page, and what it sent back."""

    def __init__(self, pages: Mapping[str, bytes | Path]) -> None:
        self.pages = pages
        self.measured: Measured = {}
        self.shown = threading.Event()
        self.ended = False


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, page: _Page, *arguments: Any) -> None:
        self._page = page
        super().__init__(*arguments)

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        if name == "shown":
            self._page.shown.wait(_SHOWN_WITHIN_S)
            self._answer(204)
        elif (content := self._page.pages.get(name)) is None:
            self._answer(404)
        else:
            self._answer(200, content if isinstance(content, bytes) else content.read_bytes(), Path(name).suffix)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/end":
            self._page.ended = True
            self._page.shown.set()
        else:
            self._page.measured[self.path.removeprefix("/measured/")] = body
        self._answer(204)

    def _answer(self, status: int, content: bytes = b"", suffix: str = "") -> None:
        self.send_response(status)
        if status == 200:
            self.send_header("Content-Type", _TYPES.get(suffix, "application/octet-stream"))
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are no news."""
