"""The command that writes a model card's tables."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.made_up import make_patient, make_slices, predictions
from training.data.classifier_data import ClassifierData
from training.data.patients import TrainingSet
from training.data.public_slices import LabelledSlices
from training.evaluate import main


def test_a_run_of_other_patients_is_not_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Folds dealt anew would test patients on whom the run's networks have trained."""
    found = predictions("shipped", folds=1)
    found.save(tmp_path / "predictions" / "shipped.np-cap-covid19.npz")
    patients = tuple(make_patient(name, 0) for name in (*np.unique(found.patient), "new"))
    one_more = TrainingSet(patients, "another", "4 patients of export")
    slices = make_slices(2, 0)
    pictures = LabelledSlices(slices, np.zeros(2), np.array(["a", "b"]), np.array(["normal"] * 2))
    data = ClassifierData(one_more, slices, pictures, None, True)
    monkeypatch.setattr("training.evaluate.read_classifier_data", lambda *_: data)
    with pytest.raises(SystemExit) as ended:
        main(["--run", str(tmp_path), "--data", str(tmp_path), "--out", str(tmp_path / "tables")])
    assert ended.value.code == 2
    assert "is of other patients than these 4 patients of export" in capsys.readouterr().err


def test_a_folder_of_data_that_is_not_there_is_told_with_what_goes_without_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--training-set", str(tmp_path), "--data", str(tmp_path / "nowhere")])
    assert ended.value.code == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "beside your --training-set: docs/retrain.md lists them" in told
    assert "docs/notebooks/retrain.ipynb trains the classifier without it" in told
