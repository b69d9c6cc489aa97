"""What is shipped beside the weights: model cards, reports, and the evidence behind them."""

import json
from typing import Any

from groundglass.locations import ROOT

CARDS = ROOT / "model_cards"
EVIDENCE = CARDS / "evidence"


def read_report(name: str) -> dict[str, Any]:
    """A report that is shipped."""
    report: dict[str, Any] = json.loads((CARDS / f"{name}.json").read_text(encoding="utf-8"))
    return report
