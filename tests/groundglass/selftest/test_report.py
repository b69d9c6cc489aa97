"""The report stands alone, and begins with what failed."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from PIL import Image

from groundglass.domain.software import INTENDED_USE
from groundglass.selftest.report import to_html, to_picture, to_sign

SHA256 = "0123456789abcdef" * 4


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
    text = to_html(results_of({"id": "OQ-07", "verdict": "passed"}), SHA256, [picture])
    page = Page(text)
    assert [load[:23] for load in page.loads] == ["data:image/jpeg;base64,"]
    assert not re.search(r"@import|url\(", text)
    for field in ("Site or department", "Report number", "<node>", "Phantom <covid19>", "Not covered: No defect."):
        assert field in page.text
    for field in ("Name", "Date", "Signature"):
        assert page.text.count(field) >= 2  # of the validator, and of a second person
    assert f"results.json with SHA-256 {SHA256}" in page.text


def test_the_report_names_what_failed_before_anything_else() -> None:
    checks = [{"id": "IQ-02", "verdict": "passed"}, {"id": "OQ-07", "verdict": "failed", "measured": "12 % off"}]
    text = Page(to_html(results_of(*checks), SHA256, [])).text
    assert text.index("Failed") < text.index("OQ-07 Lungs: 12 % off") < text.index("Installation qualification")


def test_a_signature_states_the_intended_use_in_words() -> None:
    results = results_of({"id": "OQ-07", "verdict": "passed"})
    said = to_sign(results)
    assert "fits the intended use" in said
    assert INTENDED_USE in said
    assert said in Page(to_html(results, SHA256, [])).text


def test_a_signature_below_the_installation_part_leaves_the_operational_part_open() -> None:
    said = to_sign(results_of({"id": "IQ-02", "verdict": "passed"}) | {"operational": False})
    assert "installation part only" in said
    assert "operational part is open" in said
    assert "What it shows fits" not in said


def test_a_signature_below_a_failed_check_accepts_nothing() -> None:
    said = to_sign(results_of({"id": "OQ-07", "verdict": "failed"}))
    assert "not accepted" in said
    assert "What it shows fits" not in said
