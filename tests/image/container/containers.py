"""Containers of the image, locked down as a hospital runs them, and what became of each."""

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from groundglass.result import result_schema
from image.build import Engine

IMAGE = "groundglass:test"
TIMEOUT_S = 900
LOCKED_DOWN = (
    *("--network=none", "--read-only", "--tmpfs=/tmp", "--cap-drop=all", "--security-opt=no-new-privileges"),
    *("--memory=4g", "--pids-limit=256"),
)
"""How a hospital runs it: no network, nothing writable but /tmp and the output, no rights, 4 GiB."""
ANY_USER = "--user=54321:54321"


@dataclass(frozen=True)
class Run:
    """What a container did."""

    code: int
    out: str
    err: str
    seconds: float

    def result(self, folder: Path) -> dict[str, Any]:
        """result.json in `folder`, held against its schema."""
        assert (folder / "result.json").is_file(), f"exit code {self.code}, no result.json: {self.err[-300:]}"
        result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        jsonschema.validate(result, result_schema())
        return result


@dataclass(frozen=True)
class Containers:
    """Starts containers of the image.

    Attributes:
        engine: what runs them.
        folder: where their folders lie.
    """

    engine: Engine
    folder: Path

    def run(self, *command: str, mounts: dict[Path, str] | None = None, options: tuple[str, ...] = ()) -> Run:
        """A container, locked down, with `{folder of the host: where[:ro]}` mounted."""
        arguments = ["run", "--rm", *LOCKED_DOWN, f"--timeout={TIMEOUT_S}"]
        arguments += [] if any(option.startswith("--user") for option in options) else [ANY_USER]
        arguments += [f"--volume={source}:{target}" for source, target in (mounts or {}).items()]
        start = time.monotonic()
        done = self.engine.run(*arguments, *options, IMAGE, *command, check=False, capture_output=True)
        return Run(done.returncode, done.stdout, done.stderr, time.monotonic() - start)

    def shell(self, script: str) -> str:
        """What a shell in the image prints."""
        run = self.run("-c", script, options=("--entrypoint=/bin/sh",))
        assert run.code == 0, run.err[-300:]
        return run.out

    def analyse(self, study: Path, *command: str, settings: Path | None = None, **options: Any) -> tuple[Run, Path]:
        """A study through the container; the results are in the folder that is returned too."""
        results = self.new_folder()
        mounts = {study: "/var/holoscan/input:ro", results: "/var/holoscan/output"} | options.pop("mounts", {})
        if settings is not None:
            mounts[settings] = "/var/holoscan/app.yaml:ro"
        return self.run(*command, mounts=mounts, **options), results

    def new_folder(self) -> Path:
        """An empty folder that any user may write."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        folder.chmod(0o777)
        return folder

    def inspect(self, image: str = IMAGE) -> dict[str, Any]:
        """What the engine knows of an image."""
        inspected: list[dict[str, Any]] = json.loads(
            self.engine.run("image", "inspect", image, capture_output=True).stdout
        )
        return inspected[0]
