"""The report stands alone, and begins with what failed."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from PIL import Image

from groundglass.selftest.report import to_html, to_picture


class Page(HTMLParser):
    """What a page loads, and the text that it shows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attributes if name in ("src", "href", "action", "srcset")]

    def handle_data(self, data: str) -> None:
        self.text += data


def results_of(*checks: dict[str, Any]) -> dict[str, Any]:
    filled = {"requirements": ["R-15"], "title": "Lungs", "expected": "5 %", "measured": "1 %", "seconds": 1.0}
    return {
        "created": "2026-01-01 12:00:00 UTC",
        "verdict": "failed" if any(check["verdict"] == "failed" for check in checks) else "passed",
        "operational": True,
        "counts": {v: sum(c["verdict"] == v for c in checks) for v in ("passed", "failed", "not applicable")},
        "software": {"Name": "Groundglass", "Version": "0.1.0"},
        "machine": {"Machine": "<node>"},
        "checks": [filled | check for check in checks],
        "requirements": [
            {"id": "R-15", "text": "Volumes.", "checks": ["OQ-07"], "not_covered": "", "verdict": "passed"},
            {"id": "R-14", "text": "Defects.", "checks": [], "not_covered": "No defect.", "verdict": "not covered"},
        ],
    }


def test_the_report_needs_no_other_file_and_has_fields_to_sign(tmp_path: Path) -> None:
    Image.new("RGB", (2000, 1000)).save(tmp_path / "preview.png")
    picture = to_picture("Phantom <covid19>", tmp_path / "preview.png")
    text = to_html(results_of({"id": "OQ-07", "verdict": "passed"}), [picture])
    page = Page(text)
    assert [load[:23] for load in page.loads] == ["data:image/jpeg;base64,"]
    assert not re.search(r"@import|url\(", text)
    for field in ("Name", "Date", "Signature", "<node>", "Phantom <covid19>", "Not covered: No defect."):
        assert field in page.text


def test_the_report_names_what_failed_before_anything_else() -> None:
    checks = [{"id": "IQ-02", "verdict": "passed"}, {"id": "OQ-07", "verdict": "failed", "measured": "12 % off"}]
    text = Page(to_html(results_of(*checks), [])).text
    assert text.index("Failed") < text.index("OQ-07 Lungs: 12 % off") < text.index("Installation qualification")
