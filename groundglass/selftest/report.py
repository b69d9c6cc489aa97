"""The validator's report: one HTML page that needs no other file, for the screen and for A4 paper."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from groundglass.rendering.page import render_page, to_data_uri

PICTURE_WIDTH = 1100
"""Pixels; enough for the width of an A4 page."""

_QUALIFICATIONS = {"IQ": "Installation qualification", "OQ": "Operational qualification"}
"""Titles by how the identifiers of their checks begin."""


def to_picture(title: str, path: Path) -> dict[str, str]:
    """A picture of a run, small enough for the report, as a data URI."""
    return {"title": title, "uri": to_data_uri(path, PICTURE_WIDTH)}


def to_html(results: Mapping[str, Any], pictures: Iterable[Mapping[str, str]]) -> str:
    """The page.

    Args:
        results: the content of results.json.
        pictures: from `to_picture`.
    """
    checks = results["checks"]
    return render_page(
        "selftest/report.html.j2",
        results=results,
        seconds=sum(check["seconds"] for check in checks),
        counts=", ".join(f"{count} {verdict}" for verdict, count in results["counts"].items()),
        failed=[check for check in checks if check["verdict"] == "failed"],
        qualifications=[
            (title, [check for check in checks if check["id"].startswith(kind)])
            for kind, title in _QUALIFICATIONS.items()
        ],
        pictures=list(pictures),
    )
