"""The structured report says, to a program that reads it, what was found and where."""

import dataclasses
import shutil
import subprocess
from pathlib import Path

import highdicom as hd
import pytest
from pydicom.sr.coding import Code

from groundglass.dicomio.writing import codes
from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.dicomio.writing.files import write_dicom
from groundglass.dicomio.writing.report import make_refusal_report, make_report
from groundglass.dicomio.writing.segmentation import Form, make_segmentation
from tests.groundglass.dicomio.outputs_fixture import SOFTWARE, dciodvfy_errors, make_case

PROBABILITY = Code("122157", "DCM", "Probability")
VOLUME = Code("118565006", "SCT", "Volume")


def written(case: AnalysedSeries, folder: Path, form: Form = "binary") -> Path:
    segmentation = make_segmentation(case, form)
    path = folder / "sr.dcm"
    write_dicom(make_report(case, segmentation), path)
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on the plain case, which nothing changes."""
    return written(make_case(), tmp_path_factory.mktemp("report"))


def refusal(case: AnalysedSeries, folder: Path) -> Path:
    path = folder / "refusal.dcm"
    reason = "One slice is missing between two others."
    write_dicom(make_refusal_report(case.sources, SOFTWARE, "missing_slice", reason), path)
    return path


def modifier(measurement: hd.sr.Measurement) -> str:
    return measurement[0].ContentSequence[0].ConceptCodeSequence[0].CodeValue


def study_group(content: hd.sr.MeasurementReport) -> hd.sr.MeasurementsAndQualitativeEvaluations:
    (group,) = (g for g in content.get_image_measurement_groups() if g.tracking_identifier == "Study")
    return group


def comments(report: hd.sr.Comprehensive3DSR) -> list[str]:
    return [item.TextValue for item in report.ContentSequence[-1].ContentSequence]


def test_study_group_holds_class_probabilities_volumes_and_fraction(plain: Path) -> None:
    case = make_case()
    group = study_group(hd.sr.srread(plain).content)
    assert group.finding_type == codes.CLASS_CODES["covid19"]
    probabilities = {modifier(m): m.value for m in group.get_measurements(PROBABILITY)}
    assert probabilities == {"NP": 0.07, "385093006": 0.13, "840539006": 0.8}
    findings = case.findings
    volumes = [m.value for m in group.get_measurements(VOLUME)]
    assert volumes == pytest.approx([findings.volume_ml, findings.right_ml, findings.left_ml])
    (fraction,) = group.get_measurements(codes.SALIENT_FRACTION)
    assert findings.salient_fraction is not None
    assert fraction.value == pytest.approx(100 * findings.salient_fraction)
    (status,) = group.get_qualitative_evaluations(codes.RUN_STATUS)
    assert status.value.value == "111242"


def test_boxes_are_rectangles_along_the_pixel_edges_of_their_source_image(plain: Path) -> None:
    case = make_case()
    groups = hd.sr.srread(plain).content.get_planar_roi_measurement_groups()
    assert len(groups) == len(case.findings.boxes)
    for group, box in zip(groups, case.findings.boxes, strict=True):
        assert group.finding_type == codes.SALIENCY
        corners = group.roi.value.tolist()
        assert corners[0] == [box.column_min, box.row_min] == corners[-1]
        assert corners[2] == [box.column_max + 1, box.row_max + 1]
        assert len(corners) == 5
        source = group.roi.ContentSequence[0].ReferencedSOPSequence[0]
        assert source.ReferencedSOPInstanceUID == case.sources[box.slice_index].SOPInstanceUID
        assert group.get_measurements(codes.AREA)[0].value == pytest.approx(box.area_mm2)
        (probability,) = group.get_measurements(PROBABILITY)
        assert probability.value == box.score
        assert modifier(probability) == "840539006"
    assert [group.tracking_identifier for group in groups] == ["Salient lesion 1", "Salient lesion 2"]
    assert len({group.tracking_uid for group in groups}) == 2
    sides = [group.finding_sites[0].laterality.value for group in groups]
    assert sides == ["24028007", "7771000"]


def test_each_lesion_is_measured_and_tracked_like_its_boxes(plain: Path) -> None:
    case = make_case()
    content = hd.sr.srread(plain).content
    groups = [g for g in content.get_image_measurement_groups() if g.finding_type == codes.SALIENCY]
    boxes = content.get_planar_roi_measurement_groups()
    assert [group.tracking_uid for group in groups] == [group.tracking_uid for group in boxes]
    for group, lesion in zip(groups, case.findings.lesions, strict=True):
        assert group.get_measurements(codes.LENGTH)[0].value == pytest.approx(lesion.largest_extent_mm)
        assert group.get_measurements(codes.VOLUME)[0].value == pytest.approx(lesion.volume_ml)
        assert group.get_measurements(codes.SALIENT_FRACTION)[0].value == pytest.approx(100 * lesion.lung_fraction)


@pytest.mark.parametrize("form", ["binary", "labelmap"])
def test_lungs_refer_to_their_segments(form: Form, tmp_path: Path) -> None:
    case = make_case()
    segmentation = make_segmentation(case, form)
    described = {item.SegmentNumber: item for item in segmentation.SegmentSequence}
    report = hd.sr.srread(written(case, tmp_path, form))
    assert (segmentation.SOPClassUID, segmentation.SOPInstanceUID) in [
        (cls, uid) for _, _, uid, cls in report.get_evidence()
    ]
    groups = report.content.get_volumetric_roi_measurement_groups()
    for group, segment, volume_ml in zip(groups, (1, 2), (case.findings.right_ml, case.findings.left_ml), strict=True):
        reference = group.roi[0] if isinstance(group.roi, list) else group.referenced_segment[0]
        item = reference.ReferencedSOPSequence[0]
        assert item.ReferencedSOPInstanceUID == segmentation.SOPInstanceUID
        assert item.ReferencedSegmentNumber == segment
        assert item.ReferencedSOPClassUID == segmentation.SOPClassUID
        assert group.tracking_uid == described[segment].TrackingUID
        assert group.get_measurements(VOLUME)[0].value == pytest.approx(volume_ml)


def test_evidence_lists_every_source_image_and_the_segmentation(plain: Path) -> None:
    case = make_case()
    evidence = {instance for _, _, instance, _ in hd.sr.srread(plain).get_evidence()}
    segmentation = make_segmentation(case)
    assert evidence == {*(source.SOPInstanceUID for source in case.sources), segmentation.SOPInstanceUID}


def test_weights_settings_and_research_use_are_stated(plain: Path) -> None:
    report = hd.sr.srread(plain)
    parameters = [
        item.TextValue
        for item in study_group(report.content)[0].ContentSequence
        if item.name == Code("111002", "DCM", "Algorithm Parameters")
    ]
    digests = {"classifier weights": "cd" * 32, "lungs weights": "ab" * 32, "settings": "ef" * 32}
    assert parameters == [f"{name} SHA-256={digest}" for name, digest in digests.items()]
    assert "Research use only; not for clinical decisions" in comments(report)


def test_reports_on_the_two_forms_of_segmentation_are_two_reports(tmp_path: Path) -> None:
    case = make_case()
    reports = [hd.sr.srread(written(case, tmp_path, form)) for form in ("binary", "labelmap")]
    assert reports[0].SOPInstanceUID != reports[1].SOPInstanceUID
    assert reports[0].SeriesInstanceUID == reports[1].SeriesInstanceUID


def test_a_negative_study_says_so(tmp_path: Path) -> None:
    content = hd.sr.srread(written(make_case(positive=False), tmp_path)).content
    group = study_group(content)
    assert group.finding_type == codes.CLASS_CODES["np"]
    assert group.get_qualitative_evaluations(codes.RUN_STATUS)[0].value.value == "111241"
    assert content.get_planar_roi_measurement_groups() == []


def test_a_negative_study_that_is_more_probably_diseased_says_so(tmp_path: Path) -> None:
    case = make_case(positive=False)
    doubtful = dataclasses.replace(case.findings, probabilities=(0.38, 0.34, 0.28), salient_fraction=None)
    report = hd.sr.srread(written(dataclasses.replace(case, findings=doubtful), tmp_path))
    assert any("(probability 0.38; pneumonia of either kind 0.62)" in text for text in comments(report))


@pytest.mark.parametrize("is_cut", [True, False])
def test_lungs_that_the_images_cut_are_told(tmp_path: Path, is_cut: bool) -> None:
    case = make_case()
    cut = dataclasses.replace(case, findings=dataclasses.replace(case.findings, reach_border=is_cut))
    told = comments(hd.sr.srread(written(cut, tmp_path)))
    assert any("The images cut the lungs" in text for text in told) == is_cut


def test_an_unknown_salient_fraction_is_left_out(tmp_path: Path) -> None:
    case = make_case()
    unknown = dataclasses.replace(case, findings=dataclasses.replace(case.findings, salient_fraction=None))
    assert study_group(hd.sr.srread(written(unknown, tmp_path)).content).get_measurements(codes.SALIENT_FRACTION) == []


def test_a_refused_series_gets_a_report_with_the_reason(tmp_path: Path) -> None:
    report = hd.sr.srread(refusal(make_case(), tmp_path))
    (status,) = study_group(report.content).get_qualitative_evaluations(codes.RUN_STATUS)
    assert status.value.value == "111245"
    assert any("One slice is missing" in text and "missing_slice" in text for text in comments(report))


def test_a_series_whose_slices_share_one_uid_can_be_refused(tmp_path: Path) -> None:
    case = make_case()
    for source in case.sources:
        source.SOPInstanceUID = case.sources[0].SOPInstanceUID
        del source.FrameOfReferenceUID, source.ImagePositionPatient
    assert len(hd.sr.srread(refusal(case, tmp_path)).get_evidence()) == 1


def test_a_series_without_uids_cannot_be_reported() -> None:
    case = make_case()
    for source in case.sources:
        del source.SOPInstanceUID
    with pytest.raises(ValueError, match="no report can refer"):
        make_refusal_report(case.sources, SOFTWARE, "no_uid", "The images have no UID.")


def test_repeated_reports_share_uids_and_a_refusal_has_its_own() -> None:
    case = make_case()
    segmentation = make_segmentation(case)
    first, second = (make_report(case, segmentation) for _ in range(2))
    refused = make_refusal_report(case.sources, SOFTWARE, "failed", "The analysis failed.")
    assert first.SOPInstanceUID == second.SOPInstanceUID != refused.SOPInstanceUID
    # Written at different times, they can't be of one series, which has one Series Date and Time (PS3.3 C.7.3.1).
    assert first.SeriesInstanceUID == second.SeriesInstanceUID != refused.SeriesInstanceUID


@pytest.mark.parametrize("kind", ["positive", "negative", "refusal"])
def test_dciodvfy_finds_no_error(kind: str, tmp_path: Path) -> None:
    case = make_case(positive=kind == "positive")
    assert dciodvfy_errors(refusal(case, tmp_path) if kind == "refusal" else written(case, tmp_path)) == []


def test_dsrdump_reads_the_report(plain: Path) -> None:
    tool = shutil.which("dsrdump")
    if tool is None:
        pytest.skip("dsrdump (Debian package dcmtk) is not installed")
    done = subprocess.run([tool, str(plain)], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "COVID-19" in done.stdout
