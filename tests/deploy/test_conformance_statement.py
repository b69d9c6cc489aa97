"""docs/conformance.md says what the application reads and writes now."""

import pytest
from pydicom.uid import UID, ExplicitVRLittleEndian, HTJ2KLossless, JPEGLosslessSV1, RLELossless

from deploy.conformance_statement import PAGE, Written, statement, write_all
from groundglass.dicomio.reading.attributes import quiet_pydicom
from groundglass.dicomio.reading.pixels import readable_syntaxes
from groundglass.dicomio.writing.segmentation import LABEL_MAP_STORAGE

MPEG2 = UID("1.2.840.10008.1.2.4.100")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Written]:
    with quiet_pydicom():
        return write_all(tmp_path_factory.mktemp("statement"))


@pytest.mark.slow
def test_the_page_is_what_the_code_makes_of_it(written: list[Written]) -> None:
    told = "docs/conformance.md is not what is written now: run python -m deploy.conformance_statement"
    assert PAGE.read_text(encoding="utf-8") == statement(written), told


@pytest.mark.slow
def test_objects_of_every_option_and_of_a_refused_case_are_among_those_written(written: list[Written]) -> None:
    options = {item.dataset.SOPClassUID: item.option for item in written if item.file == "case-NNN.seg.dcm"}
    assert options[LABEL_MAP_STORAGE] == "`output.segmentation: labelmap`"
    assert [item.option for item in written if item.file == "case-NNN.sr.dcm"] == ["", "the case was not analysed"]


def copied_everywhere(page: str) -> set[str]:
    line = next(line for line in page.splitlines() if line.startswith("| every object |"))
    return set(line.split("|")[2].strip().split(", "))


@pytest.mark.slow
def test_what_is_copied_is_found_out_by_what_the_objects_hold(written: list[Written]) -> None:
    page = statement(written)
    assert {"PatientID", "PatientName", "AccessionNumber", "StudyDate"} <= copied_everywhere(page)
    assert "InstitutionName" not in page
    del written[0].dataset.PatientID
    assert "PatientID" not in copied_everywhere(statement(written))


def test_syntaxes_are_read_that_one_of_the_decoders_knows() -> None:
    assert {ExplicitVRLittleEndian, JPEGLosslessSV1, HTJ2KLossless, RLELossless} <= set(readable_syntaxes())
    assert MPEG2 not in readable_syntaxes()
