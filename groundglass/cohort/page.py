"""The page of a cohort: counts, and the pictures of the most diseased studies. One file that needs no other.

It names no study but by its folder: no UID, and nothing else that leads to a patient without the results folder.
"""

from collections import Counter

from groundglass.cohort.results import Results
from groundglass.cohort.tables import Row, read_cases
from groundglass.dicomio.writing.files import write_text
from groundglass.domain.findings import Prediction
from groundglass.domain.statement import LIMITS, conclusion_words
from groundglass.rendering.page import render_page, to_data_uri

_WIDTH = 640
"""Pixels of a picture on the page; the file in the study's folder is larger."""


_COLUMNS = (
    "study", "case", "status", "reason_code", "state", "kind", "p_np", "p_cap", "p_covid19", "salient_fraction",
    "lungs_ml", "preview",
)  # fmt: skip


def write_page(results: Results, pictures: int) -> None:
    """Write index.html: how many of what, and `pictures` studies, the most probably diseased first."""
    cases = read_cases(results, _COLUMNS)
    shown = sorted((case for case in cases if case["preview"]), key=_rank)[:pictures]
    page = render_page(
        "cohort/page.html.j2",
        studies=len({case["study"] for case in cases}),
        outcomes=Counter(_outcome(case) for case in cases).most_common(),
        limits=LIMITS,
        figures=[(to_data_uri(results.folder / case["preview"], _WIDTH), _caption(case)) for case in shown],
    )
    write_text(page, results.folder / "index.html")


def _rank(case: Row) -> tuple[float, float, str]:
    return case["p_np"], -(case["salient_fraction"] or 0.0), case["study"]


def _prediction(case: Row) -> Prediction:
    return Prediction((case["p_np"], case["p_cap"], case["p_covid19"]), case["state"], case["kind"])


def _outcome(case: Row) -> str:
    if case["status"] == "analysed":
        return conclusion_words(_prediction(case))
    return " ".join(filter(None, (case["status"].replace("_", " "), case["reason_code"])))


def _caption(case: Row) -> str:
    prediction, fraction = _prediction(case), case["salient_fraction"]
    salient = "an unknown part" if fraction is None else f"{fraction:.1%}"
    return (
        f"{conclusion_words(prediction)}, probability {prediction.pneumonia_probability:.2f}, salient {salient} of "
        f"{case['lungs_ml'] / 1000:.1f} l; study {case['study']}, {case['case']}"
    )
