"""The build's record: which files and packages a copy of the application is made of.

The image build writes it beside what it installs, `make validate` writes one of the checkout, and the self-test
(`groundglass.selftest`) verifies the copy that it runs in against it.
"""

import argparse
import base64
import datetime
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from groundglass.domain.software import sha256_of
from groundglass.locations import LIBRARY, ROOT

FILE_NAME = "build-record.json"
CODE = ("__main__.py", "app.yaml", "app", "operators", "groundglass", "models")
"""What of a checkout runs, or is read while it runs."""

_LEFT_BEHIND = frozenset({"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"})
"""Folders that tools make beside the code. What Python has compiled there is checked against its source."""

_EXAMPLES = f"""examples:
  python -m groundglass.selftest.build_record
      writes {FILE_NAME} of this checkout into its own folder
  python -m groundglass.selftest.build_record --root /opt/holoscan --commit 1f0c2d3 app models /etc/holoscan/app.json
      in an image: of two folders of /opt/holoscan and a manifest, into /opt/holoscan/{FILE_NAME}
"""


def files_below(root: Path, parts: Sequence[str]) -> Iterator[str]:
    """Every file of these parts, by its path relative to `root`, or absolute where it is not in `root`.

    Of a link the target is what counts.
    """
    for part in parts:
        top = root / part
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            name = path.relative_to(root) if path.is_relative_to(root) else path
            if path.is_file() and _LEFT_BEHIND.isdisjoint(name.parts):
                yield name.as_posix()


@cache
def installed_packages() -> dict[str, str]:
    """Version by `package_name` of every Python package that this interpreter finds."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        # The first on the path is the one that is imported.
        found.setdefault(package_name(distribution.name), distribution.version)
    return dict(sorted(found.items()))


def package_name(name: str) -> str:
    """The one form of a package's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def left_out_files() -> dict[str, int]:
    """How many files of its wheel each package lacks: a build may leave out headers and tests, which no run needs."""
    found = {}
    for distribution in metadata.distributions():
        missing = sum(not Path(str(file.locate())).exists() for file in distribution.files or () if file.hash)
        if missing:
            found[package_name(distribution.name)] = missing
    return dict(sorted(found.items()))


def make_record(root: Path, parts: Sequence[str], version: str, commit: str) -> dict[str, Any]:
    """The record of what is below `root`.

    Args:
        root: the folder that the record's paths are relative to, and that the record is to lie in.
        parts: files and folders that are recorded, each folder with all that is in it; relative to `root`, or absolute.
        version: of the application.
        commit: of the source that was built; empty where it isn't known.

    Raises:
        FileNotFoundError: one of the parts is not there.
    """
    missing = [part for part in parts if not (root / part).exists()]
    if missing:
        raise FileNotFoundError(f"{root} has no {', '.join(missing)}, which the record has to hold.")
    return {
        "created": _now().isoformat(timespec="seconds"),
        "version": version,
        "commit": commit,
        "python": ".".join(map(str, sys.version_info[:3])),
        "files": {name: sha256_of(root / name) for name in files_below(root, parts)},
        "packages": installed_packages(),
        "left_out": left_out_files(),
    }


def record_of_wheel() -> dict[str, Any] | None:
    """What pip has recorded of an installed library (the RECORD file of PEP 376), in the same form; None elsewhere.

    Paths are relative to the folder that the library is installed in. Of the packages only the library's own needs are
    recorded: an environment may hold others.
    """
    if ROOT != LIBRARY:
        return None  # a checkout or an image, which have a record of their build
    library = metadata.distribution("groundglass")
    hashed = {str(file): file.hash.value for file in library.files or () if file.hash and file.parts[0] == ROOT.name}
    needs = [re.fullmatch(r"([\w.-]+)==([^;\s]+)", need) for need in library.requires or ()]
    return {
        "version": library.version,
        "files": {name: base64.urlsafe_b64decode(f"{value}=").hex() for name, value in hashed.items()},
        "packages": {need[1]: need[2] for need in needs if need},
        "others_allowed": True,
    }


def _now() -> datetime.datetime:
    """The time, or the one that a build which can be repeated asks for (reproducible-builds.org)."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return datetime.datetime.fromtimestamp(int(epoch), datetime.UTC) if epoch else datetime.datetime.now(datetime.UTC)


def application_version() -> str:
    """What the application beside this module says of itself."""
    command = [sys.executable, "-m", "app", "--version"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return said.split()[-1]


def commit_of(folder: Path, parts: Sequence[str]) -> str:
    """The commit that is checked out in `folder`, with `-modified` where files differ from it; empty outside Git.

    A file of `parts` that Git doesn't know of, and doesn't ignore, is such a difference.
    """

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True).stdout

    try:
        commit = git("describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=-modified").strip()
        added = git("ls-files", "--others", "--exclude-standard", "--", *parts)
        return commit + ("-modified" if added and not commit.endswith("-modified") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def main(arguments: list[str] | None = None) -> int:
    """Write the record; returns 0, or 2 where it can't be made."""
    parser = argparse.ArgumentParser(
        prog="python -m groundglass.selftest.build_record",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("parts", nargs="*", default=list(CODE), help="files and folders to record (default: what a checkout runs)")
    add("--root", type=Path, default=ROOT, metavar="DIR", help="what the parts are in, and where the record goes")
    add("--commit", help="commit of the source (default: asked of Git)")
    options = parser.parse_args(arguments)
    out = options.root / FILE_NAME
    commit = commit_of(options.root, options.parts) if options.commit is None else options.commit
    try:
        record = make_record(options.root, options.parts, application_version(), commit)
        out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        print(f"The build's record can't be made: {error}", file=sys.stderr)
        return 2
    print(f"{len(record['files'])} files and {len(record['packages'])} packages recorded in {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
