"""Which files a case has, by the settings, and that those of an earlier run are known as the application's own."""

import dataclasses
from pathlib import Path

import pytest
from pydicom import dcmread

from groundglass.command.analyse import _OWN_FILES
from groundglass.outputs import write_analysed
from groundglass.settings import Settings, load_settings
from tests.groundglass.dicomio.outputs_fixture import SLICES, make_case

SUMMARY = {f"case-001.{kind}" for kind in ("summary.dcm", "preview.png")}
SINGLE = {f"case-001.key-image-{number:02d}.dcm" for number in range(1, 4)}


def names_of(folder: Path, positive: bool = True, **changed: object) -> list[str]:
    settings: Settings = dataclasses.replace(load_settings(), **{"key_images": 3} | changed)  # type: ignore[arg-type]
    return write_analysed("case-001", make_case(positive=positive), settings, folder, lambda done, total: None)


@pytest.mark.parametrize("positive", [True, False])
def test_summary_and_key_images_are_single_images_of_one_series_in_order(tmp_path: Path, positive: bool) -> None:
    names = names_of(tmp_path, positive)
    assert set(names) >= SUMMARY | SINGLE
    assert "case-001.key-images.dcm" not in names
    assert "case-001.summary-pdf.dcm" not in names
    pictures = [dcmread(tmp_path / name) for name in names if name in SINGLE | {"case-001.summary.dcm"}]
    assert [picture.InstanceNumber for picture in pictures] == [1, 2, 3, 4]
    assert len({picture.SeriesInstanceUID for picture in pictures}) == 1


def test_the_settings_ask_for_one_object_of_many_frames_and_for_a_document(tmp_path: Path) -> None:
    names = names_of(tmp_path, key_images_form="multiframe", summary_pdf=True)
    assert set(names) >= SUMMARY | {"case-001.key-images.dcm", "case-001.summary-pdf.dcm"}
    assert not SINGLE & set(names)
    assert dcmread(tmp_path / "case-001.key-images.dcm").NumberOfFrames == 3


def test_no_more_key_images_than_slices(tmp_path: Path) -> None:
    names = names_of(tmp_path, key_images=99)
    assert sum("key-image-" in name for name in names) == SLICES


def test_every_file_is_known_as_the_applications_own(tmp_path: Path) -> None:
    names = names_of(tmp_path, summary_pdf=True, saliency_map=True, rt_structure_set=True, fhir=True)
    names += names_of(tmp_path, key_images_form="multiframe")
    for name in names:
        assert _OWN_FILES.fullmatch(name), name
        assert _OWN_FILES.fullmatch(f".{name}.4711.part"), name


@pytest.mark.parametrize("positive", [True, False])
def test_the_report_refers_to_every_other_dicom_file_of_its_case(positive: bool, tmp_path: Path) -> None:
    names = names_of(tmp_path, positive)
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
