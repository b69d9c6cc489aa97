"""Every output is valid for headers as real scanners and archives leave them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.dicomio.writing.files import write_dicom
from groundglass.dicomio.writing.key_images import make_key_images
from groundglass.dicomio.writing.parametric_map import make_saliency_map
from groundglass.dicomio.writing.presentation_state import make_presentation_state
from groundglass.dicomio.writing.report import make_refusal_report, make_report
from groundglass.dicomio.writing.segmentation import make_segmentation
from groundglass.dicomio.writing.summary import draw_summary, make_summary
from groundglass.domain.findings import Findings
from groundglass.domain.volume import CTVolume
from groundglass.rendering.slice_picture import key_slices
from tests.groundglass.dicomio.outputs_fixture import SOFTWARE, dciodvfy_errors, make_findings


def read_headers(folder: Path) -> list[pydicom.Dataset]:
    if not folder.is_dir():
        pytest.skip(f"the data folder has no dicom/{folder.name}")
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    return sorted(headers, key=lambda header: header.ImagePositionPatient[2])[:8]


def simple_case(headers: list[pydicom.Dataset]) -> tuple[CTVolume, Findings]:
    first, second = headers[:2]
    slice_mm = float(second.ImagePositionPatient[2] - first.ImagePositionPatient[2])
    row_mm, column_mm = (float(v) for v in first.PixelSpacing)
    hu = np.full((len(headers), first.Rows, first.Columns), -800, np.int16)
    origin_mm = np.array(first.ImagePositionPatient, float)
    volume = CTVolume(hu, (slice_mm, row_mm, column_mm), origin_mm, np.eye(3)[::-1])
    small = make_findings(CTVolume(hu[:, :32, :40], volume.spacing_mm, origin_mm, volume.directions))
    assert small.salient is not None
    padding = ((0, 0), (0, first.Rows - 32), (0, first.Columns - 40))
    return volume, replace(
        small,
        lungs=np.pad(small.lungs, padding),
        saliency={index: np.pad(values, padding[1:]) for index, values in small.saliency.items()},
        salient=np.pad(small.salient, padding),
    )


@pytest.mark.data
@pytest.mark.parametrize("series", ["P001", "lung_dx_A0001"])
def test_dciodvfy_finds_no_error_in_any_output(series: str, data_folder: Path, tmp_path: Path) -> None:
    sources = read_headers(data_folder / "dicom" / series)
    volume, findings = simple_case(sources)
    analysed = AnalysedSeries(sources, volume, findings, SOFTWARE)
    segmentation = make_segmentation(analysed)
    shown = key_slices(findings, 6)
    outputs = {
        "seg": segmentation,
        "sr": make_report(analysed, [segmentation]),
        "refusal": make_refusal_report(sources, SOFTWARE, "missing_slice", "One slice is missing."),
        "key-image": make_key_images(analysed, [len(sources) // 2])[0],
        "summary": make_summary(analysed, draw_summary(analysed, shown), shown),
        "boxes": make_presentation_state(analysed),
        "saliency": make_saliency_map(analysed),
    }
    for name, output in outputs.items():
        write_dicom(output, tmp_path / f"{name}.dcm")
        assert dciodvfy_errors(tmp_path / f"{name}.dcm") == [], name
        assert output.StudyInstanceUID == sources[0].StudyInstanceUID
        assert output.PatientID == sources[0].PatientID
