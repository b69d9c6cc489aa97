"""No stage of the networks grows dearer unnoticed: operations and bytes, which no machine changes."""

import json

import pytest

from benchmarks.operations import RECORD, count_phantom

ADVICE = "If that is meant, run python -m benchmarks.operations and say why in the commit message."


@pytest.mark.slow
def test_each_stage_takes_the_operations_and_bytes_on_record() -> None:
    recorded, counted = json.loads(RECORD.read_text(encoding="utf-8")), count_phantom()
    assert counted.keys() == recorded.keys()
    for stage, figures in recorded.items():
        assert counted[stage] == pytest.approx(figures, rel=0.02), f"{stage} takes other than on record. {ADVICE}"
