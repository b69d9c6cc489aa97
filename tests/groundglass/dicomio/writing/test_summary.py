"""The summary is the first image of its series, and a document where that is asked for."""

from pathlib import Path

import numpy as np
import pydicom
import pytest

from groundglass.dicomio.writing.files import write_dicom
from groundglass.dicomio.writing.key_images import make_key_images
from groundglass.dicomio.writing.summary import draw_summary, make_summary, make_summary_pdf
from tests.groundglass.dicomio.outputs_fixture import dciodvfy_errors, make_case


@pytest.mark.parametrize("positive", [True, False])
def test_the_summary_is_the_first_image_of_the_series_of_the_key_images(tmp_path: Path, positive: bool) -> None:
    case = make_case(positive=positive)
    page = draw_summary(case, [2, 5])
    write_dicom(make_summary(case, page, [2, 5]), tmp_path / "summary.dcm")
    assert dciodvfy_errors(tmp_path / "summary.dcm") == []
    summary = pydicom.dcmread(tmp_path / "summary.dcm")
    assert (summary.SOPClassUID, summary.InstanceNumber) == ("1.2.840.10008.5.1.4.1.1.7", 1)
    assert summary.SeriesDescription[:16].startswith("AI summary")
    assert np.abs(summary.pixel_array.astype(float) - np.asarray(page)).mean() < 3
    keys = make_key_images(case, [2, 5])
    assert {image.SeriesInstanceUID for image in keys} == {summary.SeriesInstanceUID}
    assert len({summary.SOPInstanceUID, *(image.SOPInstanceUID for image in keys)}) == 3
    references = [item.ReferencedSOPInstanceUID for item in summary.SourceImageSequence]
    assert references == [case.sources[index].SOPInstanceUID for index in (2, 5)]


def test_the_document_is_a_pdf_of_one_page_in_a_series_of_its_own(tmp_path: Path) -> None:
    case = make_case()
    write_dicom(make_summary_pdf(case, [2, 5]), tmp_path / "pdf.dcm")
    assert dciodvfy_errors(tmp_path / "pdf.dcm") == []
    document = pydicom.dcmread(tmp_path / "pdf.dcm")
    assert (document.Modality, document.MIMETypeOfEncapsulatedDocument) == ("DOC", "application/pdf")
    content = document.EncapsulatedDocument
    assert content.startswith(b"%PDF-")
    assert content.count(b"/Type /Page\n") == 1
    assert document.SeriesInstanceUID != make_summary(case, draw_summary(case, [2]), [2]).SeriesInstanceUID


def test_equal_input_gives_the_same_document() -> None:
    case = make_case()
    first, second = (make_summary_pdf(case, [2]) for _ in range(2))
    assert first.SOPInstanceUID == second.SOPInstanceUID
    assert first.EncapsulatedDocument == second.EncapsulatedDocument
