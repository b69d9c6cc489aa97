"""Every check of `make conformance` passes a sound object and notices a broken one; its archive leaves nothing."""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import SegmentationStorage

from conformance import orthanc, readers, series, validators
from conformance.__main__ import guarded, main, table
from conformance.checks import CHECKS
from conformance.objects import REFUSAL, write_outputs
from conformance.series import case_of, write_phantom
from conformance.tools import PACKAGES, ToolMissing, find, run
from groundglass.domain.volume import on_grid, on_larger_grid
from groundglass.selftest import readers as own_readers
from groundglass.selftest.outputs import Output

pytestmark = pytest.mark.slow

Break = Callable[[Dataset], object]


def need(*programs: str) -> None:
    for program in programs:
        try:
            find(program)
        except ToolMissing as missing:
            pytest.skip(str(missing))


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Output]:
    """Of a phantom with one lesion on one slice, since DicomSRValidator takes long over a report with many regions."""
    folder = tmp_path_factory.mktemp("conformance")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(series, "LESIONS", 1)
        patch.setattr(series, "EXPLAINED_SLICES", 1)
        made = write_phantom("on the left side", folder / "source")
    return {output.name: output for output in write_outputs(made, folder / "outputs", lambda name: True)}


@pytest.fixture(scope="module")
def errors_of_sound(outputs: dict[str, Output]) -> Callable[[str, Callable[[Output], list[str]]], list[str]]:
    """What a check says of an object as it was written, asked once for all that is done to it."""
    return lru_cache(lambda name, check: check(outputs[name]))


def broken(output: Output, folder: Path, change: Break) -> Output:
    dataset = pydicom.dcmread(output.path)
    change(dataset)
    dataset.save_as(folder / "broken.dcm")
    return replace(output, path=folder / "broken.dcm")


def content_items(dataset: Dataset, code: str) -> list[Dataset]:
    """The content items of a report with this concept name, from top to bottom."""
    found = []
    for item in dataset.get("ContentSequence", []):
        names = item.get("ConceptNameCodeSequence")
        found += [item] if names and names[0].CodeValue == code else []
        found += content_items(item, code)
    return found


def remove_items(dataset: Dataset, code: str) -> None:
    items = [item for item in dataset.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue != code]
    dataset.ContentSequence = items
    for item in items:
        if "ContentSequence" in item:
            remove_items(item, code)


def set_number(code: str, value: str) -> Break:
    def change(dataset: Dataset) -> None:
        content_items(dataset, code)[0].MeasuredValueSequence[0].NumericValue = value

    return change


def swap_sides(dataset: Dataset) -> None:
    right, left = "24028007", "7771000"
    for item in content_items(dataset, "272741003"):
        side = item.ConceptCodeSequence[0]
        side.CodeValue = left if side.CodeValue == right else right


def relate_finding_wrongly(dataset: Dataset) -> None:
    content_items(dataset, "121071")[0].RelationshipType = "HAS PROPERTIES"


def move_box(dataset: Dataset) -> None:
    region = content_items(dataset, "111030")[0]
    region.GraphicData = [value + 1 for value in region.GraphicData]


def move_frames(dataset: Dataset) -> None:
    for group in dataset.PerFrameFunctionalGroupsSequence:
        position = group.PlanePositionSequence[0]
        x, y, z = position.ImagePositionPatient
        position.ImagePositionPatient = [x, y + 3.84, z]


def mirror(dataset: Dataset) -> None:
    frames = np.unpackbits(np.frombuffer(dataset.PixelData, np.uint8), bitorder="little")
    count = int(dataset.NumberOfFrames) * dataset.Rows * dataset.Columns
    turned = frames[:count].reshape(-1, dataset.Columns)[:, ::-1]
    dataset.PixelData = np.packbits(turned, bitorder="little").tobytes()


def change_value(dataset: Dataset) -> None:
    values = np.frombuffer(dataset.FloatPixelData, "<f4").copy()
    values[np.flatnonzero(values > 0)[0]] += 0.125
    dataset.FloatPixelData = values.tobytes()


def break_date(dataset: Dataset) -> None:
    dataset.add(pydicom.DataElement("StudyDate", "DA", "yesterday", validation_mode=pydicom.config.IGNORE))


CASES = {
    "a mandatory attribute is missing": ("SEG", validators.dciodvfy, lambda d: d.pop("ContentLabel")),
    "a segment's code is missing": (
        "SEG",
        validators.dciodvfy,
        lambda d: d.SegmentSequence[0].pop("SegmentedPropertyTypeCodeSequence"),
    ),
    "a date is none": ("key images", own_readers.strict_pydicom, break_date),
    "a probability is another": ("SR", readers.dcmtk_report, set_number("122157", "0.99")),
    "a box is elsewhere": ("SR", readers.dcmtk_report, move_box),
    "a box is elsewhere, to highdicom": ("SR", own_readers.highdicom_report, move_box),
    "right and left are swapped": ("SR", own_readers.highdicom_report, swap_sides),
    "the conclusion is not first": ("SR", own_readers.highdicom_report, lambda d: d.ContentSequence.pop(0)),
    "an answer is missing": ("SR", own_readers.highdicom_report, lambda d: remove_items(d, "233604007")),
    "a region has no coordinates": ("SR", own_readers.highdicom_report, lambda d: remove_items(d, "111030")),
    "a volume is another": ("SR", readers.dcmqi_report, set_number("118565006", "1")),
    "a refusal has numbers": ("refusal SR", readers.dcmtk_report, None),
    "frames are moved": ("SEG", readers.dcmqi_segmentation, move_frames),
    "frames are moved, to highdicom": ("SEG", own_readers.highdicom_segmentation, move_frames),
    "frames are mirrored": ("SEG", readers.dcmqi_segmentation, mirror),
    "frames are mirrored, to highdicom": ("SEG", own_readers.highdicom_segmentation, mirror),
    "a presentation shows no area": ("boxes", validators.dcmpschk, lambda d: d.pop("DisplayedAreaSelectionSequence")),
    "a label map is moved": ("label map", readers.dcmqi_segmentation, move_frames),
    "a map is moved": ("saliency map", readers.dcmqi_parametric_map, move_frames),
    "a value of a map is another": ("saliency map", readers.dcmqi_parametric_map, change_value),
}


@pytest.mark.parametrize("case", CASES)
def test_a_check_passes_the_sound_object_and_notices_the_broken_one(
    case: str,
    outputs: dict[str, Output],
    errors_of_sound: Callable[[str, Callable[[Output], list[str]]], list[str]],
    tmp_path: Path,
) -> None:
    need(*PACKAGES)
    name, check, change = CASES[case]
    sound = outputs[name]
    assert errors_of_sound(name, check) == []
    if change is None:  # a report with numbers in the place of one without
        assert check(replace(outputs["SR"], case=None)) != []
    else:
        assert guarded(check, broken(sound, tmp_path, change)) != []


def test_the_template_check_passes_the_sound_report_and_notices_what_is_missing_and_what_is_related_wrongly(
    outputs: dict[str, Output], tmp_path: Path
) -> None:
    """Both at once: the program takes ten seconds."""
    need(*PACKAGES)
    sound = outputs["SR"]
    assert validators.sr_validator(sound) == []

    def change(report: Dataset) -> None:
        remove_items(report, "121012")  # Device Observer UID
        relate_finding_wrongly(report)

    errors = "\n".join(validators.sr_validator(broken(sound, tmp_path, change)))
    assert re.search(r'"Device Observer UID".*Missing required content item', errors)
    assert re.search(r'"Finding".*Incorrect relationship', errors)


def test_dcmdump_notices_a_file_that_is_cut(outputs: dict[str, Output], tmp_path: Path) -> None:
    need("dcmdump")
    assert validators.dcmdump(outputs["SEG"]) == []
    content = outputs["SEG"].path.read_bytes()
    (tmp_path / "cut.dcm").write_bytes(content[: len(content) * 2 // 3])
    assert validators.dcmdump(replace(outputs["SEG"], path=tmp_path / "cut.dcm")) != []


def test_dcentvfy_notices_another_patient_in_the_study(outputs: dict[str, Output], tmp_path: Path) -> None:
    need("dcentvfy")
    paths = [output.path for output in outputs.values()]
    assert validators.dcentvfy(paths) == []
    other = broken(outputs["SEG"], tmp_path, lambda dataset: setattr(dataset, "PatientName", "Other^Patient"))
    assert validators.dcentvfy([*paths, other.path]) != []


def test_a_false_report_that_no_longer_comes_up_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validators, "seen_false_reports", Counter(validators.FALSE_REPORTS))
    assert validators.unused_false_reports() == []
    monkeypatch.setattr(validators, "seen_false_reports", Counter())
    assert len(validators.unused_false_reports()) == len(validators.FALSE_REPORTS)


def test_a_warning_stands_only_where_it_is_listed_and_its_reason_holds(
    outputs: dict[str, Output], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("dciodvfy")
    monkeypatch.setattr(validators, "seen_false_reports", Counter())
    assert validators.dciodvfy(outputs["SR"]) == []
    assert validators.seen_false_reports["private coding scheme"] > 1
    assert validators.dciodvfy(outputs["saliency map"]) == []
    assert validators.seen_false_reports["quantity of a map"] == 2

    def name_no_scheme(report: Dataset) -> None:
        del report.CodingSchemeIdentificationSequence

    warnings = validators.dciodvfy(broken(outputs["SR"], tmp_path, name_no_scheme))
    assert warnings
    assert all(line.startswith("Warning") for line in warnings)
    unlisted = broken(outputs["key images"], tmp_path, lambda d: setattr(d, "SeriesNumber", None))
    assert [line.partition(" - ")[0] for line in validators.dciodvfy(unlisted)] == ["Warning"]


def test_a_program_that_learns_a_kind_of_object_no_longer_counts_as_too_old_for_it(outputs: dict[str, Output]) -> None:
    need("dciodvfy")
    check = next(check for check in CHECKS if check.name == "dciodvfy")
    assert check.judge(outputs["label map"]) is None
    assert check.judge(outputs["SEG"]) == []
    assert replace(check, unknown=frozenset({SegmentationStorage})).judge(outputs["SEG"]) != []


def test_the_archive_returns_what_was_sent_notices_what_was_not_and_leaves_nothing(
    outputs: dict[str, Output], tmp_path: Path
) -> None:
    need("Orthanc", "dcmsend")
    paths = [output.path for output in outputs.values()]
    with pytest.raises(KeyError, match="the check fails"), orthanc.running() as archive:  # noqa: PT012
        assert archive.store(paths) == []
        assert [archive.compare(path) for path in paths] == [[]] * len(paths)
        changed = broken(outputs["SEG"], tmp_path, mirror)
        assert "The bytes of PixelData differ." in archive.compare(changed.path)
        never_sent = broken(outputs["SEG"], tmp_path, lambda d: setattr(d, "SOPInstanceUID", "1.2.3.4"))
        assert archive.compare(never_sent.path) != []
        folder = archive.folder
        assert folder.is_dir()
        raise KeyError("the check fails")
    assert not folder.exists()
    with pytest.raises(OSError, match="refused"):
        archive._get("studies", "application/dicom+json")
    assert archive.store(paths[:1]) != []


def test_grids_are_matched_in_any_order_of_axes_and_refused_when_they_lie_apart() -> None:
    array = np.arange(24).reshape(2, 3, 4)
    turned = np.array([[0, 0, -1.5, 4.5], [0, 2.0, 0, 0], [3.0, 0, 0, 0], [0, 0, 0, 1]])  # of array's (slice, row, col)
    other = np.array([[1.5, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 3.0, 0], [0, 0, 0, 1]])
    np.testing.assert_array_equal(on_grid(array, turned, other), array[:, :, ::-1].transpose(2, 1, 0))
    with pytest.raises(ValueError, match=r"lie 0\.50 mm apart"):
        on_grid(array, turned, other + np.array([[0, 0, 0, 0.5]] + [[0] * 4] * 3))


def test_a_part_of_a_grid_is_put_where_it_belongs_and_refused_outside() -> None:
    array = np.arange(24).reshape(2, 3, 4)
    turned = np.array([[0, 0, -1.5, 4.5], [0, 2.0, 0, 0], [3.0, 0, 0, 0], [0, 0, 0, 1]])  # of array's (slice, row, col)
    other = np.array([[1.5, 0, 0, -3.0], [0, 2.0, 0, -2.0], [0, 0, 3.0, 0], [0, 0, 0, 1]])
    expected = np.zeros((6, 4, 3), int)
    expected[2:, 1:, :2] = array[:, :, ::-1].transpose(2, 1, 0)
    np.testing.assert_array_equal(on_larger_grid(array, turned, other, expected.shape), expected)
    with pytest.raises(ValueError, match="doesn't hold all voxels"):
        on_larger_grid(array, turned, other, (5, 4, 3))
    with pytest.raises(ValueError, match=r"lie 0\.50 mm apart"):
        on_larger_grid(array, turned, other + np.array([[0, 0, 0, 0.5]] + [[0] * 4] * 3), expected.shape)


def results(outputs: dict[str, Output], folder: Path, right_ml: float | None = None) -> Path:
    """The outputs as a run of the application leaves them, with another volume in result.json if one is given."""
    source = outputs["SEG"].series
    assert source is not None
    names = ["case-001.seg.dcm", "case-001.sr.dcm"]
    case = {"case": "case-001", "status": "analysed", "outputs": names, **case_of(source)}
    case["lungs"]["right_ml"] = right_ml or case["lungs"]["right_ml"]
    for name, kind in (("SEG", "seg"), ("SR", "sr")):
        (folder / f"case-001.{kind}.dcm").write_bytes(outputs[name].path.read_bytes())
    (folder / "result.json").write_text(json.dumps({"cases": [case]}, default=float))
    return folder


def test_results_of_a_run_are_held_against_result_json(
    outputs: dict[str, Output], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need("dsrdump")
    checks = ["--checks", "highdicom", "--checks", "dcmqi", "--checks", "dsrdump"]
    assert main(["--results", str(results(outputs, tmp_path)), *checks]) == 0
    assert "5 checks of 2 objects: no error." in capsys.readouterr().out
    assert main(["--results", str(results(outputs, tmp_path, right_ml=1.0)), *checks]) == 1
    printed = capsys.readouterr().out
    assert "4 errors" in printed
    assert "result.json says 1.0 ml" in printed


def test_a_result_that_is_missing_is_an_error_and_a_file_of_others_is_none(
    outputs: dict[str, Output], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = results(outputs, tmp_path)
    (folder / "other.dcm").write_text("not the application's")
    assert main(["--results", str(folder), "--checks", "pydicom"]) == 0
    (folder / "case-001.sr.dcm").unlink()
    assert main(["--results", str(folder), "--checks", "pydicom"]) == 1
    assert "result.json lists case-001.sr.dcm, which is not there." in capsys.readouterr().err


def test_the_command_writes_checks_and_keeps_the_phantom(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--series", "feet to head", "--objects", "SEG", "--checks", "pydicom", "--out", str(tmp_path / "kept")]
    assert main(arguments) == 0
    assert "axial, feet to head" in capsys.readouterr().out
    assert len(list((tmp_path / "kept").rglob("SEG.dcm"))) == 1
    assert main(arguments) == 2  # the folder isn't empty any more
    assert main(["--series", "no such series"]) == 2


def test_the_table_has_a_line_an_object_and_a_column_a_check() -> None:
    errors = {
        ("oblique", "SEG", "dciodvfy"): [],
        ("oblique", "SR", "dciodvfy"): ["x"],
        ("oblique", "SR", "dsrdump"): [],
    }
    head, first, second = table(errors).splitlines()
    assert head.split() == ["series", "object", "dciodvfy", "dsrdump"]
    assert first.split() == ["oblique", "SEG", "ok", "-"]
    assert second.split() == ["SR", "1", "!", "ok"]


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGES, "no-such-program", "no-such-package")
    with pytest.raises(ToolMissing, match="apt-get install no-such-package"):
        run("no-such-program")


def test_a_report_of_a_refused_series_has_no_class_to_compare(outputs: dict[str, Output]) -> None:
    assert outputs[REFUSAL].case is None
    assert own_readers.highdicom_report(outputs[REFUSAL]) == []
