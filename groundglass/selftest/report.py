"""The validator's report: one HTML page that needs no other file, for the screen and for A4 paper."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from groundglass.domain.software import INTENDED_USE
from groundglass.rendering.page import render_page, to_data_uri

PICTURE_WIDTH = 1100
"""Pixels; enough for the width of an A4 page."""

_QUALIFICATIONS = {"IQ": "Installation qualification", "OQ": "Operational qualification"}
"""Titles by how the identifiers of their checks begin."""


def to_picture(title: str, path: Path) -> dict[str, str]:
    """A picture of a run, small enough for the report, as a data URI."""
    return {"title": title, "uri": to_data_uri(path, PICTURE_WIDTH)}


def to_sign(results: Mapping[str, Any]) -> str:
    """What a signature below these results states, and no more than they show."""
    if results["verdict"] == "failed":
        return "I have read this report. Checks failed: this copy on this machine is not accepted for its intended use."
    if not results["operational"]:
        return (
            "I have read this report. It shows the installation part only: the files, the packages and the machine. "
            "The operational part is open, and with it whether this copy on this machine fits its intended use."
        )
    return (
        "I have read this report. What it shows fits the intended use of this copy on this machine. "
        f"Intended use: {INTENDED_USE}"
    )


def to_html(results: Mapping[str, Any], results_sha256: str, pictures: Iterable[Mapping[str, str]]) -> str:
    """The page.

    Args:
        results: the content of results.json.
        results_sha256: of that file, which ties the paper to it.
        pictures: from `to_picture`.
    """
    checks = results["checks"]
    return render_page(
        "selftest/report.html.j2",
        results=results,
        results_sha256=results_sha256,
        statement=to_sign(results),
        seconds=sum(check["seconds"] for check in checks),
        counts=", ".join(f"{count} {verdict}" for verdict, count in results["counts"].items()),
        failed=[check for check in checks if check["verdict"] == "failed"],
        qualifications=[
            (title, [check for check in checks if check["id"].startswith(kind)])
            for kind, title in _QUALIFICATIONS.items()
        ],
        pictures=list(pictures),
    )
