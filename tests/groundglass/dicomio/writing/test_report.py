"""The structured report says, to a person and to a program that reads it, what was found and where."""

import dataclasses
import itertools
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import highdicom as hd
import pytest
from pydicom import Dataset, dcmread
from pydicom.sr.coding import Code

from groundglass.dicomio.writing import codes
from groundglass.dicomio.writing.analysed_series import AnalysedSeries
from groundglass.dicomio.writing.files import write_dicom
from groundglass.dicomio.writing.key_images import make_key_images
from groundglass.dicomio.writing.presentation_state import make_presentation_state
from groundglass.dicomio.writing.report import identity_of, make_refusal_report, make_report
from groundglass.dicomio.writing.segmentation import Form, make_segmentation
from groundglass.dicomio.writing.tracking import tracking_uid
from groundglass.domain.findings import Box, Findings, Prediction, Region
from groundglass.domain.statement import statement
from tests.groundglass.dicomio.outputs_fixture import SOFTWARE, dciodvfy_errors, make_case

RIGHT, LEFT = "24028007", "7771000"
UPPER, MIDDLE, LOWER = "281392002", "281393007", "281394001"


def written(case: AnalysedSeries, folder: Path, form: Form = "binary") -> Path:
    path = folder / "sr.dcm"
    write_dicom(make_report(case, [make_segmentation(case, form)]), path)
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


def changed(case: AnalysedSeries, **findings: Any) -> AnalysedSeries:
    return dataclasses.replace(case, findings=dataclasses.replace(case.findings, **findings))


def items_below(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", []):
        yield child
        yield from items_below(child)


def container(report: Dataset, concept: Code) -> list[Dataset]:
    """What a container of the root holds; nothing where it isn't there."""
    return [
        item
        for held in report.ContentSequence
        if held.ValueType == "CONTAINER" and held.ConceptNameCodeSequence[0].CodeValue == concept.value
        for item in held.ContentSequence
    ]


def answers(report: Dataset) -> dict[str, str]:
    """The coded answers of the root, by what they answer."""
    return {
        item.ConceptNameCodeSequence[0].CodeMeaning: item.ConceptCodeSequence[0].CodeMeaning
        for item in container(report, codes.QUALITATIVE_EVALUATIONS)
        if item.ValueType == "CODE"
    }


def numbers(report: Dataset) -> dict[tuple[str, ...], str]:
    """The numbers of the study, as they are written, by concept and by the codes below it."""
    return {
        (item.ConceptNameCodeSequence[0].CodeValue, *(i.ConceptCodeSequence[0].CodeValue for i in items_below(item))): (
            str(item.MeasuredValueSequence[0].NumericValue)
        )
        for item in container(report, codes.DERIVED_MEASUREMENTS)
    }


def words(report: Dataset) -> list[str]:
    """The texts that stand before all else."""
    first = itertools.takewhile(lambda item: item.RelationshipType == "CONTAINS", report.ContentSequence)
    return [item.TextValue for item in first]


def images(report: Dataset) -> list[list[tuple[str, str]]]:
    """The groups of the Image Library: purpose and UID of each image."""
    return [
        [
            (item.ConceptNameCodeSequence[0].CodeMeaning, str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID))
            for item in group.ContentSequence
            if item.ValueType == "IMAGE"
        ]
        for group in container(report, codes.IMAGE_LIBRARY)
    ]


# What people read


@pytest.mark.parametrize("positive", [True, False])
def test_the_report_begins_with_the_statement(positive: bool, tmp_path: Path) -> None:
    case = make_case(positive=positive)
    report = dcmread(written(case, tmp_path))
    said = statement(case.findings.prediction)
    first = report.ContentSequence[: len(said)]
    assert [item.TextValue for item in first] == list(said)
    assert first[0].ConceptNameCodeSequence[0].CodeMeaning == "Conclusion"


def test_warnings_follow_the_statement(tmp_path: Path) -> None:
    case = dataclasses.replace(make_case(), warnings=("Look out.",))
    report = dcmread(written(case, tmp_path))
    assert report.ContentSequence[len(statement(case.findings.prediction))].TextValue == "Look out."


def test_a_refused_series_begins_with_not_analysed_and_the_reason(tmp_path: Path) -> None:
    report = dcmread(refusal(make_case(), tmp_path))
    assert report.ContentSequence[0].TextValue == (
        "Not analysed. One slice is missing between two others. (missing_slice)"
    )
    assert answers(report) == {"CAD Processing and Findings Summary": "No algorithms succeeded; without findings"}
    assert any("Research use only" in text for text in words(report))


@pytest.mark.parametrize("is_cut", [True, False])
def test_lungs_that_the_images_cut_are_told(tmp_path: Path, is_cut: bool) -> None:
    told = words(dcmread(written(changed(make_case(), reach_border=is_cut), tmp_path)))
    assert any("do not show the whole lungs" in text for text in told) == is_cut


def test_saliency_is_told_from_a_segmentation_of_a_disease_and_regions_that_are_not_listed_are_counted(
    tmp_path: Path,
) -> None:
    told = words(dcmread(written(changed(make_case(), unlisted_regions=3), tmp_path)))
    assert any("no segmentation of a disease" in text for text in told)
    assert "Regions that are not listed here: 3." in told


@pytest.mark.parametrize("kind", ["negative", "refusal"])
def test_a_report_without_a_region_is_a_text_for_viewers(kind: str, tmp_path: Path) -> None:
    """OHIF stays black at an Imaging Measurement Report without a region."""
    case = make_case(positive=False)
    report = dcmread(refusal(case, tmp_path) if kind == "refusal" else written(case, tmp_path))
    assert report.ConceptNameCodeSequence[0].CodeValue == "55112-7"
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert not any(item.ValueType in ("IMAGE", "SCOORD") for item in items_below(report))


@pytest.mark.parametrize("positive", [True, False])
def test_every_item_has_a_name_and_stands_on_a_line_of_its_own(positive: bool, tmp_path: Path) -> None:
    report = dcmread(written(make_case(positive=positive), tmp_path))
    assert all("ConceptNameCodeSequence" in item for item in items_below(report))
    containers = [report, *(item for item in items_below(report) if item.ValueType == "CONTAINER")]
    assert {item.ContinuityOfContent for item in containers} == {"SEPARATE"}


# The study


@pytest.mark.parametrize(
    ("prediction", "told"),
    [
        (Prediction((0.07, 0.13, 0.8), "present", "covid19"), ("Present", "COVID-19", "with findings")),
        (Prediction((0.1, 0.7, 0.2), "present", "cap"), ("Present", "Community acquired pneumonia", "with findings")),
        (Prediction((0.1, 0.46, 0.44), "present", "undetermined"), ("Present", "Undetermined", "with findings")),
        (Prediction((0.5, 0.3, 0.2), "indeterminate", "undetermined"),
         ("Indeterminate", "Undetermined", "with findings")),
        (Prediction((0.9, 0.06, 0.04), "absent", "undetermined"), ("Absent", None, "without findings")),
    ],
)  # fmt: skip
def test_state_kind_and_run_status_are_coded(
    prediction: Prediction, told: tuple[str, str | None, str], tmp_path: Path
) -> None:
    found = answers(dcmread(written(changed(make_case(), prediction=prediction), tmp_path)))
    state, kind, status = told
    assert found.pop("Pneumonia") == state
    assert found.pop("Kind of pneumonia", None) == kind
    assert found == {"CAD Processing and Findings Summary": f"All algorithms succeeded; {status}"}


def test_probabilities_volumes_and_fractions_are_as_precise_as_they_are(tmp_path: Path) -> None:
    case = changed(
        make_case(),
        prediction=Prediction((0.0701234, 0.1298766, 0.8), "present", "undetermined"),
        right_ml=2390.06,
        left_ml=2067.012345,
        salient_fraction=0.031415926,
    )
    found = numbers(dcmread(written(case, tmp_path)))
    probability, volume, fraction = codes.PROBABILITY.value, codes.VOLUME.value, codes.SALIENT_FRACTION.value
    zones = {(fraction, zone, side): "1.0" for zone in (UPPER, MIDDLE, LOWER) for side in (RIGHT, LEFT)}
    assert found == zones | {
        (probability, "233604007"): "0.93",
        (probability, "385093006"): "0.13",
        (probability, "840539006"): "0.8",
        (volume, "39607008"): "4457.1",
        (volume, "39607008", RIGHT): "2390.1",
        (volume, "39607008", LEFT): "2067.0",
        (fraction, "39607008"): "3.1",
    }


def test_a_fraction_that_is_not_known_is_left_out(tmp_path: Path) -> None:
    report = dcmread(written(changed(make_case(), salient_fraction=None, zones=()), tmp_path))
    assert {concept for concept, *_ in numbers(report)} == {codes.PROBABILITY.value, codes.VOLUME.value}


# The regions


def test_each_region_is_a_group_with_its_box_place_and_numbers(plain: Path) -> None:
    case = make_case()
    groups = hd.sr.srread(plain).content.get_planar_roi_measurement_groups()
    assert len(groups) == len(case.findings.regions)
    for group, region in zip(groups, case.findings.regions, strict=True):
        assert group.finding_type == codes.SALIENCY
        corners = group.roi.value.tolist()
        box = region.box
        assert corners[0] == [box.column_min, box.row_min] == corners[-1]
        assert corners[2] == [box.column_max + 1, box.row_max + 1]
        assert len(corners) == 5
        source = group.roi.ContentSequence[0].ReferencedSOPSequence[0]
        assert source.ReferencedSOPInstanceUID == case.sources[region.best_slice].SOPInstanceUID
        assert group.tracking_uid == tracking_uid(case.sources, SOFTWARE, f"Region {region.number}")
        (volume,), (contribution,) = (group.get_measurements(code) for code in (codes.VOLUME, codes.CONTRIBUTION))
        assert volume.value == round(region.volume_ml, 1)
        assert contribution.value == pytest.approx(100 * region.contribution)
    assert [group.tracking_identifier for group in groups] == ["Region 1", "Region 2"]
    assert [group.finding_sites[0].value.value for group in groups] == [UPPER, MIDDLE]
    assert [group.finding_sites[0].laterality.value for group in groups] == [RIGHT, LEFT]


def test_no_group_is_without_coordinates_and_none_shares_its_tracking_uid(plain: Path) -> None:
    """OHIF opens no report with the one, and takes groups with the other for one."""
    groups = [item for item in container(dcmread(plain), codes.IMAGING_MEASUREMENTS) if item.ValueType == "CONTAINER"]
    assert all(any(item.ValueType == "SCOORD" for item in group.ContentSequence) for group in groups)
    uids = [item.UID for group in groups for item in group.ContentSequence if item.ValueType == "UIDREF"]
    assert len(uids) == len(set(uids)) == len(groups) == 2


def test_the_first_number_of_a_region_repeats_its_coordinates(plain: Path) -> None:
    """OHIF finds those of a measurement that the user tracks there alone."""
    for group in hd.sr.srread(plain).content.get_planar_roi_measurement_groups():
        first = group.get_measurements()[0][0]
        (repeated,) = (item for item in first.ContentSequence if item.ValueType == "SCOORD")
        assert repeated.RelationshipType == "INFERRED FROM"
        assert list(repeated.GraphicData) == list(group.roi.GraphicData)
        assert repeated.ContentSequence == group.roi.ContentSequence


def with_region(case: AnalysedSeries, **values: Any) -> AnalysedSeries:
    return changed(case, regions=(dataclasses.replace(case.findings.regions[0], **values),))


def label(report: Dataset) -> str:
    (group,) = (item for item in container(report, codes.IMAGING_MEASUREMENTS) if item.ValueType == "CONTAINER")
    (comment,) = (i for i in group.ContentSequence if i.ConceptNameCodeSequence[0].CodeMeaning == "Comment")
    return str(comment.TextValue)


def test_a_region_is_labelled_with_its_place_and_the_numbers_of_its_images() -> None:
    case = make_case()
    for number, source in enumerate(case.sources):
        source.InstanceNumber = 40 - number
    report = make_report(with_region(case, slices=(2, 4, 5)))
    assert label(report) == "Region 1: right lung, upper third, images 35 to 38"
    assert label(make_report(with_region(case, side="both"))) == "Region 1: both lungs, upper third, image 38"


def test_a_region_on_images_without_a_number_is_labelled_with_its_place() -> None:
    case = make_case()
    case.sources[2].InstanceNumber = None
    assert label(make_report(with_region(case))) == "Region 1: right lung, upper third"


# What it refers to


def test_the_image_library_has_the_images_of_the_regions_first_and_then_the_other_results() -> None:
    """Old programs read no report that has one of the young label maps in it."""
    case = make_case()
    segmentation, pictures = make_segmentation(case), make_key_images(case, [2])[0]
    results = [segmentation, pictures, make_presentation_state(case), make_segmentation(case, "labelmap")]
    report = make_report(case, [identity_of(result) for result in results])
    assert images(report) == [
        [("Source", str(case.sources[index].SOPInstanceUID)) for index in (2, 5)],
        [("Segmentation", str(segmentation.SOPInstanceUID)), ("Of Interest", str(pictures.SOPInstanceUID))],
    ]


@pytest.mark.parametrize("positive", [True, False])
def test_evidence_lists_every_source_image_and_every_other_result(positive: bool, tmp_path: Path) -> None:
    case = make_case(positive=positive)
    results = [make_segmentation(case), *([make_presentation_state(case)] if positive else [])]
    write_dicom(make_report(case, results), tmp_path / "sr.dcm")
    evidence = {instance for _, _, instance, _ in hd.sr.srread(tmp_path / "sr.dcm").get_evidence()}
    assert evidence == {str(item.SOPInstanceUID) for item in (*case.sources, *results)}


def test_reports_on_other_results_are_other_reports(tmp_path: Path) -> None:
    case = make_case()
    reports = [hd.sr.srread(written(case, tmp_path, form)) for form in ("binary", "labelmap")]
    assert reports[0].SOPInstanceUID != reports[1].SOPInstanceUID
    assert reports[0].SeriesInstanceUID != reports[1].SeriesInstanceUID


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


# The document


def test_the_algorithm_is_named_once_with_weights_and_settings(plain: Path) -> None:
    texts = [item for item in items_below(dcmread(plain)) if item.ValueType == "TEXT"]
    by_name = [(item.ConceptNameCodeSequence[0].CodeMeaning, item.TextValue) for item in texts]
    assert [text for name, text in by_name if name == "Algorithm Name"] == ["groundglass"]
    digests = {"classifier weights": "cd" * 32, "lungs weights": "ab" * 32, "settings": "ef" * 32}
    assert [text for name, text in by_name if name == "Algorithm Parameters"] == [
        f"{name} SHA-256={digest}" for name, digest in digests.items()
    ]


def test_a_program_has_written_it_and_nobody_has_verified_it(plain: Path) -> None:
    report = dcmread(plain)
    flags = (report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag)
    assert flags == ("COMPLETE", "UNVERIFIED", "PRELIMINARY")


def many_regions(case: AnalysedSeries) -> Findings:
    box = Box(2, "covid19", 5, 6, 11, 9, 52.5, 0.8)
    regions = tuple(
        Region(n, 0.1, (2,), "right", "upper", 1.0, dataclasses.replace(box, slice_index=n)) for n in range(1, 6)
    )
    return dataclasses.replace(case.findings, regions=regions, unlisted_regions=3, reach_border=True)


def test_a_report_with_five_regions_and_all_other_results_has_at_most_150_items() -> None:
    case = make_case()
    case = dataclasses.replace(case, findings=many_regions(case))
    picture = identity_of(make_key_images(case, [2])[0])
    pictures = []
    for number in range(7):
        pictures.append(Dataset(picture))
        pictures[-1].SOPInstanceUID = f"1.2.3.4.5.{number}"
    assert 1 + len(list(items_below(make_report(case, [make_segmentation(case), *pictures])))) <= 150


def test_repeated_reports_share_uids_and_a_refusal_has_its_own() -> None:
    case = make_case()
    segmentation = make_segmentation(case)
    first, second = (make_report(case, [segmentation]) for _ in range(2))
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
