"""Which check covers which requirement: the table, and docs/traceability.md, which this module writes when run."""

import sys
from collections.abc import Callable
from pathlib import Path

from groundglass.dicomio.writing.files import write_text
from groundglass.locations import ROOT
from groundglass.selftest.catalogue import CHECKS, NOT_COVERED, REQUIREMENTS, checks_of

DOCUMENT = ROOT / "docs" / "traceability.md"


def rows() -> list[tuple[str, str, list[str], str]]:
    """Id and text of each requirement, the ids of its checks, and why it has none."""
    return [(id, text, checks_of(id), NOT_COVERED.get(id, "")) for id, text in REQUIREMENTS.items()]


def to_markdown() -> str:
    """The whole of docs/traceability.md."""
    lines = ["# Traceability", ""]
    lines += ["Written by `python -m groundglass.selftest.traceability`; a test holds that it is current.", ""]
    lines += ["| requirement | | checks of the self-test |", "| --- | --- | --- |"]
    lines += [f"| {id} | {text} | {', '.join(checks) or f'Not covered: {why}'} |" for id, text, checks, why in rows()]
    lines += ["", "| check | looks at | expected |", "| --- | --- | --- |"]
    lines += [f"| {check.id} | {check.title} | {check.expected} |" for check in CHECKS]
    return "\n".join(lines) + "\n"


def main(write: Callable[[str, Path], None] = write_text) -> int:
    """Write docs/traceability.md."""
    write(to_markdown(), DOCUMENT)
    print(f"{DOCUMENT.name}: {len(REQUIREMENTS)} requirements, {len(CHECKS)} checks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
