"""The model cards: `templates/` with the figures of the reports that are shipped."""

import json
from typing import Any

from groundglass.domain.software import sha256_of
from groundglass.locations import MODEL_FOLDER
from training.data.sources import SOURCES
from training.engine.classifier_training import BASE_PLAN, LAST_SCALE_PLAN, REAL_PLAN
from training.engine.cross_validation import TABLE_PLAN
from training.reports import classifier, covid_ct_benchmark, lung_tables
from training.reports.calibration import kept_temperature
from training.reports.markdown import render
from training.reports.shipped import CARDS, EVIDENCE, read_report


def write_cards() -> None:
    """Both cards, from the reports in model_cards and the weights in models, and the licence of the weights."""
    (CARDS / "lungs.md").write_text(lungs_card(), encoding="utf-8")
    (CARDS / "classifier.md").write_text(classifier_card(), encoding="utf-8")
    (CARDS / "LICENSE.md").write_text(licence(), encoding="utf-8")


def lungs_card() -> str:
    """The card of the lung network."""
    tables = lung_tables.as_markdown(read_report("lungs_tables"), pictures=False)
    return render(
        "lungs", iterations=read_report("lungs")["iterations"], weights=describe_weights("lungs"), tables=tables
    )


def classifier_card() -> str:
    """The card of the classifier; the benchmark's weights never ship, for its images carry no licence."""
    report = read_report("classifier")
    record, made_with = (
        json.loads((EVIDENCE / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("cross_validation", "classifier")
    )
    return render(
        "classifier",
        weights=describe_weights("classifier"),
        recipe=record["recipe"],
        row_iterations=TABLE_PLAN.iterations,
        start=made_with["start"],
        plans={"base": BASE_PLAN, "real": REAL_PLAN, "last_scale": LAST_SCALE_PLAN},
        temperature=kept_temperature(report["folds"]["calibration"]["shipped"]),
        sources=[(source, report["data"][source.key]) for source in SOURCES if source.key in report["data"]],
        rows=list(report["folds"]["iq_oth"]),
        tables=classifier.as_markdown(report),
        pictures=sorted((CARDS / "pictures").glob("*.png")),
        benchmark=covid_ct_benchmark.as_markdown(read_report("covid_ct_benchmark")),
    )


def describe_weights(name: str) -> dict[str, Any]:
    """What a card says of its weight file."""
    file = MODEL_FOLDER / name / f"{name}.safetensors"
    return {"sha256": sha256_of(file), "size_mb": file.stat().st_size / 1e6}


def licence() -> str:
    """Under which terms the weights may be used, and why."""
    return render("licence", sources=SOURCES)
