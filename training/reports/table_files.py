"""Tables 3 and 4 and their pictures as files."""

import json
from pathlib import Path

from training.reports.curves import plot
from training.reports.prediction_levels import read_data_set, read_predictions
from training.reports.tables import as_markdown, score


def write_tables(run: Path, out: Path) -> str:
    """Write tables.json, tables.md and the pictures of a run's predictions; returns the tables.

    Raises:
        UnusablePredictions: there is nothing to score, or it is not valid.
    """
    predictions = read_predictions(run)
    report = score(predictions, *read_data_set(run))
    plot(predictions, out)
    (out / "tables.json").write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    markdown = as_markdown(report)
    (out / "tables.md").write_text(markdown, encoding="utf-8")
    return markdown
