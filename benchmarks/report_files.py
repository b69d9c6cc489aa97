"""Where a benchmark leaves what it measured: figures for programs, and a page to read."""

import json
from pathlib import Path
from typing import Any

from groundglass.dicomio.writing.files import write_text


def write_report(report: dict[str, Any], page: str, folder: Path, name: str) -> None:
    """Write `name` with .json and .md, each whole or not at all, and print the page; the folder is made."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(json.dumps(report, indent=1) + "\n", folder / f"{name}.json")
    write_text(page, folder / f"{name}.md")
    print(page)
