"""The page of a cohort: counts, and the pictures of the most diseased studies. One file that needs no other.

It names no study but by its folder: no UID, and nothing else that leads to a patient without the results folder.
"""

import base64
import io
from collections import Counter
from html import escape
from pathlib import Path

from PIL import Image

from groundglass.cohort.results import Results
from groundglass.cohort.tables import Row, read_cases
from groundglass.dicomio.writing.files import write_text
from groundglass.domain.class_names import LONG_CLASS_NAMES

_WIDTH = 640
"""Pixels of a picture on the page; the file in the study's folder is larger."""
_STYLE = """
body { font: 15px/1.45 system-ui, "DejaVu Sans", sans-serif; color: #1d2733; max-width: 1400px; margin: 2rem auto;
  padding: 0 1.5rem } table { border-collapse: collapse } td, th { padding: .2rem .8rem .2rem 0; text-align: left }
.cases { display: grid; grid-template-columns: repeat(auto-fill, minmax(420px, 1fr)); gap: 1.5rem; margin-top: 1rem }
figure { margin: 0 } img { width: 100%; border: 1px solid #c9d1d9 } figcaption, .quiet { color: #6b7280 }
"""


def write_page(results: Results, pictures: int) -> None:
    """Write index.html: how many of what, and `pictures` studies, the most probably diseased first."""
    columns = ("study", "case", "status", "reason_code", "label", "p_np", "salient_fraction", "lungs_ml", "preview")
    cases = read_cases(results, columns)
    shown = sorted((case for case in cases if case["preview"]), key=_rank)[:pictures]
    counts = Counter(_kind(case) for case in cases)
    rows = "".join(f"<tr><td>{escape(kind)}</td><td>{count}</td></tr>" for kind, count in counts.most_common())
    figures = "".join(_figure(case, results.folder) for case in shown)
    write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Groundglass: cohort</title>'
        f"<style>{_STYLE}</style><h1>{len({case['study'] for case in cases})} studies</h1>"
        f"<table><tr><th>cases</th><th></th></tr>{rows}</table>"
        f"<h2>The {len(shown)} most diseased</h2><p class=quiet>By the probability of a pneumonia of either kind, then "
        "by the salient fraction of the lungs. Research use only; not for clinical decisions.</p>"
        f"<div class=cases>{figures}</div></html>\n",
        results.folder / "index.html",
    )


def _rank(case: Row) -> tuple[float, float, str]:
    return case["p_np"], -(case["salient_fraction"] or 0.0), case["study"]


def _kind(case: Row) -> str:
    if case["status"] == "analysed":
        return LONG_CLASS_NAMES[case["label"]]
    return " ".join(filter(None, (case["status"].replace("_", " "), case["reason_code"])))


def _figure(case: Row, folder: Path) -> str:
    fraction = case["salient_fraction"]
    salient = "an unknown part" if fraction is None else f"{fraction:.1%}"
    told = (
        f"{LONG_CLASS_NAMES[case['label']]}, pneumonia {1 - case['p_np']:.0%}, salient {salient} of "
        f"{case['lungs_ml'] / 1000:.1f} l; study {case['study']}, {case['case']}"
    )
    uri = _as_uri(folder / case["preview"])
    return f'<figure><img src="{uri}" alt="{escape(told)}"><figcaption>{escape(told)}</figcaption></figure>'


def _as_uri(path: Path) -> str:
    with Image.open(path) as image:
        picture = image.convert("RGB")
    picture.thumbnail((_WIDTH, 10 * _WIDTH))
    file = io.BytesIO()
    picture.save(file, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
