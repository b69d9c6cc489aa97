"""The files of a case belong together."""

from pathlib import Path

import pytest
from pydicom import dcmread

from groundglass.outputs import write_analysed
from groundglass.settings import load_settings
from tests.groundglass.dicomio.outputs_fixture import make_case


@pytest.mark.parametrize("positive", [True, False])
def test_the_report_refers_to_every_other_dicom_file_of_its_case(positive: bool, tmp_path: Path) -> None:
    names = write_analysed("case-001", make_case(positive=positive), load_settings(), tmp_path, lambda *done: None)
    results = {name: dcmread(tmp_path / name) for name in names if name.endswith(".dcm")}
    report = results.pop("case-001.sr.dcm")
    listed = {
        str(item.ReferencedSOPInstanceUID)
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert results
    assert {str(result.SOPInstanceUID) for result in results.values()} <= listed
