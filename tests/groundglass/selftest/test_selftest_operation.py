"""Each check of the operational qualification passes outputs that are right, and finds what is wrong with others.

The outputs are those of the application's own writers, made of a phantom's truth, so that no network has to run; then
one thing in them is spoilt.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import yaml
from pydicom import DataElement, Dataset, dcmread

from conformance.series import make_findings
from groundglass.case import Case, RunRecord
from groundglass.dicomio.reading.scan import scan_folder
from groundglass.dicomio.reading.volume import read_volume
from groundglass.dicomio.writing.files import write_dicom, write_image
from groundglass.dicomio.writing.key_images import make_key_images
from groundglass.dicomio.writing.presentation_state import make_presentation_state
from groundglass.dicomio.writing.report import make_report
from groundglass.dicomio.writing.segmentation import make_segmentation
from groundglass.domain.software import NAME, VERSION, SoftwareIdentity
from groundglass.domain.volume import on_grid
from groundglass.locations import ROOT
from groundglass.phantom.study import BIRTH_DATE, write_study
from groundglass.phantom.thorax import make_thorax
from groundglass.rendering.preview import make_preview
from groundglass.result import make_result
from groundglass.selftest.catalogue import OPERATION
from groundglass.selftest.check import Outcome, carry_out
from groundglass.selftest.installed_copy import Copy
from groundglass.selftest.runs import OTHER_FILE, Phantom, Preset, Run, Runs
from groundglass.selftest.samples import SAMPLES, SECRET
from groundglass.settings import load_settings, result_settings_sha256

pytestmark = pytest.mark.slow  # ninety whole judgements

CHECKS = {check.title: check for check in OPERATION}


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> tuple[Phantom, Path]:
    """A phantom, and the outputs of a run that has found exactly its truth."""
    folder = tmp_path_factory.mktemp("right")
    study, out = folder / "study", folder / "out"
    out.mkdir()
    made, truth = make_thorax("covid19", slices=24, size=96)
    files = write_study(made, study, preset="covid19", patient_position="FFP")
    (series,) = scan_folder(study).series
    volume, sources = read_volume(series.instances)
    lungs, lesions = (on_grid(array, made.affine, volume.affine) for array in (truth.lungs, truth.lesions))
    findings = make_findings(volume, lungs, lesions, "covid19")
    models = yaml.safe_load((ROOT / "app.yaml").read_text(encoding="utf-8"))["models"]
    weights = {name: model["sha256"] for name, model in models.items()}
    software = SoftwareIdentity(NAME, VERSION, weights, "cpu", result_settings_sha256(load_settings()))
    segmentation = make_segmentation(sources, volume, findings, software)
    outputs = {
        "seg": segmentation,
        "sr": make_report(sources, volume, findings, software, segmentation),
        "key-images": make_key_images(sources, volume, findings, software, 6),
        "boxes": make_presentation_state(sources, volume, findings, software),
    }
    for kind, dataset in outputs.items():
        write_dicom(dataset, out / f"case-001.{kind}.dcm")
    write_image(make_preview(volume, findings), out / "case-001.preview.png")
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


class Judged:
    """The checks on a first and a second run whose outputs lie in two folders, to be spoilt."""

    def __init__(self, phantom: Phantom, runs: Runs, first: Path, second: Path) -> None:
        self._runs, self.first, self.second = runs, first, second
        runs.kept["phantoms"] = (phantom,)  # made already: what Runs would make itself where it is asked
        runs.kept["samples"] = {}
        self.of_first, self.of_second = ({"code": 0, "told": "INFO", "seconds": 9.0, "peak_mib": 900.0} for _ in "12")

    def outcome(self, title: str) -> Outcome:
        """Of the check with this title."""
        self._runs.kept["first"] = Run(**self.of_first, out=self.first)
        self._runs.kept["second"] = Run(**self.of_second, out=self.second)
        return carry_out(CHECKS[title], self._runs)

    def edit(self, kind: str, change: Callable[[Dataset], object]) -> None:
        """One DICOM file of the first run."""
        path = self.first / f"case-001.{kind}.dcm"
        dataset = dcmread(path)
        change(dataset)
        dataset.save_as(path)

    def edit_result(self, change: Callable[[dict[str, Any]], object], folder: Path | None = None) -> None:
        """result.json of the first run, or of another."""
        path = (folder or self.first) / "result.json"
        result = json.loads(path.read_text(encoding="utf-8"))
        change(result)
        path.write_text(json.dumps(result), encoding="utf-8")


@pytest.fixture
def judged(right: tuple[Phantom, Path], tmp_path: Path) -> Iterator[Judged]:
    phantom, out = right
    first, second = (shutil.copytree(out, tmp_path / name) for name in ("first", "second"))
    with Runs(Copy(tmp_path, ROOT / "models", None)) as runs:
        yield Judged(phantom, runs, first, second)


JUDGED_BY_OUTPUTS = [
    "Three phantoms",
    "Other files in the input",
    "Output folder",
    "Earlier results",
    "Software in result.json",
    "Lung volumes",
    "Lungs in patient coordinates, by side",
    "Centres of the lungs",
    "Class of the study",
    "Largest boxes, in patient coordinates",
    "Lesions with a box",
    "Side of the lesions",
    "Segmentations",
    "Reports",
    "Presentation states",
    "Key images",
    "References and identity",
    "Provenance",
    "The same study again",
    "Form of result.json",
    "Strict reading",
    "Logs",
    "Peak memory",
]


@pytest.mark.parametrize("title", JUDGED_BY_OUTPUTS)
def test_outputs_that_are_right_pass(judged: Judged, title: str) -> None:
    outcome = judged.outcome(title)
    assert outcome.verdict == "passed", outcome.measured
    assert outcome.measured


def case_of(result: dict[str, Any]) -> dict[str, Any]:
    case: dict[str, Any] = result["cases"][0]
    return case


@pytest.mark.parametrize(
    ("title", "change"),
    [
        ("Other files in the input", lambda result: result["files_ignored"].clear()),
        ("Output folder", lambda result: case_of(result)["outputs"].pop()),
        ("Software in result.json", lambda result: result["software"].update(version="0.0.1")),
        ("Software in result.json", lambda result: result["software"]["models"]["lungs"].update(sha256="0" * 64)),
        ("Lung volumes", lambda result: case_of(result)["lungs"].update(left_ml=2800.0)),
        ("Class of the study", lambda result: case_of(result)["prediction"].update(label="np")),
        ("Side of the lesions", lambda result: [item.update(lung="left") for item in case_of(result)["lesions"]]),
        ("Segmentations", lambda result: case_of(result)["lungs"].update(left_ml=2800.0)),
        ("Reports", lambda result: case_of(result)["prediction"]["probabilities"].update(covid19=0.5)),
        ("Reports", lambda result: case_of(result)["boxes"].pop()),
        ("Presentation states", lambda result: case_of(result)["boxes"][0].update(row_min=0)),
        ("The same study again", lambda result: case_of(result).update(salient_fraction=0.5)),
        ("Form of result.json", lambda result: result.pop("status")),
        ("Form of result.json", lambda result: case_of(result).update(note="not in the schema")),
    ],
)
def test_a_result_that_says_something_else_is_found(
    judged: Judged, title: str, change: Callable[[dict[str, Any]], object]
) -> None:
    judged.edit_result(change)
    assert judged.outcome(title).verdict == "failed"


def swap_sides(segmentation: Dataset) -> None:
    right, left = segmentation.SegmentSequence[:2]
    right.SegmentLabel, left.SegmentLabel = left.SegmentLabel, right.SegmentLabel


def shift(segmentation: Dataset) -> None:
    """By a whole voxel to the patient's left."""
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        position = frame.PlanePositionSequence[0]
        x, y, z = position.ImagePositionPatient
        position.ImagePositionPatient = [float(x) + 369.0 / 96, y, z]


def shave(segmentation: Dataset) -> None:
    """The frames of the right lung's upper half are empty."""
    numbers = [
        frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        for frame in segmentation.PerFrameFunctionalGroupsSequence
    ]
    frames = segmentation.pixel_array.copy()
    of_right = [index for index, number in enumerate(numbers) if number == 1]
    frames[of_right[len(of_right) // 2 :]] = 0
    segmentation.PixelData = np.packbits(frames.ravel(), bitorder="little").tobytes()


def items_of(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", []):
        yield child
        yield from items_of(child)


def to_the_front(report: Dataset) -> None:
    """Every box is mirrored within its image: the phantom's lesions are at the back."""
    for item in items_of(report):
        if item.ValueType == "SCOORD":
            points = np.reshape(item.GraphicData, (-1, 2))
            item.GraphicData = np.column_stack([points[:, 0], 96 - points[:, 1]]).ravel().tolist()


def around_everything(report: Dataset) -> None:
    """Every box is the whole image, which holds every lesion and points at none."""
    for item in items_of(report):
        if item.ValueType == "SCOORD":
            item.GraphicData = [0, 0, 96, 0, 96, 96, 0, 96, 0, 0]


def explain_another_class(report: Dataset) -> None:
    """The boxes are explained as another class than the study's."""
    for item in items_of(report):
        if item.ValueType == "CODE" and item.ConceptNameCodeSequence[0].CodeValue == "EXPLAINED-CLASS":
            item.ConceptCodeSequence[0].CodeValue = "385093006"


def grow_lesions(report: Dataset) -> None:
    """Lengths, which the lesions alone have, are others."""
    for item in items_of(report):
        if item.ValueType == "NUM" and item.ConceptNameCodeSequence[0].CodeValue == "410668003":
            item.MeasuredValueSequence[0].NumericValue = "999"


def point_nowhere(state: Dataset) -> None:
    state.GraphicAnnotationSequence[0].ReferencedImageSequence[0].ReferencedSOPInstanceUID = "2.25.1"


def refer_into_another(keyword: str) -> Callable[[Dataset], None]:
    """The evidence of the report names another study, or another series, for the images."""

    def change(report: Dataset) -> None:
        study = report.CurrentRequestedProcedureEvidenceSequence[0]
        setattr(study if keyword == "StudyInstanceUID" else study.ReferencedSeriesSequence[0], keyword, "2.25.1")

    return change


def drop_a_frame(images: Dataset) -> None:
    images.NumberOfFrames -= 1
    images.PixelData = images.PixelData[: images.NumberOfFrames * images.Rows * images.Columns * 3]


def break_a_value(dataset: Dataset) -> None:
    dataset.add(DataElement("PatientBirthDate", "DA", "some day", validation_mode=pydicom.config.IGNORE))


def lose_a_bit(images: Dataset) -> None:
    images.PixelData = bytes([images.PixelData[0] ^ 1]) + images.PixelData[1:]


@pytest.mark.parametrize(
    ("title", "kind", "change"),
    [
        ("Lungs in patient coordinates, by side", "seg", swap_sides),
        ("Lungs in patient coordinates, by side", "seg", shift),
        ("Lungs in patient coordinates, by side", "seg", shave),
        ("Centres of the lungs", "seg", shave),
        ("Segmentations", "seg", shave),
        ("Largest boxes, in patient coordinates", "sr", to_the_front),
        ("Largest boxes, in patient coordinates", "sr", around_everything),
        ("Lesions with a box", "sr", to_the_front),
        ("Lesions with a box", "sr", around_everything),
        ("Reports", "sr", explain_another_class),
        ("Reports", "sr", grow_lesions),
        ("Reports", "sr", to_the_front),
        ("Presentation states", "boxes", point_nowhere),
        ("References and identity", "boxes", point_nowhere),
        ("References and identity", "sr", lambda report: setattr(report, "PatientID", "another")),
        ("References and identity", "sr", lambda report: setattr(report, "AccessionNumber", "")),
        ("References and identity", "sr", lambda report: setattr(report, "PatientBirthDate", "")),
        ("References and identity", "sr", lambda report: setattr(report, "ReferringPhysicianName", "")),
        ("References and identity", "sr", refer_into_another("StudyInstanceUID")),
        ("References and identity", "sr", refer_into_another("SeriesInstanceUID")),
        ("References and identity", "key-images", lambda images: setattr(images, "StudyInstanceUID", "2.25.1")),
        ("References and identity", "seg", lambda dataset: setattr(dataset, "FrameOfReferenceUID", "2.25.1")),
        ("Key images", "key-images", drop_a_frame),
        ("Strict reading", "key-images", break_a_value),
        ("Provenance", "key-images", lambda images: setattr(images, "SeriesDescription", "For diagnosis")),
        ("Provenance", "sr", lambda report: setattr(report, "SoftwareVersions", "9.9")),
        ("Provenance", "seg", lambda dataset: [segment.clear() for segment in dataset.SegmentSequence]),
        ("The same study again", "key-images", lose_a_bit),
        ("The same study again", "seg", lambda dataset: setattr(dataset, "SOPInstanceUID", "2.25.1")),
    ],
)
def test_a_file_that_is_not_right_is_found(
    judged: Judged, title: str, kind: str, change: Callable[[Dataset], object]
) -> None:
    judged.edit(kind, change)
    assert judged.outcome(title).verdict == "failed"


def test_times_of_creation_do_not_make_a_difference(judged: Judged) -> None:
    judged.edit("sr", lambda report: setattr(report, "ContentTime", "010203"))
    assert judged.outcome("The same study again").verdict == "passed"


@pytest.mark.parametrize("name", ["case-001.sr.dcm", "case-001.preview.png", OTHER_FILE])
def test_a_missing_file_is_found(judged: Judged, name: str) -> None:
    (judged.first / name).unlink()
    assert judged.outcome("Output folder").verdict == "failed"


def test_a_file_that_is_not_promised_is_found(judged: Judged) -> None:
    (judged.first / ".case-001.sr.dcm.7.part").write_bytes(b"half")
    assert "is not promised" in judged.outcome("Output folder").measured


def test_a_leftover_of_an_earlier_run_is_found(judged: Judged) -> None:
    (judged.first / "case-007.seg.dcm").write_bytes(b"of an earlier run")
    assert judged.outcome("Earlier results").verdict == "failed"


def test_a_run_without_a_result_fails_and_the_reason_is_told(judged: Judged) -> None:
    (judged.first / "result.json").unlink()
    judged.of_first["code"] = 1
    assert "exit code 1" in judged.outcome("Three phantoms").measured
    assert "was not analysed (exit code 1)" in judged.outcome("Lung volumes").measured
    assert judged.outcome("Form of result.json").verdict == "passed"  # of the other run


@pytest.mark.parametrize("word", [SECRET, "Phantom^Groundglass", "PHANTOM-covid19-0", BIRTH_DATE])
def test_a_header_in_the_log_is_found(judged: Judged, word: str) -> None:
    judged.of_second["told"] = f"WARNING the series of {word} is odd"
    outcome = judged.outcome("Logs")
    assert outcome.verdict == "failed"
    assert word not in outcome.measured


def test_a_uid_in_the_log_is_found(judged: Judged, right: tuple[Phantom, Path]) -> None:
    judged.of_first["told"] = f"INFO {right[0].header.SeriesInstanceUID}"
    assert judged.outcome("Logs").measured == "the log holds a UID"


def test_too_much_memory_is_found(judged: Judged) -> None:
    judged.of_second["peak_mib"] = 5000.0
    assert judged.outcome("Peak memory").verdict == "failed"


def test_another_exit_code_beside_a_bad_series_is_found(judged: Judged) -> None:
    refusal = {"status": "refused", "reason": {"code": "GAP", "text": "A slice is missing."}}
    judged.edit_result(lambda result: result["cases"].append(case_of(result) | refusal), judged.second)
    judged.edit_result(lambda result: result.update(status="partial"), judged.second)
    title = "A bad series beside a good one; called by HOLOSCAN_* variables"
    assert judged.outcome(title).verdict == "failed"
    judged.of_second["code"] = 5
    assert judged.outcome(title).verdict == "passed"


# Runs of the application itself


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    with Runs(Copy(tmp_path_factory.mktemp("out"), ROOT / "models", None)) as made:
        yield made


@pytest.mark.parametrize("name", list(SAMPLES))
def test_every_sample_of_bad_input_ends_as_it_must(runs: Runs, name: str) -> None:
    outcome = carry_out(CHECKS[f"Bad input: {SAMPLES[name].what}"], runs)
    assert outcome.verdict == "passed", outcome.measured
    assert SECRET not in runs.samples[name].told
    assert str(runs.folder) not in outcome.measured


def test_a_sample_that_ends_otherwise_is_found(runs: Runs) -> None:
    run = runs.samples["no DICOM"]
    for wrong in (replace(run, code=0), replace(run, told="")):
        runs.samples["no DICOM"] = replace(wrong, out=run.out / "nowhere")
        assert carry_out(CHECKS["Bad input: a folder without DICOM"], runs).verdict == "failed"


def test_a_failure_is_kept_and_told_by_every_check_that_needs_what_failed(tmp_path: Path) -> None:
    with Runs(Copy(tmp_path, ROOT / "models", None)) as made:
        (made.folder / "phantoms").write_text("in the way", encoding="utf-8")
        told = {carry_out(CHECKS[title], made).measured for title in ("Three phantoms", "Lung volumes", "Reports")}
    assert len(told) == 1
    assert "could not be carried out" in told.pop()


def test_an_application_that_ends_by_itself_does_not_pass_for_terminated(judged: Judged) -> None:
    shutil.rmtree(judged.first)
    judged._runs.kept["phantoms"] = (replace(judged._runs.phantoms[0], folder=judged.first),)
    assert "ended by itself, with exit code 2" in judged.outcome("SIGTERM").measured


def test_help_is_answered(runs: Runs) -> None:
    assert carry_out(CHECKS["Help"], runs).verdict == "passed"


def test_the_files_of_the_runs_are_gone_at_their_end(tmp_path: Path) -> None:
    with Runs(Copy(tmp_path, ROOT / "models", None)) as made:
        assert made.folder.is_dir()
    assert not made.folder.exists()
