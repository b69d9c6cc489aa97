"""What the tests of the checks judge: outputs of a phantom that are right, to be spoilt, and runs of the application.

The outputs are those of the application's own writers, made of the phantom's truth, so that no network has to run.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydicom import Dataset, dcmread

from conformance.series import make_findings
from groundglass.case import Case, RunRecord
from groundglass.dicomio.reading.scan import scan_folder
from groundglass.dicomio.reading.volume import read_images
from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.dicomio.writing.files import write_dicom, write_image
from groundglass.dicomio.writing.key_images import make_key_images
from groundglass.dicomio.writing.presentation_state import make_presentation_state
from groundglass.dicomio.writing.report import make_report
from groundglass.dicomio.writing.segmentation import make_region_segmentation, make_segmentation
from groundglass.dicomio.writing.summary import draw_summary, make_summary
from groundglass.domain.software import NAME, VERSION, SoftwareIdentity
from groundglass.domain.volume import on_grid
from groundglass.locations import ROOT
from groundglass.phantom.study import write_study
from groundglass.phantom.thorax import make_thorax
from groundglass.rendering.slice_picture import key_slices
from groundglass.result import make_result
from groundglass.selftest.installed_copy import Copy
from groundglass.selftest.runs import OTHER_FILE, Phantom, Preset, Runs
from groundglass.settings import load_settings, result_settings_sha256
from tests.groundglass.selftest.operation.spoiling import Judged


@pytest.fixture(scope="session")
def right(tmp_path_factory: pytest.TempPathFactory) -> tuple[Phantom, Path]:
    """A phantom, and the outputs of a run that has found exactly its truth."""
    folder = tmp_path_factory.mktemp("right")
    study, out = folder / "study", folder / "out"
    out.mkdir()
    made, truth = make_thorax("covid19", slices=24, size=96)
    files = write_study(made, study, preset="covid19", patient_position="FFP")
    (series,) = scan_folder(study).series
    read = read_images(series.instances)
    volume, sources = read.volume, read.sources
    lungs, lesions = (on_grid(array, made.affine, volume.affine) for array in (truth.lungs, truth.lesions))
    findings = make_findings(volume, lungs, lesions, "covid19")
    models = yaml.safe_load((ROOT / "app.yaml").read_text(encoding="utf-8"))["models"]
    weights = {name: model["sha256"] for name, model in models.items()}
    software = SoftwareIdentity(NAME, VERSION, weights, "cpu", result_settings_sha256(load_settings()))
    analysed = AnalysedSeries(sources, volume, findings, software)
    shown = key_slices(findings, 6)
    page = draw_summary(analysed, shown)
    outputs: dict[str, Dataset] = {
        "seg": make_segmentation(analysed),
        "regions": make_region_segmentation(analysed),
        "summary": make_summary(analysed, page, shown),
        "boxes": make_presentation_state(analysed),
    }
    key_images = enumerate(make_key_images(analysed, shown), start=1)
    outputs |= {f"key-image-{number:02d}": image for number, image in key_images}
    outputs["sr"] = make_report(analysed, list(outputs.values()))
    for kind, dataset in outputs.items():
        write_dicom(dataset, out / f"case-001.{kind}.dcm")
    write_image(page, out / "case-001.preview.png")
    case = Case(1, series.study_instance_uid, series.series_instance_uid, sources, findings)
    names = [*(f"case-001.{kind}.dcm" for kind in outputs), "case-001.preview.png"]
    ignored = [{"file": f"deep/{OTHER_FILE}", "reason": "This is no DICOM file."}]
    result = make_result(RunRecord(ignored, [], [(case, names)]), software)
    (out / "result.json").write_text(json.dumps(result), encoding="utf-8")
    (out / OTHER_FILE).write_text("of somebody else", encoding="utf-8")
    headers: dict[str, Dataset] = {}
    for file in files:
        header = dcmread(file, stop_before_pixels=True)
        headers[str(header.SOPInstanceUID)] = header
    return Phantom(Preset("covid19", 24, 96, "FFP"), study, headers, made, truth), out


@pytest.fixture
def judged(right: tuple[Phantom, Path], tmp_path: Path) -> Iterator[Judged]:
    phantom, out = right
    first, second = (shutil.copytree(out, tmp_path / name) for name in ("first", "second"))
    with Runs(Copy(tmp_path, ROOT / "models", None)) as runs:
        yield Judged(phantom, runs, first, second)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    with Runs(Copy(tmp_path_factory.mktemp("out"), ROOT / "models", None)) as made:
        yield made
