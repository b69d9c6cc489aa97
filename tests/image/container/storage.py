"""A container engine with a storage of its own, which is removed at the end."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from image.build import Engine, find_engine


def why_not() -> str | None:
    """Why no container can be built and run here, if so."""
    if not shutil.which("podman") or not shutil.which("mmdebstrap"):
        return "podman or mmdebstrap is not installed and could not be: the administrator can, with `make map-tools`"
    if os.getuid() != 0:
        return "the base is made, and the image built, by root only"
    return None


@contextlib.contextmanager
def own_storage(keep: Path | None) -> Iterator[tuple[Engine, Path]]:
    """podman with a storage of its own, and a folder to work in; both are removed, unless one is named to be kept.

    The folder's name is short: podman refuses a long one.
    """
    folder = keep or Path(tempfile.mkdtemp(prefix="map-", dir="/var/tmp"))
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    engine = find_engine("podman", storage=folder)
    try:
        yield engine, work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        engine.run("rm", "--all", "--force", check=False, capture_output=True)
        if keep is None:
            engine.run("rmi", "--all", "--force", check=False, capture_output=True)
            subprocess.run(["umount", str(folder / "graph" / "overlay")], check=False, capture_output=True)
            shutil.rmtree(folder, ignore_errors=True)
