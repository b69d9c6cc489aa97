"""The notebooks run from top to bottom, on less than they show."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from groundglass.locations import ROOT
from tests.app.runs import QUICK

pytestmark = pytest.mark.slow

QUICK_SETTINGS = {name: value for name, value in QUICK.items() if name != "saliency"}
SMALLER = {
    "tutorial": f"slices, size = 30, 128\nexplained = 1\nchanges = {QUICK_SETTINGS | {'selection': {}}!r}",
    "retrain": 'export, folder, patients = None, "kept", 2\nslices, size = 20, 96\niterations = 2\n'
    'classes = ("np", "cap", "covid19")',
}
"""The cell of parameters, so that a test takes no longer than it has to."""


def run(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Every cell in turn; returns what each printed."""
    notebook = nbformat.read(ROOT / "docs" / "notebooks" / f"{name}.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "committed with outputs, which grow old"
    (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    parameters.source = SMALLER[name]
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    return [
        "".join(output.get("text", "") for output in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def test_the_tutorial_goes_from_an_array_to_dicom_and_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = "\n".join(run("tutorial", monkeypatch, tmp_path))
    assert "pneumonia present" in told
    assert "NOT_HU" in told
    assert "case-001.seg.dcm" in told
    assert "Right lung" in told


def test_the_classifier_is_retrained_on_a_folder_of_classes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = run("retrain", monkeypatch, tmp_path)
    assert "'covid19/patient2'" in told[1]
    assert "np" in told[4]
    assert "kept/models/classifier/classifier.safetensors" in told[5]
    assert (tmp_path / "kept" / "site.yaml").is_file()
