"""The command that writes the paper's tables."""

import json
from pathlib import Path

import pytest

from tests.training.made_up import predictions
from training.reports.tables import as_markdown, score
from training.tables import main


def test_the_command_writes_and_prints_the_tables_of_the_prediction_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = tmp_path / "run", tmp_path / "tables"
    predictions(task=("np", "cap")).save(run / "predictions" / "joint.np-cap.npz")
    record = {"fingerprint": "0123abcd", "source": "Phantoms."}
    (run / "cross_validation.json").write_text(json.dumps(record), encoding="utf-8")
    assert main(["--run", str(run), "--out", str(out)]) == 0
    report = json.loads((out / "tables.json").read_text(encoding="utf-8"))
    assert report == json.loads(json.dumps(score([predictions(task=("np", "cap"))], **record)))
    assert (out / "tables.md").read_text(encoding="utf-8") == as_markdown(report)
    assert as_markdown(report) in capsys.readouterr().out
    assert (out / "roc.np-cap.png").is_file()


def test_the_command_says_where_it_looked_for_predictions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--run", str(tmp_path)])
    assert ended.value.code == 2
    assert f"no prediction file (*.npz) in {tmp_path / 'predictions'}" in capsys.readouterr().err
