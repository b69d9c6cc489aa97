"""The validator's report: one HTML page that needs no other file, for the screen and for A4 paper."""

import base64
import io
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

PICTURE_WIDTH = 1100
"""Pixels; enough for the width of an A4 page."""

_STYLE = """
:root { --line: #c9d1d9; --soft: #f4f6f8; --ink: #1d2733; --passed: #1a7f37; --failed: #b42318; --not: #6b7280 }
* { box-sizing: border-box }
body { font: 14px/1.45 system-ui, "Segoe UI", "Helvetica Neue", "DejaVu Sans", Arial, sans-serif; color: var(--ink);
  max-width: 1060px; margin: 2rem auto; padding: 0 1.5rem }
h1 { font-size: 1.7rem; margin: 0 0 .2rem } h2 { font-size: 1.2rem; margin: 2rem 0 .6rem; break-after: avoid }
p { margin: .3rem 0 } .quiet { color: var(--not) }
.verdict { margin: 1rem 0; padding: .9rem 1.1rem; border-left: 6px solid; background: var(--soft) }
.verdict strong { font-size: 1.25rem } .verdict ul { margin: .4rem 0 0; padding-left: 1.2rem }
.passed { color: var(--passed) } .failed { color: var(--failed) } .not { color: var(--not) }
.verdict.passed, .verdict.failed { border-color: currentColor }
.verdict > *:not(strong) { color: var(--ink) }
.columns { display: grid; grid-template-columns: 1fr 1fr; gap: 0 2rem } .columns h2 { margin-top: 1rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem .9rem; margin: 0 }
dt { color: var(--not) } dd { margin: 0; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100%; table-layout: fixed }
th, td { text-align: left; vertical-align: top; padding: .35rem .5rem; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere }
th { background: var(--soft); font-weight: 600 } thead { display: table-header-group }
tr, figure, .sign, .verdict { break-inside: avoid }
td.verdict-cell { font-weight: 600; overflow-wrap: normal } td:first-child, .id { white-space: nowrap }
.sign { display: grid; grid-template-columns: 2fr 1fr 2fr; gap: 2rem; margin-top: 2.6rem }
.sign label { border-top: 1px solid var(--ink); padding-top: .2rem; color: var(--not); position: relative }
.sign input { position: absolute; bottom: 100%; left: 0; width: 100%; border: 0; background: none; font: inherit }
figure { margin: 0 0 1.2rem } figure img { width: 100%; border: 1px solid var(--line) }
figcaption { color: var(--not) }
@page { size: A4; margin: 14mm 13mm 16mm;
  @bottom-right { content: counter(page) " / " counter(pages); font: 9px sans-serif; color: #6b7280 } }
@media print {
  body { font-size: 9pt; margin: 0; padding: 0; max-width: none } th, td { padding: .25rem .35rem }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact }
  figure img { max-height: 105mm; object-fit: contain; object-position: left; border: 0 }
}
"""

_CLASSES = {"passed": "passed", "failed": "failed", "not applicable": "not"}


def to_picture(title: str, path: Path) -> dict[str, str]:
    """A picture of a run, small enough for the report, as a data URI."""
    with Image.open(path) as image:
        picture = image.convert("RGB")
    if picture.width > PICTURE_WIDTH:
        picture = picture.resize((PICTURE_WIDTH, round(picture.height * PICTURE_WIDTH / picture.width)))
    file = io.BytesIO()
    picture.save(file, format="JPEG", quality=85)
    return {"title": title, "uri": "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()}


def to_html(results: Mapping[str, Any], pictures: Iterable[Mapping[str, str]]) -> str:
    """The page.

    Args:
        results: the content of results.json.
        pictures: from `to_picture`.
    """
    shown = "".join(
        f'<figure><img src="{picture["uri"]}" alt="{escape(picture["title"])}">'
        f"<figcaption>{escape(picture['title'])}</figcaption></figure>"
        for picture in pictures
    )
    kinds = {"IQ": "Installation qualification", "OQ": "Operational qualification"}
    tables = "".join(
        f"<h2>{title}</h2>{_checks([check for check in results['checks'] if check['id'].startswith(kind)])}"
        for kind, title in kinds.items()
        if any(check["id"].startswith(kind) for check in results["checks"])
    )
    title = f"{results['software']['Name']} {results['software']['Version']}: self-test"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<p class="quiet">{escape(results["created"])}. Research use only; not for clinical decisions.</p>
{_verdict(results)}
<div class="columns">
<section><h2>Software</h2>{_definitions(results["software"])}</section>
<section><h2>Machine</h2>{_definitions(results["machine"])}</section>
</div>
<h2>Validator</h2>
<p>I have read this report. What it shows fits the intended use of this copy on this machine.</p>
<div class="sign"><label><input aria-label="Name">Name</label><label><input aria-label="Date">Date</label>
<label>Signature</label></div>
{tables}
{f"<h2>Pictures of the phantoms</h2>{shown}" if shown else ""}
<h2>Requirements and their checks</h2>
{_requirements(results["requirements"])}
</body>
</html>
"""


def _verdict(results: Mapping[str, Any]) -> str:
    counts, verdict = results["counts"], results["verdict"].capitalize()
    title = verdict if results["operational"] else f"Installation: {verdict.lower()}"
    said = ", ".join(f"{counts[each]} {each}" for each in _CLASSES)
    failed = [check for check in results["checks"] if check["verdict"] == "failed"]
    items = "".join(f"<li>{check['id']} {escape(check['title'])}: {escape(check['measured'])}</li>" for check in failed)
    extent = "" if results["operational"] else "<p>The operational qualification was left out (--no-operational).</p>"
    more = extent + (f"<ul>{items}</ul>" if items else "")
    seconds = sum(check["seconds"] for check in results["checks"])
    return (
        f'<div class="verdict {_CLASSES[results["verdict"]]}"><strong>{title}</strong>'
        f"<p>{len(results['checks'])} checks in {seconds:.0f} s: {said}.</p>{more}</div>"
    )


def _definitions(values: Mapping[str, str]) -> str:
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{escape(value)}</dd>' for name, value in values.items())}</dl>"


def _checks(checks: list[Mapping[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td>{check['id']}</td><td>{escape(check['title'])}<br>"
        f'<span class="quiet">{_ids(check["requirements"])}</span></td><td>{escape(check["expected"])}</td>'
        f"<td>{_lines(check['measured'])}</td>"
        f'<td class="verdict-cell {_CLASSES[check["verdict"]]}">{check["verdict"]}</td>'
        f'<td class="id">{check["seconds"]:.1f} s</td></tr>'
        for check in checks
    )
    return _table({"id": 7, "check, requirements": 20, "expected": 20, "measured": 34, "verdict": 11, "time": 8}, rows)


def _requirements(requirements: list[Mapping[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td>{item['id']}</td><td>{escape(item['text'])}</td>"
        f"<td>{_ids(item['checks']) or 'Not covered: ' + escape(item['not_covered'])}</td>"
        f'<td class="verdict-cell {_CLASSES.get(item["verdict"], "not")}">{item["verdict"]}</td></tr>'
        for item in requirements
    )
    return _table({"id": 7, "requirement": 46, "checks": 33, "verdict": 14}, rows)


def _lines(text: str) -> str:
    """What `listed` and the checks join with semicolons, one below the other."""
    return "<br>".join(escape(part) for part in text.split("; "))


def _ids(ids: Iterable[str]) -> str:
    return ", ".join(f'<span class="id">{id}</span>' for id in ids)


def _table(columns: Mapping[str, int], rows: str) -> str:
    """`columns`: titles, and their parts of the width in percent."""
    head = "".join(f'<th style="width: {width}%">{title}</th>' for title, width in columns.items())
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
